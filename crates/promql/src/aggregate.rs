//! Aggregations.

use std::collections::HashMap;

use narthex_model::number::{GoFloat, PlainFloat};
use narthex_model::{ABSENT, Hashing, Labels, LabelsBuilder, METRIC_NAME, is_absent};

use crate::Error;
use crate::budget::Budget;
use crate::column::{Column, Slots, is_metadata, join_same};
use crate::eval::Evaluator;
use crate::native::Natives;
use crate::numeric::{go_max, go_min, quantile};
use crate::plan::{Aggregate, AggregateOp, Expr, Node, Span};
use crate::steps::Steps;

mod fold;
mod native;
mod rank;

/// Columns that are aggregated into one.
#[derive(Debug)]
pub(crate) struct Group {
    labels: Labels,
    name: NameMark,
    members: Vec<usize>,
}

/// Whether the metric's name of a group goes: that is told by the elements of its last step.
#[derive(Clone, Copy, Debug, Default)]
struct NameMark {
    last: Option<usize>,
    drops: bool,
}

impl NameMark {
    fn add(&mut self, column: &Column) {
        let last = column.last_used();
        if last > self.last {
            *self = Self { last, drops: column.drop_name };
        } else if last == self.last {
            self.drops |= column.drop_name;
        }
    }
}

impl Evaluator<'_> {
    /// Computes an aggregation.
    pub(crate) fn aggregate(
        &mut self,
        aggregate: &Aggregate,
        steps: Steps,
    ) -> Result<Vec<Column>, Error> {
        let held = self.budget.held();
        let whole = self.place;
        let (params, param_span) = match (&aggregate.param, aggregate.op) {
            (None, _) | (_, AggregateOp::CountValues) => (Vec::new(), Span::default()),
            (Some(param), _) => (self.parameter(param, steps)?, param.bare().span),
        };
        if let (Some(param), AggregateOp::CountValues) = (&aggregate.param, aggregate.op) {
            check_label(param)?;
        }
        if self.meets_parts(&aggregate.inner) {
            let out = self.aggregate_natives(aggregate, &params, param_span, whole, steps)?;
            self.keep(&out, held)?;
            return Ok(out);
        }
        if let Some(out) = self.fold(aggregate, steps)? {
            self.keep(&out, held)?;
            return Ok(out);
        }
        let columns = self.vector(&aggregate.inner, steps)?;
        let out = match aggregate.op {
            AggregateOp::CountValues => {
                count_values(aggregate, &columns, &self.natives, &mut self.budget)?
            }
            AggregateOp::Quantile => {
                self.warn_quantile(&params, param_span);
                let groups = groups(aggregate, &columns);
                self.group_quantiles(&groups, &columns, &params, steps)?
            }
            _ => self.rank(aggregate, &columns, &params, param_span, steps)?,
        };
        self.keep(&out, held)?;
        Ok(out)
    }

    pub(crate) fn group_quantiles(
        &mut self,
        groups: &[Group],
        columns: &[Column],
        params: &[f64],
        steps: Steps,
    ) -> Result<Vec<Column>, Error> {
        let bytes = groups.len().saturating_mul(steps.count).saturating_mul(size_of::<f64>());
        self.budget.hold_bytes(bytes)?;
        let mut out = Vec::new();
        for group in groups {
            self.budget.check()?;
            out.extend(quantiles(group, columns, params, steps));
        }
        self.budget.release_bytes(bytes);
        Ok(out)
    }

    /// Computes a parameter. Prometheus does not resolve its fixed times: see
    /// `fixed_instant`.
    fn parameter(&mut self, param: &Node, steps: Steps) -> Result<Vec<f64>, Error> {
        let outer = self.unresolved.replace(steps.start);
        let values = self.scalar(param, steps);
        self.unresolved = outer;
        values
    }

    /// Warns of each kind of value that is no quantile.
    pub(crate) fn warn_quantile(&mut self, values: &[f64], at: Span) {
        let (low, high) = bounds(values);
        let mut wrong = Vec::new();
        wrong.extend(values.iter().copied().find(|value| value.is_nan()));
        wrong.extend([high].into_iter().filter(|&value| value > 1.0));
        wrong.extend([low].into_iter().filter(|&value| value < 0.0));
        for value in wrong {
            let value = GoFloat(value);
            let message = format!("quantile value should be between 0 and 1, got {value}");
            self.notes.warn(&message, at);
        }
    }
}

/// The least and the greatest of `values`, as Go finds them: NaN counts, unless one is infinite.
fn bounds(values: &[f64]) -> (f64, f64) {
    let low = values.iter().copied().reduce(go_min).unwrap_or(0.0);
    let high = values.iter().copied().reduce(go_max).unwrap_or(0.0);
    (low, high)
}

fn check_label(param: &Node) -> Result<(), Error> {
    match &param.bare().expr {
        Expr::String(label) if label.is_empty() || !crate::plan::is_utf8(label) => {
            let shown = crate::plan::quoted(label);
            Err(Error::Execution(format!("invalid label name {shown}")))
        }
        _ => Ok(()),
    }
}

