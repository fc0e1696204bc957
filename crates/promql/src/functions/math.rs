//! Functions of one number.

use crate::Error;
use crate::column::{Column, join_same};
use crate::eval::Evaluator;
use crate::gomath;
use crate::numeric::{go_max, go_min};
use crate::plan::{Call, Func};
use crate::steps::Steps;
use narthex_model::ABSENT;

/// What `func` makes of a number.
fn number_fn(func: Func) -> Option<fn(f64) -> f64> {
    Some(match func {
        Func::Abs => f64::abs,
        Func::Ceil => f64::ceil,
        Func::Floor => f64::floor,
        Func::Exp => gomath::exp,
        Func::Sqrt => f64::sqrt,
        Func::Ln => gomath::ln,
        Func::Log2 => gomath::log2,
        Func::Log10 => gomath::log10,
        Func::Sin => gomath::sin,
        Func::Cos => gomath::cos,
        Func::Tan => gomath::tan,
        Func::Asin => gomath::asin,
        Func::Acos => gomath::acos,
        Func::Atan => gomath::atan,
        Func::Sinh => gomath::sinh,
        Func::Cosh => gomath::cosh,
        Func::Tanh => gomath::tanh,
        Func::Asinh => gomath::asinh,
        Func::Acosh => gomath::acosh,
        Func::Atanh => gomath::atanh,
        Func::Rad => |v| v * std::f64::consts::PI / 180.0,
        Func::Deg => |v| v * 180.0 / std::f64::consts::PI,
        Func::Sgn => |v| match v {
            v if v < 0.0 => -1.0,
            v if v > 0.0 => 1.0,
            v => v,
        },
        _ => return None,
    })
}

impl Evaluator<'_> {
    /// A function that is applied to each element.
    pub(super) fn math(&mut self, call: &Call, steps: Steps) -> Result<Vec<Column>, Error> {
        let Some(apply) = number_fn(call.function.func) else {
            return Err(Error::Unsupported(format!("{}()", call.function.name)));
        };
        let columns = self.vector(call.arg(0)?, steps)?;
        self.each(columns, |_, value| apply(value))
    }

    /// Applies `apply` to each element and drops the names.
    pub(super) fn each(
        &self,
        mut columns: Vec<Column>,
        mut apply: impl FnMut(usize, f64) -> f64,
    ) -> Result<Vec<Column>, Error> {
        self.natives.strip(&mut columns);
        for column in &mut columns {
            column.map(&mut apply);
            self.drop_name(column);
        }
        join_same(columns, false)
    }

    /// `clamp`, `clamp_min`, `clamp_max`, `round`: with scalar arguments.
    pub(super) fn bounded(&mut self, call: &Call, steps: Steps) -> Result<Vec<Column>, Error> {
        let columns = self.vector(call.arg(0)?, steps)?;
        let mut numbers = Vec::new();
        for arg in call.args.iter().skip(1) {
            numbers.push(self.scalar(arg, steps)?);
        }
        let number = |index: usize, step: usize| {
            numbers.get(index).and_then(|n: &Vec<f64>| n.get(step)).copied()
        };
        let func = call.function.func;
        self.each(columns, |step, value| {
            let first = number(0, step);
            match func {
                Func::Round => {
                    // The inverse is exact for the usual 0.1, 0.01.
                    let inverse = 1.0 / first.unwrap_or(1.0);
                    (value * inverse + 0.5).floor() / inverse
                }
                Func::ClampMin => clamp(value, first.unwrap_or(f64::NAN), f64::INFINITY),
                Func::ClampMax => clamp(value, f64::NEG_INFINITY, first.unwrap_or(f64::NAN)),
                _ => {
                    let most = number(1, step).unwrap_or(f64::NAN);
                    clamp(value, first.unwrap_or(f64::NAN), most)
                }
            }
        })
    }
}

fn clamp(value: f64, least: f64, most: f64) -> f64 {
    if most < least { ABSENT } else { go_max(least, go_min(most, value)) }
}
