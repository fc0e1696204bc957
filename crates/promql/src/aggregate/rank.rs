//! `topk`, `bottomk`, `limitk`, `limit_ratio`: the elements stay what they are, some of them go.

use narthex_model::number::GoFloat;
use narthex_model::{ABSENT, Labels, is_absent};

use super::{Group, bounds, groups};
use crate::Error;
use crate::column::{Column, Slots};
use crate::eval::Evaluator;
use crate::gosort;
use crate::options::Release;
use crate::plan::{Aggregate, AggregateOp, Span};
use crate::steps::Steps;

/// An element of a step: its value and its column.
type Element = (f64, usize);

/// The greatest number that is no count any more, and below which none is.
const COUNT_MAX: f64 = 9_223_372_036_854_774_784.0;
const COUNT_MIN: f64 = -9_223_372_036_854_775_808.0;

impl Evaluator<'_> {
    /// Computes one of these operators.
    pub(super) fn rank(
        &mut self,
        aggregate: &Aggregate,
        columns: &[Column],
        params: &[f64],
        span: Span,
        steps: Steps,
    ) -> Result<Vec<Column>, Error> {
        let nothing = match aggregate.op {
            AggregateOp::LimitRatio => self.check_ratio(params, span)?,
            _ => self.check_count(params)?,
        };
        if nothing {
            return Ok(Vec::new());
        }
        if self.options.release == Release::V3_5 {
            check_used(aggregate.op, columns, params)?;
        }
        let groups = groups(aggregate, columns);
        // No more stays than there was.
        let bytes = columns.iter().map(|column| size_of_val(&*column.values)).sum();
        self.budget.hold_bytes(bytes)?;
        let mut kept: Vec<Slots> = columns.iter().map(|_| Slots::default()).collect();
        let mut order = Vec::new();
        for step in 0..steps.count {
            self.budget.tick()?;
            let param = params.get(step).copied().unwrap_or(f64::NAN);
            for group in &groups {
                let chosen = choose(aggregate.op, group, columns, param, step);
                for &(value, index) in &chosen {
                    if let Some(slots) = kept.get_mut(index) {
                        slots.set(step, value);
                    }
                }
                if steps.count == 1 {
                    order.extend(chosen.into_iter().map(|(_, index)| index));
                }
            }
        }
        if steps.count > 1 {
            order = (0..columns.len()).collect();
        }
        let mut out = Vec::with_capacity(order.len());
        for index in order {
            if let (Some(slots), Some(column)) = (kept.get_mut(index), columns.get(index)) {
                let slots = std::mem::take(slots);
                out.extend(slots.column(column.labels.clone(), column.drop_name));
            }
        }
        self.budget.release_bytes(bytes);
        Ok(out)
    }

    /// Checks ratios; whether they all choose nothing.
    fn check_ratio(&mut self, params: &[f64], span: Span) -> Result<bool, Error> {
        let (low, high) = bounds(params);
        if low == 0.0 && high == 0.0 {
            return Ok(true);
        }
        if self.is_newest() && params.iter().any(|param| param.is_nan()) {
            return Err(Error::Execution("Ratio value is NaN".to_owned()));
        }
        for (value, to) in [(high, 1.0), (low, -1.0)] {
            if value.abs() > 1.0 && (value > 0.0) == (to > 0.0) {
                let (value, to) = (GoFloat(value), GoFloat(to));
                let message =
                    format!("ratio value should be between -1 and 1, got {value}, capping to {to}");
                self.notes.warn(&message, span);
            }
        }
        Ok(false)
    }

    fn is_newest(&self) -> bool {
        self.options.release == Release::Newest
    }

    /// Checks counts; whether they all choose nothing.
    fn check_count(&self, params: &[f64]) -> Result<bool, Error> {
        let (low, high) = bounds(params);
        if high < 1.0 {
            return Ok(true);
        }
        if !self.is_newest() {
            return Ok(false);
        }
        let error = |text: String| Err(Error::Execution(text));
        if params.iter().any(|param| param.is_nan()) {
            return error("Parameter value is NaN".to_owned());
        }
        if low <= COUNT_MIN {
            return error(format!("Scalar value {} underflows int64", GoFloat(low)));
        }
        if high >= COUNT_MAX {
            return error(format!("Scalar value {} overflows int64", GoFloat(high)));
        }
        Ok(false)
    }
}

/// Checks the parameters of the steps that have an element.
fn check_used(op: AggregateOp, columns: &[Column], params: &[f64]) -> Result<(), Error> {
    let is_wrong = |param: f64| match op {
        AggregateOp::LimitRatio => param.is_nan(),
        _ => !(COUNT_MIN..=COUNT_MAX).contains(&param),
    };
    let mut steps = params.iter().enumerate().filter(|&(_, &param)| is_wrong(param));
    let used = |step: usize| columns.iter().any(|column| !is_absent(column.get(step)));
    let Some((_, &param)) = steps.find(|&(step, _)| used(step)) else { return Ok(()) };
    let param = GoFloat(param);
    Err(Error::Execution(match op {
        AggregateOp::LimitRatio => format!("Ratio value {param} is NaN"),
        _ => format!("Scalar value {param} overflows int64"),
    }))
}

