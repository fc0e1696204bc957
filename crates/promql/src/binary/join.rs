//! Operators between the elements of two vectors.
//!
//! The "one" side is made the right side; each column of the left then meets the columns of the
//! right that have its signature. Several columns of the right may share a signature as long as no
//! two of them have a value at the same step.

use std::collections::HashMap;
use std::rc::Rc;

use narthex_model::{Hashing, Labels, LabelsBuilder, is_absent};

use super::{Signatures, changes_metric, element, matching_labels};
use crate::Error;
use crate::column::{Column, Slots, drop_metadata, join_same};
use crate::eval::Evaluator;
use crate::native::Natives;
use crate::plan::{Binary, Card, Matching, Span};
use crate::steps::Steps;

const MANY_TO_ONE: &str =
    "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)";
const NOT_UNIQUE: &str = "multiple matches for labels: grouping labels must ensure unique matches";

/// Steps at which something was matched.
type Marks = HashMap<usize, Vec<bool>, Hashing>;

struct Joiner<'a> {
    binary: &'a Binary,
    steps: Steps,
    /// Whether the sides were exchanged.
    swapped: bool,
    natives: &'a Natives,
    span: Span,
    /// Whether metric names go at once.
    drops_names: bool,
    /// Matched steps by signature.
    matched: Marks,
    /// Matched steps by signature and result, for many-to-one.
    results: HashMap<(usize, Labels), Vec<bool>, Hashing>,
    out: Vec<Column>,
    /// Bytes that came to `out` and nobody was told of yet.
    grown: usize,
}

/// The columns of the one side with one signature.
type OneSide<'a> = HashMap<usize, Vec<&'a Column>, Hashing>;

impl Evaluator<'_> {
    /// An operator between two vectors.
    pub(super) fn join(
        &mut self,
        binary: &Binary,
        span: Span,
        left: &[Column],
        right: &[Column],
        steps: Steps,
    ) -> Result<Vec<Column>, Error> {
        let matching = &binary.matching;
        let swapped = matching.card == Card::OneToMany;
        let (many, one) = if swapped { (right, left) } else { (left, right) };
        // The fill values belong to the sides after the exchange too.
        let (fill_many, fill_one) = (matching.fill_left, matching.fill_right);
        if many.is_empty() && fill_many.is_none() || one.is_empty() && fill_one.is_none() {
            return Ok(Vec::new());
        }
        let mut signatures = Signatures::new(matching);
        let many_numbers = signatures.of(many);
        let one_numbers = signatures.of(one);
        let one_side = one_side(matching, one, &one_numbers, steps)?;
        let natives = Rc::clone(&self.natives);
        let mut joiner = Joiner {
            binary,
            steps,
            swapped,
            natives: &natives,
            span,
            drops_names: !self.options.delayed_name_removal,
            matched: Marks::default(),
            results: HashMap::default(),
            out: Vec::new(),
            grown: 0,
        };
        let mut held = 0;
        for (column, &number) in many.iter().zip(&many_numbers) {
            self.budget.tick()?;
            let partners = one_side.get(&number).map_or(&[][..], Vec::as_slice);
            for partner in partners {
                joiner.pair(column, partner, number)?;
                held += self.pay(&mut joiner)?;
            }
            if let Some(fill) = fill_one {
                joiner.fill_one(column, partners, number, fill)?;
                held += self.pay(&mut joiner)?;
            }
        }
        if let Some(fill) = fill_many {
            for (column, &number) in one.iter().zip(&one_numbers) {
                joiner.fill_many(column, number, fill)?;
                held += self.pay(&mut joiner)?;
            }
        }
        self.budget.release_bytes(held);
        join_same(joiner.out, false)
    }

    /// Holds what the result has grown by; gives the bytes of it.
    fn pay(&mut self, joiner: &mut Joiner<'_>) -> Result<usize, Error> {
        let bytes = std::mem::take(&mut joiner.grown);
        self.budget.hold_bytes(bytes)?;
        Ok(bytes)
    }
}

/// Sorts the one side by signature; no two columns of one may have a value at the same step.
fn one_side<'a>(
    matching: &Matching,
    columns: &'a [Column],
    numbers: &[usize],
    steps: Steps,
) -> Result<OneSide<'a>, Error> {
    let mut side = OneSide::default();
    for (column, &number) in columns.iter().zip(numbers) {
        side.entry(number).or_default().push(column);
    }
    for (column, number) in columns.iter().zip(numbers) {
        let same = side.get(number).map_or(&[][..], Vec::as_slice);
        if same.len() < 2 {
            continue;
        }
        let clash = same.iter().find(|other| {
            !std::ptr::eq(**other, column)
                && (0..steps.count)
                    .any(|step| !is_absent(column.get(step)) && !is_absent(other.get(step)))
        });
        if let Some(other) = clash {
            return Err(duplicate(matching, column, other));
        }
    }
    Ok(side)
}