/// Whether a label with the name `name` is one of its group's. With `nameless` the metric's name
/// is taken as gone.
fn groups_by(aggregate: &Aggregate, name: &str, nameless: bool) -> bool {
    let named = aggregate.labels.iter().any(|label| label == name);
    if nameless && is_metadata(name) {
        return false;
    }
    if aggregate.without { name != METRIC_NAME && !named } else { named }
}

/// The labels of the group that `labels` belong to.
fn group_labels(aggregate: &Aggregate, labels: &Labels, nameless: bool) -> Labels {
    labels.filtered(|name| groups_by(aggregate, name, nameless))
}

/// Appends the encoded form of [`group_labels`].
fn encode_group(aggregate: &Aggregate, labels: &Labels, nameless: bool, out: &mut String) {
    if aggregate.without || !aggregate.labels.is_empty() {
        labels.encode_filtered(|name| groups_by(aggregate, name, nameless), out);
    }
}

/// Sorts columns into groups, in the order of their first member.
fn groups(aggregate: &Aggregate, columns: &[Column]) -> Vec<Group> {
    let mut places: HashMap<Labels, usize, Hashing> = HashMap::default();
    let mut groups: Vec<Group> = Vec::new();
    for (index, column) in columns.iter().enumerate() {
        let labels = group_labels(aggregate, &column.labels, false);
        let next = groups.len();
        let place = *places.entry(labels.clone()).or_insert(next);
        if place == next {
            groups.push(Group { labels, name: NameMark::default(), members: Vec::new() });
        }
        if let Some(group) = groups.get_mut(place) {
            group.members.push(index);
            group.name.add(column);
        }
    }
    groups
}

impl Group {
    fn columns<'c>(&self, columns: &'c [Column]) -> impl Iterator<Item = &'c Column> {
        self.members.iter().filter_map(|&index| columns.get(index))
    }
}

fn quantiles(group: &Group, columns: &[Column], params: &[f64], steps: Steps) -> Option<Column> {
    let mut slots = Slots::default();
    let mut values = Vec::new();
    for step in 0..steps.count {
        values.clear();
        values.extend(group.columns(columns).map(|c| c.get(step)).filter(|&v| !is_absent(v)));
        if values.is_empty() {
            slots.push(ABSENT);
        } else {
            slots.push(quantile(params.get(step).copied().unwrap_or(f64::NAN), &mut values));
        }
    }
    slots.column(group.labels.clone(), group.name.drops)
}

/// How often each value occurs, the value being a label of the result.
fn count_values(
    aggregate: &Aggregate,
    columns: &[Column],
    natives: &Natives,
    budget: &mut Budget<'_>,
) -> Result<Vec<Column>, Error> {
    let Some(Expr::String(label)) = aggregate.param.as_ref().map(|param| &param.bare().expr) else {
        return Ok(Vec::new());
    };
    let mut grouping = aggregate.clone();
    if !grouping.without {
        grouping.labels.push(label.clone());
    }
    let mut places: HashMap<Labels, usize, Hashing> = HashMap::default();
    let mut out: Vec<Column> = Vec::new();
    let mut held = 0;
    for column in columns {
        let mut builder = LabelsBuilder::from_labels(&column.labels);
        let mut last: Option<(u64, usize)> = None;
        for (step, value) in column.iter() {
            let place = match last {
                Some((bits, place)) if bits == value.to_bits() => place,
                _ => {
                    let text = match natives.get(value) {
                        Some(histogram) => histogram.to_string(),
                        None => PlainFloat(value).to_string(),
                    };
                    builder.set(label, &text);
                    let labels = group_labels(&grouping, &builder.build(), false);
                    let next = out.len();
                    let place = *places.entry(labels.clone()).or_insert(next);
                    if place == next {
                        budget.tick()?;
                        budget.hold_bytes(size_of::<Column>() + 2 * labels.heap_bytes())?;
                        out.push(Column { labels, drop_name: false, first: 0, values: Vec::new() });
                    }
                    place
                }
            };
            last = Some((value.to_bits(), place));
            if let Some(counts) = out.get_mut(place) {
                let bytes = count(counts, step) * size_of::<f64>();
                held += bytes;
                budget.hold_bytes(bytes)?;
            }
        }
    }
    budget.release_bytes(held);
    join_same(out, false)
}

/// Adds one to a column's value at `step`; tells how many slots the column got for it.
fn count(column: &mut Column, step: usize) -> usize {
    let slots = column.values.len();
    if column.values.is_empty() {
        column.first = step;
    }
    if step < column.first {
        let missing = column.first - step;
        column.values.splice(0..0, std::iter::repeat_n(ABSENT, missing));
        column.first = step;
    }
    let index = step - column.first;
    if index >= column.values.len() {
        column.values.resize(index + 1, ABSENT);
    }
    if let Some(slot) = column.values.get_mut(index) {
        *slot = if is_absent(*slot) { 1.0 } else { *slot + 1.0 };
    }
    column.values.len() - slots
}