/// The elements of `group` that stay at `step`, in the order of the result.
fn choose(
    op: AggregateOp,
    group: &Group,
    columns: &[Column],
    param: f64,
    step: usize,
) -> Vec<Element> {
    let elements = group.members.iter().filter_map(|&index| {
        let value = columns.get(index)?.get(step);
        (!is_absent(value)).then_some((value, index))
    });
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range is checked before; below 1 nothing stays"
    )]
    let most = (param.max(0.0) as usize).min(columns.len());
    match op {
        AggregateOp::LimitRatio => {
            heaped(elements.filter(|&(_, index)| {
                columns.get(index).is_some_and(|c| sampled(&c.labels, param))
            }))
        }
        AggregateOp::Limitk => heaped(elements.take(most)),
        _ if most == 0 => Vec::new(),
        AggregateOp::Bottomk => best(elements, most, |a, b| a.is_nan() || a > b),
        _ => best(elements, most, |a, b| a.is_nan() || a < b),
    }
}

/// Whether a series belongs to the share `ratio`, by the hash of its labels; a negative ratio
/// chooses the others.
#[expect(clippy::cast_precision_loss, reason = "a place between 0 and 1 is all that is needed")]
fn sampled(labels: &Labels, ratio: f64) -> bool {
    let ratio = ratio.clamp(-1.0, 1.0);
    let hash = xxhash_rust::xxh64::xxh64(&hashed(labels), 0);
    let place = hash as f64 / u64::MAX as f64;
    if ratio >= 0.0 { place < ratio || ratio >= 1.0 } else { place >= 1.0 + ratio }
}

/// Labels as Prometheus keeps and hashes them: each text behind its length, which takes one byte,
/// or from 255 on four.
fn hashed(labels: &Labels) -> Vec<u8> {
    let mut out = Vec::with_capacity(labels.heap_bytes() + 16);
    for text in labels.iter().flat_map(|(name, value)| [name, value]) {
        match u8::try_from(text.len()) {
            Ok(len) if len < u8::MAX => out.push(len),
            _ => {
                let [a, b, c, ..] = text.len().to_le_bytes();
                out.extend([u8::MAX, a, b, c]);
            }
        }
        out.extend_from_slice(text.as_bytes());
    }
    out
}

/// The `most` elements that are last by `less`, last first. Ties stay as Prometheus' heap leaves
/// them.
fn best(
    elements: impl Iterator<Item = Element>,
    most: usize,
    less: impl Fn(f64, f64) -> bool,
) -> Vec<Element> {
    let mut heap: Vec<Element> = Vec::with_capacity(most.min(64));
    for element in elements {
        if heap.len() < most {
            heap.push(element);
            let last = heap.len() - 1;
            up(&mut heap, last, &less);
            continue;
        }
        let Some(root) = heap.first_mut() else { break };
        let better = !element.0.is_nan() && (root.0.is_nan() || less(root.0, element.0));
        if better {
            *root = element;
            down(&mut heap, 0, &less);
        }
    }
    gosort::sort(&mut heap, |a, b| less(b.0, a.0));
    heap
}

/// The elements in the order of Prometheus' heap, which is never sorted.
fn heaped(elements: impl Iterator<Item = Element>) -> Vec<Element> {
    let mut heap: Vec<Element> = Vec::new();
    for element in elements {
        heap.push(element);
        let last = heap.len() - 1;
        up(&mut heap, last, &|a: f64, b: f64| a.is_nan() || a < b);
    }
    heap
}

fn value_at(heap: &[Element], index: usize) -> f64 {
    heap.get(index).map_or(ABSENT, |element| element.0)
}

fn up(heap: &mut [Element], mut at: usize, less: &impl Fn(f64, f64) -> bool) {
    while at > 0 {
        let parent = (at - 1) / 2;
        if !less(value_at(heap, at), value_at(heap, parent)) {
            break;
        }
        heap.swap(at, parent);
        at = parent;
    }
}

fn down(heap: &mut [Element], mut at: usize, less: &impl Fn(f64, f64) -> bool) {
    loop {
        let left = 2 * at + 1;
        if left >= heap.len() {
            return;
        }
        let right = left + 1;
        let child = if right < heap.len() && less(value_at(heap, right), value_at(heap, left)) {
            right
        } else {
            left
        };
        if !less(value_at(heap, child), value_at(heap, at)) {
            return;
        }
        heap.swap(at, child);
        at = child;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_the_one_that_prometheus_chooses() {
        let chosen = |index: usize| {
            let (instance, long) = (format!("i{index}"), "x".repeat(index * 5));
            let labels =
                [("__name__", "m"), ("job", "j"), ("instance", &instance), ("long", &long)];
            sampled(&Labels::from_pairs(labels), 0.5)
        };
        // What limit_ratio(0.5, m) gives in Prometheus 3.5.
        let want = [
            2, 5, 6, 7, 9, 11, 12, 13, 14, 16, 18, 20, 21, 22, 25, 28, 29, 31, 32, 33, 35, 41, 42,
            44, 45, 47, 52, 53, 54, 56, 58,
        ];
        assert_eq!((0..60).filter(|&index| chosen(index)).collect::<Vec<_>>(), want);
    }
}
