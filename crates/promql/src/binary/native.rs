//! Operators on histograms.

use std::sync::Arc;

use narthex_model::histogram::{Hint, Incompatible, TrimSide};
use narthex_model::{ABSENT, Histogram};

use super::element;
use crate::eval::truth;
use crate::functions::native::words::{self, Operation};
use crate::native::Natives;
use crate::plan::{Binary, BinaryOp, Span};

/// A value that is either.
enum Side {
    Number(f64),
    Histogram(Arc<Histogram>),
}

impl Side {
    fn of(value: f64, natives: &Natives) -> Self {
        natives.get(value).map_or(Self::Number(value), Self::Histogram)
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Number(_) => "float",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// What an operator gives of two values.
enum Outcome {
    /// A new histogram.
    New(Histogram),
    /// For a comparison, whether it holds.
    Holds(bool),
    /// Nothing: the types do not fit.
    Unfit,
    /// Nothing: one has exponential buckets and the other custom bounds.
    Incompatible,
    /// Nothing: one was reset and the other was not.
    Collision(Operation),
}

/// An element of a vector, a histogram or not, with a number that stands left if `swapped`.
pub(super) fn with_number(
    binary: &Binary,
    natives: &Natives,
    value: f64,
    number: f64,
    swapped: bool,
    at: Span,
) -> f64 {
    if swapped {
        pair(binary, natives, number, value, at)
    } else {
        pair(binary, natives, value, number, at)
    }
}

/// Two elements of vectors.
pub(super) fn pair(binary: &Binary, natives: &Natives, a: f64, b: f64, at: Span) -> f64 {
    let (left, right) = (Side::of(a, natives), Side::of(b, natives));
    let op = binary.op;
    let outcome = match (&left, &right) {
        (Side::Number(_), Side::Number(_)) if op.is_trim() => Outcome::Unfit,
        (Side::Number(a), Side::Number(b)) => return element(binary, *a, *b),
        (Side::Number(number), Side::Histogram(histogram)) => match op {
            BinaryOp::Multiply => changed(histogram, |copy| copy.multiply(*number)),
            _ => Outcome::Unfit,
        },
        (Side::Histogram(histogram), Side::Number(number)) => match op {
            BinaryOp::Multiply => changed(histogram, |copy| copy.multiply(*number)),
            BinaryOp::Divide => changed(histogram, |copy| copy.divide(*number)),
            BinaryOp::TrimBelow => Outcome::New(histogram.trimmed(*number, TrimSide::Below)),
            BinaryOp::TrimAbove => Outcome::New(histogram.trimmed(*number, TrimSide::Above)),
            _ => Outcome::Unfit,
        },
        (Side::Histogram(left), Side::Histogram(right)) => match op {
            BinaryOp::Add => combined(left, right, Operation::Add, natives, at),
            BinaryOp::Subtract => combined(left, right, Operation::Subtract, natives, at),
            BinaryOp::Equal => Outcome::Holds(left == right),
            BinaryOp::NotEqual => Outcome::Holds(left != right),
            _ => Outcome::Unfit,
        },
    };
    match outcome {
        Outcome::New(_) if binary.returns_bool => 1.0,
        Outcome::New(histogram) => natives.add(histogram),
        Outcome::Holds(holds) if binary.returns_bool => truth(holds),
        Outcome::Holds(true) => a,
        Outcome::Holds(false) => ABSENT,
        Outcome::Unfit => {
            let op = op.as_str();
            natives.info(
                format!(
                    "incompatible sample types encountered for binary operator \"{op}\": {} {op} {}",
                    left.kind(),
                    right.kind()
                ),
                at,
            );
            ABSENT
        }
        Outcome::Incompatible => {
            let op = op.as_str();
            natives.warn(
                format!("incompatible bucket layout encountered for binary operator {op}"),
                at,
            );
            ABSENT
        }
        Outcome::Collision(operation) => {
            natives.warn(words::collision(operation), at);
            ABSENT
        }
    }
}

fn changed(histogram: &Histogram, change: impl FnOnce(&mut Histogram)) -> Outcome {
    let mut copy = histogram.clone();
    change(&mut copy);
    Outcome::New(copy.compacted())
}

fn combined(
    left: &Histogram,
    right: &Histogram,
    operation: Operation,
    natives: &Natives,
    at: Span,
) -> Outcome {
    let mut copy = left.clone();
    let done = match operation {
        Operation::Subtract => copy.subtract(right),
        _ => copy.add(right),
    };
    let Ok(done) = done.map_err(|Incompatible| ()) else { return Outcome::Incompatible };
    if done.collision {
        return Outcome::Collision(operation);
    }
    if done.bounds {
        natives.info(words::reconciled(operation), at);
    }
    if operation == Operation::Subtract {
        copy.hint = Hint::Gauge;
    }
    Outcome::New(copy.compacted())
}
