//! The values of one series at the steps of an evaluation.

use std::collections::HashMap;

use narthex_model::{ABSENT, Hashing, Labels, METRIC_NAME, is_absent};

use crate::Error;

/// Says what the metric itself is, not what was measured: dropped where the metric changes.
const METADATA_LABELS: [&str; 3] = [METRIC_NAME, "__type__", "__unit__"];

/// Text of the error that two series of one vector are the same.
pub(crate) const SAME_LABELS: &str = "vector cannot contain metrics with the same labelset";

/// The values of one series: from step `first` on, one slot per step, [`ABSENT`] where there is
/// none. A series that lives for a few steps of many costs those few slots.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) labels: Labels,
    /// Whether the metric's name goes at the end of the evaluation.
    pub(crate) drop_name: bool,
    pub(crate) first: usize,
    pub(crate) values: Vec<f64>,
}

impl Column {
    /// The value at `step`, or [`ABSENT`].
    pub(crate) fn get(&self, step: usize) -> f64 {
        let slot = step.checked_sub(self.first).and_then(|index| self.values.get(index));
        slot.copied().unwrap_or(ABSENT)
    }

    /// The steps that have a value, and the values.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, f64)> {
        let slots = self.values.iter().enumerate();
        slots.filter(|(_, v)| !is_absent(**v)).map(|(index, &v)| (self.first + index, v))
    }

    /// The first step that has a value.
    fn first_used(&self) -> Option<usize> {
        self.values.iter().position(|&value| !is_absent(value)).map(|index| self.first + index)
    }

    /// The last step that has a value.
    pub(crate) fn last_used(&self) -> Option<usize> {
        self.values.iter().rposition(|&value| !is_absent(value)).map(|index| self.first + index)
    }

    /// Changes each value; gives [`ABSENT`] to remove one.
    pub(crate) fn map(&mut self, mut change: impl FnMut(usize, f64) -> f64) {
        for (index, value) in self.values.iter_mut().enumerate() {
            if !is_absent(*value) {
                *value = change(self.first + index, *value);
            }
        }
    }

    /// Whether every step from the first to the last has a value.
    pub(crate) fn is_full(&self) -> bool {
        !self.values.iter().fold(false, |any, &value| any | is_absent(value))
    }

    /// Whether no step has a value.
    pub(crate) fn is_empty(&self) -> bool {
        self.values.iter().all(|&value| is_absent(value))
    }

    /// Takes `other`'s values where this has none; false if both have one at a step.
    fn absorb(&mut self, other: &Self) -> bool {
        let (Some(mine), Some(others)) = (self.first_used(), other.first_used()) else {
            return true;
        };
        if others < mine {
            // The series began as the other.
            self.drop_name = other.drop_name;
        }
        let first = self.first.min(other.first);
        let end = (self.first + self.values.len()).max(other.first + other.values.len());
        let mut values = vec![ABSENT; end - first];
        for column in [&*self, other] {
            for (step, value) in column.iter() {
                match values.get_mut(step - first) {
                    Some(slot) if is_absent(*slot) => *slot = value,
                    _ => return false,
                }
            }
        }
        self.first = first;
        self.values = values;
        true
    }
}

/// Collects a column's values step by step.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    first: usize,
    values: Vec<f64>,
    used: usize,
}

impl Slots {
    /// With room for the values of so many steps.
    pub(crate) fn with_room(steps: usize) -> Self {
        Self { values: Vec::with_capacity(steps), ..Self::default() }
    }

    /// The values of all steps, [`ABSENT`] where there is none.
    pub(crate) fn of(mut values: Vec<f64>) -> Self {
        let first = values.iter().take_while(|&&value| is_absent(value)).count();
        values.drain(..first);
        let used = values.iter().rposition(|&value| !is_absent(value)).map_or(0, |last| last + 1);
        Self { first, values, used }
    }

    /// Adds the value of the next step, or [`ABSENT`].
    pub(crate) fn push(&mut self, value: f64) {
        if !is_absent(value) {
            self.values.push(value);
            self.used = self.values.len();
        } else if self.values.is_empty() {
            self.first += 1;
        } else {
            self.values.push(ABSENT);
        }
    }

    /// Sets the value of `step`, which must not lie before one that was set.
    pub(crate) fn set(&mut self, step: usize, value: f64) {
        if is_absent(value) {
            return;
        }
        if self.values.is_empty() {
            self.first = step;
        } else {
            self.values.resize(step - self.first, ABSENT);
        }
        self.push(value);
    }

    /// The column, without the empty slots at its end; none if no step had a value.
    pub(crate) fn column(mut self, labels: Labels, drop_name: bool) -> Option<Column> {
        if self.used == 0 {
            return None;
        }
        self.values.truncate(self.used);
        if self.values.capacity() / 2 > self.values.len() {
            self.values.shrink_to_fit();
        }
        Some(Column { labels, drop_name, first: self.first, values: self.values })
    }
}

/// The value of an expression at all steps.
#[derive(Clone, Debug)]
pub(crate) enum Flow {
    /// One number per step.
    Scalar(Vec<f64>),
    /// A text.
    String(String),
    /// One column per series.
    Vector(Vec<Column>),
}

/// Labels without the metric's name, type and unit.
pub(crate) fn drop_metadata(labels: &Labels) -> Labels {
    labels.filtered(|name| !is_metadata(name))
}

/// Whether a label says what the metric itself is.
pub(crate) fn is_metadata(name: &str) -> bool {
    METADATA_LABELS.contains(&name)
}

/// Joins columns with the same labels, in the order of their first appearance; leaves out those
/// without values.
///
/// # Errors
/// If two of them have a value at the same step, or (with `strict`) if two are there at all.
pub(crate) fn join_same(columns: Vec<Column>, strict: bool) -> Result<Vec<Column>, Error> {
    let mut places: HashMap<Labels, usize, Hashing> = HashMap::default();
    let mut joined: Vec<Column> = Vec::with_capacity(columns.len());
    for column in columns {
        if column.is_empty() {
            continue;
        }
        let next = joined.len();
        let place = *places.entry(column.labels.clone()).or_insert(next);
        let Some(same) = joined.get_mut(place) else {
            joined.push(column);
            continue;
        };
        if strict || !same.absorb(&column) {
            return Err(Error::Execution(SAME_LABELS.to_owned()));
        }
    }
    Ok(joined)
}
