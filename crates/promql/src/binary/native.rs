//! Operators on histograms.

use std::sync::Arc;

use narthex_model::histogram::{Hint, Incompatible, TrimSide};
use narthex_model::{Histogram, is_absent};

use super::element;
use crate::eval::truth;
use crate::functions::native::words::{self, Operation};
use crate::native::Natives;
use crate::options::Release;
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
    /// One in the bounds that both have.
    Reconciled(Histogram, Operation),
    /// For a comparison, whether it holds.
    Holds(bool),
    /// Nothing: the types do not fit.
    Unfit,
    /// Nothing: one has exponential buckets and the other custom bounds.
    Incompatible,
    /// Nothing: one was reset and the other was not.
    Collision(Operation),
}

/// What an operator gives of two elements.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    /// A value.
    Kept(f64),
    /// Nothing, for a comparison does not hold.
    Filtered,
    /// Nothing, for they do not go together.
    Failed(Remark),
    /// A value, and something to say about it.
    Remarked(f64, Remark),
}

/// What an operator has to say; of several remarks at one time Prometheus makes the last.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Remark {
    Info(String),
    Warning(String),
}

/// The last remark of each step.
#[derive(Debug)]
pub(super) struct Remarks {
    last: Vec<Option<Remark>>,
}

impl Remarks {
    pub(super) fn new(steps: usize) -> Self {
        Self { last: vec![None; steps] }
    }

    pub(super) fn put(&mut self, step: usize, remark: Remark) {
        if let Some(slot) = self.last.get_mut(step) {
            *slot = Some(remark);
        }
    }

    /// Makes them.
    pub(super) fn make(self, natives: &Natives, at: Span) {
        for remark in self.last.into_iter().flatten() {
            match remark {
                Remark::Info(text) => natives.info(text, at),
                Remark::Warning(text) => natives.warn(text, at),
            }
        }
    }
}

/// Two elements, histograms or not.
pub(super) fn pair(binary: &Binary, natives: &Natives, a: f64, b: f64) -> Verdict {
    let (left, right) = (Side::of(a, natives), Side::of(b, natives));
    let (op, release) = (binary.op, natives.release());
    let outcome = match (&left, &right) {
        (Side::Number(_), Side::Number(_)) if op.is_trim() => Outcome::Unfit,
        (Side::Number(a), Side::Number(b)) => return judged(element(binary, *a, *b)),
        (Side::Number(number), Side::Histogram(histogram)) => match op {
            BinaryOp::Multiply => changed(histogram, release, |copy| copy.multiply(*number)),
            _ => Outcome::Unfit,
        },
        (Side::Histogram(histogram), Side::Number(number)) => match op {
            BinaryOp::Multiply => changed(histogram, release, |copy| copy.multiply(*number)),
            BinaryOp::Divide => changed(histogram, release, |copy| copy.divide(*number)),
            BinaryOp::TrimBelow => Outcome::New(histogram.trimmed(*number, TrimSide::Below)),
            BinaryOp::TrimAbove => Outcome::New(histogram.trimmed(*number, TrimSide::Above)),
            _ => Outcome::Unfit,
        },
        (Side::Histogram(left), Side::Histogram(right)) => match op {
            BinaryOp::Add => combined(left, right, Operation::Add, release),
            BinaryOp::Subtract => combined(left, right, Operation::Subtract, release),
            BinaryOp::Equal => Outcome::Holds(left == right),
            BinaryOp::NotEqual => Outcome::Holds(left != right),
            _ => Outcome::Unfit,
        },
    };
    match outcome {
        Outcome::New(histogram) => Verdict::Kept(natives.add(histogram)),
        Outcome::Reconciled(histogram, operation) => {
            let remark = Remark::Info(words::reconciled(operation));
            Verdict::Remarked(natives.add(histogram), remark)
        }
        Outcome::Holds(holds) if binary.returns_bool => Verdict::Kept(truth(holds)),
        Outcome::Holds(true) => Verdict::Kept(a),
        Outcome::Holds(false) => Verdict::Filtered,
        Outcome::Unfit => {
            let (op, left, right) = (op.as_str(), left.kind(), right.kind());
            Verdict::Failed(Remark::Info(format!(
                "incompatible sample types encountered for binary operator \"{op}\": {left} {op} \
                 {right}"
            )))
        }
        Outcome::Incompatible => {
            let op = op.as_str();
            Verdict::Failed(Remark::Warning(format!(
                "incompatible bucket layout encountered for binary operator {op}"
            )))
        }
        Outcome::Collision(operation) => {
            Verdict::Failed(Remark::Warning(words::collision(operation)))
        }
    }
}

/// The value of an element that is a number.
pub(super) fn judged(value: f64) -> Verdict {
    if is_absent(value) { Verdict::Filtered } else { Verdict::Kept(value) }
}

fn changed(
    histogram: &Histogram,
    release: Release,
    change: impl FnOnce(&mut Histogram),
) -> Outcome {
    let mut copy = histogram.clone();
    change(&mut copy);
    if release == Release::V3_5 {
        copy.hint = histogram.hint;
    }
    Outcome::New(copy.compacted())
}

fn combined(
    left: &Histogram,
    right: &Histogram,
    operation: Operation,
    release: Release,
) -> Outcome {
    let mut copy = left.clone();
    let done = match operation {
        Operation::Subtract => copy.subtract(right),
        _ => copy.add(right),
    };
    let Ok(done) = done.map_err(|Incompatible| ()) else { return Outcome::Incompatible };
    match release {
        Release::V3_5 if done.bounds => return Outcome::Incompatible,
        Release::Newest if done.collision => return Outcome::Collision(operation),
        Release::V3_5 if operation == Operation::Subtract => copy.hint = left.hint,
        Release::Newest if operation == Operation::Subtract => copy.hint = Hint::Gauge,
        _ => {}
    }
    copy.compact();
    if done.bounds { Outcome::Reconciled(copy, operation) } else { Outcome::New(copy) }
}
