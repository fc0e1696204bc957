//! Functions that order the elements of an instant query.

use std::cmp::Ordering;

use crate::Error;
use crate::column::Column;
use crate::eval::Evaluator;
use crate::gosort;
use crate::options::Release;
use crate::plan::{Call, Func, Span};
use crate::steps::Steps;

impl Evaluator<'_> {
    fn warn_order(&mut self, span: Span, steps: Steps) {
        if steps.count > 1 && self.options.release == Release::Newest {
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
        gosort::sort(&mut columns, |a, b| {
            let (a, b) = (a.get(0), b.get(0));
            b.is_nan() || if descending { b < a } else { b > a }
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
        gosort::sort(&mut columns, |a, b| {
            let values = names
                .iter()
                .map(|name| (a.labels.get(name).unwrap_or(""), b.labels.get(name).unwrap_or("")));
            let order = match values.into_iter().find(|(a, b)| a != b) {
                Some((a, b)) if precedes(a, b) => Ordering::Less,
                Some(_) => Ordering::Greater,
                None => a.labels.cmp(&b.labels),
            };
            order == if descending { Ordering::Greater } else { Ordering::Less }
        });
        Ok(columns)
    }
}

/// Whether one text comes before another that differs from it: part by part, runs of digits by
/// their number. As in Prometheus no text precedes the empty one, nor the other way round, and of
/// two equal numbers at the end of a text each precedes the other.
fn precedes(a: &str, b: &str) -> bool {
    let (mut left, mut right) = (a, b);
    while !left.is_empty() && !right.is_empty() {
        let (left_part, left_rest) = part(left);
        let (right_part, right_rest) = part(right);
        let equal = match (left_part.parse::<i64>(), right_part.parse::<i64>()) {
            (Ok(a), Ok(b)) if a != b => return a < b,
            (Ok(_), Ok(_)) => true,
            _ => left_part == right_part,
        };
        if !equal {
            return left_part < right_part;
        }
        if left_rest.is_empty() || right_rest.is_empty() {
            return left_rest.is_empty();
        }
        (left, right) = (left_rest, right_rest);
    }
    false
}

/// Splits the first run of digits, or of anything else, off `text`.
fn part(text: &str) -> (&str, &str) {
    let digits = text.starts_with(|c: char| c.is_ascii_digit());
    let end = text.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(text.len());
    text.split_at(end)
}
