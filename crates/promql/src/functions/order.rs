//! Functions that order the elements of an instant query.

use std::cmp::Ordering;

use crate::Error;
use crate::column::Column;
use crate::eval::Evaluator;
use crate::plan::{Call, Func, Span};
use crate::steps::Steps;

impl Evaluator<'_> {
    fn warn_order(&mut self, span: Span, steps: Steps) {
        if steps.count > 1 {
            let message = "sort is ineffective for range queries since results are always \
                           ordered by labels";
            self.notes.warn(message, span);
        }
    }

    /// Sorts by value, NaN last.
    pub(super) fn sort(
        &mut self,
        call: &Call,
        span: Span,
        steps: Steps,
    ) -> Result<Vec<Column>, Error> {
        self.warn_order(span, steps);
        let mut columns = self.numbers(call.arg(0)?, steps)?;
        if steps.count > 1 {
            return Ok(columns);
        }
        let descending = call.function.func == Func::SortDesc;
        columns.sort_by(|a, b| {
            let (a, b) = (a.get(0), b.get(0));
            let order = a.partial_cmp(&b).unwrap_or(Ordering::Equal);
            let order = if descending { order.reverse() } else { order };
            a.is_nan().cmp(&b.is_nan()).then(order)
        });
        Ok(columns)
    }

    /// Sorts by the values of labels, numbers in them by size.
    pub(super) fn sort_by_label(
        &mut self,
        call: &Call,
        span: Span,
        steps: Steps,
    ) -> Result<Vec<Column>, Error> {
        self.warn_order(span, steps);
        let mut names = Vec::new();
        for index in 1..call.args.len() {
            names.push(call.text(index)?);
        }
        let mut columns = self.vector(call.arg(0)?, steps)?;
        let descending = call.function.func == Func::SortByLabelDesc;
        columns.sort_by(|a, b| {
            let by_name = |name: &&str| {
                natural(a.labels.get(name).unwrap_or(""), b.labels.get(name).unwrap_or(""))
            };
            let order = names
                .iter()
                .map(by_name)
                .find(|order| order.is_ne())
                .unwrap_or_else(|| a.labels.cmp(&b.labels));
            if descending { order.reverse() } else { order }
        });
        Ok(columns)
    }
}

/// Compares texts part by part, runs of digits by their number.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a, b);
    while !left.is_empty() && !right.is_empty() {
        let (left_part, left_rest) = part(left);
        let (right_part, right_rest) = part(right);
        let digits = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
        let order = if digits(left_part) && digits(right_part) {
            let (x, y) = (left_part.trim_start_matches('0'), right_part.trim_start_matches('0'));
            x.len().cmp(&y.len()).then(x.cmp(y)).then(left_part.len().cmp(&right_part.len()))
        } else {
            left_part.cmp(right_part)
        };
        if order.is_ne() {
            return order;
        }
        (left, right) = (left_rest, right_rest);
    }
    left.len().cmp(&right.len())
}

/// Splits the first run of digits, or of anything else, off `text`.
fn part(text: &str) -> (&str, &str) {
    let digits = text.starts_with(|c: char| c.is_ascii_digit());
    let end = text.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(text.len());
    text.split_at(end)
}
