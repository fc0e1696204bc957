//! Operators between the elements of two vectors.
//!
//! The "one" side is made the right side; each column of the left then meets the columns of the
//! right that have its signature. Several columns of the right may share a signature as long as no
//! two of them have a value at the same step. Whether elements meet several times is only watched
//! for here: [`super::clash`] then goes through the steps one by one.

use std::collections::HashMap;
use std::rc::Rc;

use narthex_model::{Hashing, Labels, LabelsBuilder, is_absent};

use super::native::{Remarks, Verdict, judged, pair};
use super::{Signatures, changes_metric, clash, element, matching_labels};
use crate::Error;
use crate::column::{Column, Slots, drop_metadata, join_same};
use crate::eval::Evaluator;
use crate::native::Natives;
use crate::options::Release;
use crate::plan::{Binary, Card, Span};
use crate::steps::Steps;

/// Steps at which something was matched.
type Marks = HashMap<usize, Vec<bool>, Hashing>;

/// The two sides of an operation: the many and the one.
#[derive(Debug)]
pub(super) struct Sides<'a> {
    pub(super) many: &'a [Column],
    pub(super) one: &'a [Column],
    /// The signature of each column.
    pub(super) many_numbers: Vec<usize>,
    pub(super) one_numbers: Vec<usize>,
    /// The values of missing elements.
    pub(super) fill_many: Option<f64>,
    pub(super) fill_one: Option<f64>,
}

/// How two elements become one.
pub(super) struct Rule<'a> {
    pub(super) binary: &'a Binary,
    pub(super) natives: &'a Natives,
    pub(super) swapped: bool,
    pub(super) release: Release,
    /// Whether metric names go at once.
    drops_names: bool,
    special: bool,
}