fn duplicate(matching: &Matching, a: &Column, b: &Column) -> Error {
    let side = if matching.card == Card::OneToMany { "left" } else { "right" };
    let group = matching_labels(matching, &a.labels);
    let (mut first, mut second) = (a.labels.to_string(), b.labels.to_string());
    if first > second {
        std::mem::swap(&mut first, &mut second);
    }
    Error::Execution(format!(
        "found duplicate series for the match group {group} on the {side} hand-side of the \
         operation: [{first}, {second}];many-to-many matching not allowed: matching labels must \
         be unique on one side"
    ))
}

impl Joiner<'_> {
    /// Both sides have an element at some steps.
    fn pair(&mut self, many: &Column, one: &Column, number: usize) -> Result<(), Error> {
        let first = many.first.max(one.first);
        let end = (many.first + many.values.len()).min(one.first + one.values.len());
        let values = (first..end).filter_map(|step| {
            let (a, b) = (many.get(step), one.get(step));
            (!is_absent(a) && !is_absent(b)).then_some((step, a, b))
        });
        let values: Vec<_> = values.collect();
        self.emit(&many.labels, &one.labels, number, &values)
    }

    /// The one side lacks an element: it is `fill`.
    fn fill_one(
        &mut self,
        many: &Column,
        partners: &[&Column],
        number: usize,
        fill: f64,
    ) -> Result<(), Error> {
        let alone = |step: usize| partners.iter().all(|one| is_absent(one.get(step)));
        let values: Vec<_> =
            many.iter().filter(|&(s, _)| alone(s)).map(|(s, value)| (s, value, fill)).collect();
        let labels = matching_labels(&self.binary.matching, &many.labels);
        self.emit(&many.labels, &labels, number, &values)
    }

    /// The many side lacks an element: it is `fill`.
    fn fill_many(&mut self, one: &Column, number: usize, fill: f64) -> Result<(), Error> {
        let matched = self.matched.get(&number);
        let done = |step: usize| matched.and_then(|m| m.get(step)).copied().unwrap_or(false);
        let values: Vec<_> =
            one.iter().filter(|&(s, _)| !done(s)).map(|(s, value)| (s, fill, value)).collect();
        let labels = matching_labels(&self.binary.matching, &one.labels);
        self.emit(&labels, &one.labels, number, &values)
    }

    /// Computes the elements of one result column: steps with the values of both sides.
    fn emit(
        &mut self,
        many: &Labels,
        one: &Labels,
        number: usize,
        values: &[(usize, f64, f64)],
    ) -> Result<(), Error> {
        if values.is_empty() {
            return Ok(());
        }
        let labels = self.result_labels(many, one);
        let steps = self.steps.count;
        let matched = self.matched.entry(number).or_insert_with(|| vec![false; steps]);
        let result = if self.binary.matching.card == Card::OneToOne {
            None
        } else {
            let key = (number, labels.clone());
            Some(self.results.entry(key).or_insert_with(|| vec![false; steps]))
        };
        let taken = mark(matched, values);
        let repeated = result.map(|marks| mark(marks, values));
        match repeated {
            None if taken => return Err(Error::Execution(MANY_TO_ONE.to_owned())),
            Some(true) => {
                return Err(Error::Execution(NOT_UNIQUE.to_owned()));
            }
            _ => {}
        }
        let mut slots = Slots::default();
        let special = self.natives.any() || self.binary.op.is_trim();
        for &(step, a, b) in values {
            let (a, b) = if self.swapped { (b, a) } else { (a, b) };
            let value = if special {
                super::native::pair(self.binary, self.natives, a, b, self.span)
            } else {
                element(self.binary, a, b)
            };
            slots.set(step, value);
        }
        if let Some(column) = slots.column(labels, self.binary.returns_bool) {
            self.grown += size_of_val(&*column.values) + column.labels.heap_bytes();
            self.out.push(column);
        }
        Ok(())
    }

    fn result_labels(&self, many: &Labels, one: &Labels) -> Labels {
        let matching = &self.binary.matching;
        let arithmetic = changes_metric(self.binary) && !self.binary.returns_bool;
        let start = if arithmetic || (self.binary.returns_bool && self.drops_names) {
            drop_metadata(many)
        } else {
            many.clone()
        };
        if matching.card == Card::OneToOne && !matching.on && matching.labels.is_empty() {
            return start;
        }
        let mut builder = LabelsBuilder::from_labels(&start);
        if matching.card == Card::OneToOne {
            let named = |name: &str| matching.labels.iter().any(|label| label == name);
            builder.retain(|name, _| named(name) == matching.on);
        }
        for name in &matching.include {
            builder.set(name, one.get(name).unwrap_or(""));
        }
        builder.build()
    }
}

/// Marks the steps of `values`; whether one was marked before.
fn mark(marks: &mut [bool], values: &[(usize, f64, f64)]) -> bool {
    let mut taken = false;
    for &(step, ..) in values {
        if let Some(slot) = marks.get_mut(step) {
            taken |= *slot;
            *slot = true;
        }
    }
    taken
}
