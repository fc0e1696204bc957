//! Binary operators.

use std::collections::HashMap;

use narthex_model::{ABSENT, Hashing, Labels, LabelsBuilder, METRIC_NAME, is_absent};

use crate::Error;
use crate::column::{Column, Flow, join_same};
use crate::eval::{Evaluator, only_if, truth};
use crate::gomath;
use crate::native::is_handle;
use crate::plan::{Binary, BinaryOp, Matching, Span};
use crate::power::power;
use crate::steps::Steps;

mod clash;
mod join;
mod native;

use native::{Remarks, Verdict, pair};

/// The value of `a op b`, for a comparison 1 or 0.
#[expect(clippy::float_cmp, reason = "the operators compare exactly")]
fn arithmetic(op: BinaryOp, a: f64, b: f64) -> f64 {
    match op {
        BinaryOp::Add => a + b,
        BinaryOp::Subtract => a - b,
        BinaryOp::Multiply => a * b,
        BinaryOp::Divide => a / b,
        BinaryOp::Modulo => a % b,
        BinaryOp::Power => power(a, b),
        BinaryOp::Atan2 => gomath::atan2(a, b),
        BinaryOp::Equal => truth(a == b),
        BinaryOp::NotEqual => truth(a != b),
        BinaryOp::Less => truth(a < b),
        BinaryOp::LessEqual => truth(a <= b),
        BinaryOp::Greater => truth(a > b),
        BinaryOp::GreaterEqual => truth(a >= b),
        // Sets have no values, and numbers cannot be trimmed.
        BinaryOp::And
        | BinaryOp::Or
        | BinaryOp::Unless
        | BinaryOp::TrimBelow
        | BinaryOp::TrimAbove => f64::NAN,
    }
}

/// The value of one element: for a comparison the left value or none, or 1 or 0 with `bool`.
fn element(binary: &Binary, a: f64, b: f64) -> f64 {
    let value = arithmetic(binary.op, a, b);
    if binary.op.is_comparison() && !binary.returns_bool {
        return only_if(value > 0.0, a);
    }
    value
}

/// Whether the result is another metric.
fn changes_metric(binary: &Binary) -> bool {
    let keeps = binary.op.is_comparison() || binary.op.is_trim() || binary.op.is_set();
    binary.returns_bool || !keeps
}

impl Evaluator<'_> {
    /// Computes a binary operation.
    pub(crate) fn binary(
        &mut self,
        binary: &Binary,
        span: Span,
        steps: Steps,
    ) -> Result<Flow, Error> {
        let held = self.budget.held();
        let hints = self.hints;
        if binary.op.is_trim() {
            self.hints = hints.with_buckets();
        }
        let left = self.eval(&binary.left, steps)?;
        let right = self.eval(&binary.right, steps)?;
        self.hints = hints;
        let columns = match (left, right) {
            (Flow::Scalar(_), Flow::Scalar(_)) if binary.op.is_trim() => {
                let op = binary.op.as_str();
                let message = format!("operator \"{op}\" not allowed for Scalar operations");
                return Err(Error::Execution(message));
            }
            (Flow::Scalar(mut left), Flow::Scalar(right)) => {
                for (a, b) in left.iter_mut().zip(right) {
                    *a = arithmetic(binary.op, *a, b);
                }
                return Ok(Flow::Scalar(left));
            }
            (Flow::Vector(columns), Flow::Scalar(numbers)) => {
                self.with_numbers(binary, span, columns, &numbers, false)?
            }
            (Flow::Scalar(numbers), Flow::Vector(columns)) => {
                self.with_numbers(binary, span, columns, &numbers, true)?
            }
            (Flow::Vector(left), Flow::Vector(right)) if binary.op.is_set() => {
                sets(binary, left, right, steps)?
            }
            (Flow::Vector(left), Flow::Vector(right)) => {
                self.join(binary, span, &left, &right, steps)?
            }
            _ => Vec::new(),
        };
        self.keep(&columns, held)?;
        Ok(Flow::Vector(columns))
    }

    /// A vector with a number; `swapped` where the number stands left.
    fn with_numbers(
        &self,
        binary: &Binary,
        span: Span,
        mut columns: Vec<Column>,
        numbers: &[f64],
        swapped: bool,
    ) -> Result<Vec<Column>, Error> {
        let filters = binary.op.is_comparison() && !binary.returns_bool;
        let special = self.natives.any() || binary.op.is_trim();
        let mut remarks = Remarks::new(if special { numbers.len() } else { 0 });
        for column in &mut columns {
            column.map(|step, value| {
                let number = numbers.get(step).copied().unwrap_or(f64::NAN);
                if special && (is_handle(value) || binary.op.is_trim()) {
                    let (a, b) = if swapped { (number, value) } else { (value, number) };
                    return match pair(binary, &self.natives, a, b) {
                        Verdict::Kept(value) | Verdict::Remarked(value, _) => value,
                        Verdict::Filtered => ABSENT,
                        Verdict::Failed(remark) => {
                            remarks.put(step, remark);
                            ABSENT
                        }
                    };
                }
                if !swapped {
                    return element(binary, value, number);
                }
                // What is kept is the element's value, whichever side it stands on.
                let found = arithmetic(binary.op, number, value);
                if filters { only_if(found > 0.0, value) } else { found }
            });
            if changes_metric(binary) {
                self.drop_name(column);
            }
        }
        remarks.make(&self.natives, span);
        join_same(columns, false)
    }
}