impl Rule<'_> {
    /// The element of one of the many side and one of the one side.
    pub(super) fn verdict(&self, many: f64, one: f64) -> Verdict {
        let (a, b) = if self.swapped { (one, many) } else { (many, one) };
        if self.special {
            pair(self.binary, self.natives, a, b)
        } else {
            judged(element(self.binary, a, b))
        }
    }

    /// Whether the elements count as matched, so that nothing else may match the same.
    pub(super) fn counts(&self, verdict: &Verdict) -> bool {
        match verdict {
            Verdict::Kept(_) | Verdict::Remarked(..) => true,
            Verdict::Filtered => self.release == Release::Newest,
            Verdict::Failed(_) => false,
        }
    }

    pub(super) fn result_labels(&self, many: &Labels, one: &Labels) -> Labels {
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

struct Joiner<'a> {
    rule: Rule<'a>,
    steps: Steps,
    remarks: Remarks,
    /// Matched steps by signature.
    matched: Marks,
    /// Matched steps by signature and result, for many-to-one.
    results: HashMap<(usize, Labels), Vec<bool>, Hashing>,
    /// Whether elements seem to have met several times.
    suspect: bool,
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
        let no_fill = fill_many.is_none() && fill_one.is_none();
        if (many.is_empty() || one.is_empty()) && no_fill {
            return Ok(Vec::new());
        }
        let mut signatures = Signatures::new(matching);
        let many_numbers = signatures.of(many);
        let one_numbers = signatures.of(one);
        let sides = Sides { many, one, many_numbers, one_numbers, fill_many, fill_one };
        let natives = Rc::clone(&self.natives);
        let special = natives.any() || binary.op.is_trim();
        let rule = Rule {
            binary,
            natives: &natives,
            swapped,
            release: self.options.release,
            drops_names: !self.options.delayed_name_removal,
            special,
        };
        let mut joiner = Joiner {
            rule,
            steps,
            remarks: Remarks::new(if special { steps.count } else { 0 }),
            matched: Marks::default(),
            results: HashMap::default(),
            suspect: false,
            out: Vec::new(),
            grown: 0,
        };
        let mut held = 0;
        let one_side = joiner.one_side(&sides);
        for (column, &number) in many.iter().zip(&sides.many_numbers) {
            self.budget.tick()?;
            let partners = one_side.get(&number).map_or(&[][..], Vec::as_slice);
            for partner in partners {
                joiner.pair(column, partner, number);
                held += self.pay(&mut joiner)?;
            }
            if let Some(fill) = fill_one {
                joiner.fill_one(column, partners, number, fill);
                held += self.pay(&mut joiner)?;
            }
        }
        if let Some(fill) = fill_many {
            for (column, &number) in one.iter().zip(&sides.one_numbers) {
                joiner.fill_many(column, number, fill);
                held += self.pay(&mut joiner)?;
            }
        }
        if joiner.suspect {
            for step in 0..steps.count {
                self.budget.tick()?;
                clash::check(&sides, &joiner.rule, step)?;
            }
        }
        joiner.remarks.make(&natives, span);
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

impl Joiner<'_> {
    /// Sorts the one side by signature; no two columns of one should have a value at the same step.
    fn one_side<'a>(&mut self, sides: &Sides<'a>) -> OneSide<'a> {
        let mut side = OneSide::default();
        for (column, &number) in sides.one.iter().zip(&sides.one_numbers) {
            side.entry(number).or_default().push(column);
        }
        for same in side.values().filter(|same| same.len() > 1) {
            let mut taken = vec![false; self.steps.count];
            for (step, _) in same.iter().flat_map(|column| column.iter()) {
                if let Some(slot) = taken.get_mut(step) {
                    self.suspect |= std::mem::replace(slot, true);
                }
            }
        }
        side
    }

    /// Both sides have an element at some steps.
    fn pair(&mut self, many: &Column, one: &Column, number: usize) {
        let first = many.first.max(one.first);
        let end = (many.first + many.values.len()).min(one.first + one.values.len());
        let values = (first..end).filter_map(|step| {
            let (a, b) = (many.get(step), one.get(step));
            (!is_absent(a) && !is_absent(b)).then_some((step, a, b))
        });
        let values: Vec<_> = values.collect();
        self.emit(&many.labels, &one.labels, number, &values);
    }

    /// The one side lacks an element: it is `fill`.
    fn fill_one(&mut self, many: &Column, partners: &[&Column], number: usize, fill: f64) {
        let alone = |step: usize| partners.iter().all(|one| is_absent(one.get(step)));
        let values: Vec<_> =
            many.iter().filter(|&(s, _)| alone(s)).map(|(s, value)| (s, value, fill)).collect();
        let labels = matching_labels(&self.rule.binary.matching, &many.labels);
        self.emit(&many.labels, &labels, number, &values);
    }

    /// The many side lacks an element: it is `fill`.
    fn fill_many(&mut self, one: &Column, number: usize, fill: f64) {
        let matched = self.matched.get(&number);
        let done = |step: usize| matched.and_then(|m| m.get(step)).copied().unwrap_or(false);
        let values: Vec<_> =
            one.iter().filter(|&(s, _)| !done(s)).map(|(s, value)| (s, fill, value)).collect();
        let labels = matching_labels(&self.rule.binary.matching, &one.labels);
        self.emit(&labels, &one.labels, number, &values);
    }

    /// Computes the elements of one result column: steps with the values of both sides.
    fn emit(&mut self, many: &Labels, one: &Labels, number: usize, values: &[(usize, f64, f64)]) {
        if values.is_empty() {
            return;
        }
        let labels = self.rule.result_labels(many, one);
        let steps = self.steps.count;
        let matched = self.matched.entry(number).or_insert_with(|| vec![false; steps]);
        let mut result = if self.rule.binary.matching.card == Card::OneToOne {
            None
        } else {
            let key = (number, labels.clone());
            Some(self.results.entry(key).or_insert_with(|| vec![false; steps]))
        };
        let mut slots = Slots::default();
        for &(step, a, b) in values {
            let verdict = self.rule.verdict(a, b);
            if self.rule.counts(&verdict) {
                let again = mark(matched, step);
                self.suspect |= match &mut result {
                    Some(marks) => mark(marks, step),
                    None => again,
                };
            }
            match verdict {
                Verdict::Kept(value) => slots.set(step, value),
                Verdict::Remarked(value, remark) => {
                    slots.set(step, value);
                    self.remarks.put(step, remark);
                }
                Verdict::Failed(remark) => self.remarks.put(step, remark),
                Verdict::Filtered => {}
            }
        }
        if let Some(column) = slots.column(labels, self.rule.binary.returns_bool) {
            self.grown += size_of_val(&*column.values) + column.labels.heap_bytes();
            self.out.push(column);
        }
    }
}

/// Marks a step; whether it was marked before.
fn mark(marks: &mut [bool], step: usize) -> bool {
    marks.get_mut(step).is_some_and(|slot| std::mem::replace(slot, true))
}
