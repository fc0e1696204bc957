//! Elements that meet several times at one step, which is an error: which one, Prometheus tells
//! from the first step at which it happens, and there from the order of the elements.

use std::collections::{HashMap, HashSet};

use narthex_model::{Hashing, Labels, is_absent};

use super::join::{Rule, Sides};
use super::matching_labels;
use crate::Error;
use crate::column::Column;
use crate::options::Release;
use crate::plan::{Card, Matching};

const MANY_TO_ONE: &str =
    "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)";
const NOT_UNIQUE: &str = "multiple matches for labels: grouping labels must ensure unique matches";

/// The results that a signature has led to.
type Results = HashMap<usize, HashSet<Labels, Hashing>, Hashing>;

/// Checks the elements of one step.
pub(super) fn check(sides: &Sides<'_>, rule: &Rule<'_>, step: usize) -> Result<(), Error> {
    let is_there = |column: &&Column| !is_absent(column.get(step));
    let (many, one) =
        (sides.many.iter().any(|c| is_there(&c)), sides.one.iter().any(|c| is_there(&c)));
    let no_fill = sides.fill_many.is_none() && sides.fill_one.is_none();
    if !(many || one) || (!(many && one) && no_fill) {
        return Ok(());
    }
    let matching = &rule.binary.matching;
    let mut by_number: HashMap<usize, &Column, Hashing> = HashMap::default();
    for (column, &number) in present(sides.one, &sides.one_numbers, step) {
        if let Some(other) = by_number.insert(number, column) {
            return Err(duplicate(matching, column, other, rule.release));
        }
    }
    let mut results = Results::default();
    for (column, &number) in present(sides.many, &sides.many_numbers, step) {
        let (value, labels) = match (by_number.get(&number), sides.fill_one) {
            (Some(one), _) => (one.get(step), one.labels.clone()),
            (None, Some(fill)) => (fill, matching_labels(matching, &column.labels)),
            (None, None) => continue,
        };
        if rule.counts(&rule.verdict(column.get(step), value)) {
            add(&mut results, rule, number, rule.result_labels(&column.labels, &labels))?;
        }
    }
    let Some(fill) = sides.fill_many else { return Ok(()) };
    for (column, &number) in present(sides.one, &sides.one_numbers, step) {
        if !results.contains_key(&number) && rule.counts(&rule.verdict(fill, column.get(step))) {
            let labels = matching_labels(matching, &column.labels);
            add(&mut results, rule, number, rule.result_labels(&labels, &column.labels))?;
        }
    }
    Ok(())
}

fn present<'a>(
    columns: &'a [Column],
    numbers: &'a [usize],
    step: usize,
) -> impl Iterator<Item = (&'a Column, &'a usize)> {
    columns.iter().zip(numbers).filter(move |(column, _)| !is_absent(column.get(step)))
}

fn add(results: &mut Results, rule: &Rule<'_>, number: usize, labels: Labels) -> Result<(), Error> {
    let known = results.entry(number).or_default();
    let error = |text: &str| Err(Error::Execution(text.to_owned()));
    if rule.binary.matching.card == Card::OneToOne {
        if !known.is_empty() {
            return error(MANY_TO_ONE);
        }
        known.insert(labels);
    } else if !known.insert(labels) {
        return error(NOT_UNIQUE);
    }
    Ok(())
}

fn duplicate(matching: &Matching, a: &Column, b: &Column, release: Release) -> Error {
    let side = if matching.card == Card::OneToMany { "left" } else { "right" };
    let group = matching_labels(matching, &a.labels);
    let (mut first, mut second) = (a.labels.to_string(), b.labels.to_string());
    if first > second && release == Release::Newest {
        std::mem::swap(&mut first, &mut second);
    }
    Error::Execution(format!(
        "found duplicate series for the match group {group} on the {side} hand-side of the \
         operation: [{first}, {second}];many-to-many matching not allowed: matching labels must \
         be unique on one side"
    ))
}