/// Numbers for the label sets by which elements match.
#[derive(Debug)]
pub(crate) struct Signatures<'a> {
    matching: &'a Matching,
    numbers: HashMap<Labels, usize, Hashing>,
}

impl<'a> Signatures<'a> {
    fn new(matching: &'a Matching) -> Self {
        Self { matching, numbers: HashMap::default() }
    }

    /// The number of the set that `labels` match by.
    fn number(&mut self, labels: &Labels) -> usize {
        let next = self.numbers.len();
        *self.numbers.entry(matching_labels(self.matching, labels)).or_insert(next)
    }

    fn of(&mut self, columns: &[Column]) -> Vec<usize> {
        columns.iter().map(|column| self.number(&column.labels)).collect()
    }
}

/// The labels by which an element matches.
fn matching_labels(matching: &Matching, labels: &Labels) -> Labels {
    let named = |name: &str| matching.labels.iter().any(|label| label == name);
    let mut builder = LabelsBuilder::from_labels(labels);
    if matching.on {
        builder.retain(|name, _| named(name));
    } else {
        builder.retain(|name, _| name != METRIC_NAME && !named(name));
    }
    builder.build()
}

/// `and`, `or`, `unless`.
fn sets(
    binary: &Binary,
    mut left: Vec<Column>,
    mut right: Vec<Column>,
    steps: Steps,
) -> Result<Vec<Column>, Error> {
    let mut signatures = Signatures::new(&binary.matching);
    let left_numbers = signatures.of(&left);
    let right_numbers = signatures.of(&right);
    let (masked, numbers, mask, keep) = match binary.op {
        BinaryOp::And => (&mut left, &left_numbers, presence(&right, &right_numbers, steps), true),
        BinaryOp::Unless => {
            (&mut left, &left_numbers, presence(&right, &right_numbers, steps), false)
        }
        _ => (&mut right, &right_numbers, presence(&left, &left_numbers, steps), false),
    };
    for (column, number) in masked.iter_mut().zip(numbers) {
        let present = mask.get(number);
        column.map(|step, value| {
            let there = present.and_then(|p| p.get(step)).copied().unwrap_or(false);
            if there == keep { value } else { ABSENT }
        });
    }
    if binary.op == BinaryOp::Or {
        left.append(&mut right);
    }
    join_same(left, false)
}

/// For each signature the steps at which some column has a value.
fn presence(
    columns: &[Column],
    numbers: &[usize],
    steps: Steps,
) -> HashMap<usize, Vec<bool>, Hashing> {
    let mut present: HashMap<usize, Vec<bool>, Hashing> = HashMap::default();
    for (column, &number) in columns.iter().zip(numbers) {
        let slots = present.entry(number).or_insert_with(|| vec![false; steps.count]);
        for (index, &value) in column.values.iter().enumerate() {
            if let (false, Some(slot)) = (is_absent(value), slots.get_mut(column.first + index)) {
                *slot = true;
            }
        }
    }
    present
}
