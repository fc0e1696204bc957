//! Aggregations of vectors that may have histograms.

use std::sync::Arc;

use narthex_model::{ABSENT, Histogram, is_absent};

use super::fold::states;
use super::{Group, count_values, groups};
use crate::Error;
use crate::column::{Column, Slots};
use crate::eval::Evaluator;
use crate::functions::native::{Seen, average, sum, words};
use crate::options::Release;
use crate::plan::{Aggregate, AggregateOp, Span};
use crate::steps::Steps;

impl Evaluator<'_> {
    /// Computes an aggregation of which all elements are there at once.
    pub(super) fn aggregate_natives(
        &mut self,
        aggregate: &Aggregate,
        params: &[f64],
        param_span: Span,
        whole: Span,
        steps: Steps,
    ) -> Result<Vec<Column>, Error> {
        let mut columns = self.vector(&aggregate.inner, steps)?;
        let op = aggregate.op;
        if op.takes_numbers_only() && self.natives.in_columns(&columns) {
            // Prometheus names the whole expression for these two, else what is aggregated.
            let ranks = matches!(op, AggregateOp::Topk | AggregateOp::Bottomk);
            let at = if ranks { whole } else { self.inner_place(aggregate) };
            self.natives.info(words::ignored(op.as_str()), at);
            self.natives.strip(&mut columns);
        }
        let out = match op {
            AggregateOp::Sum | AggregateOp::Avg => {
                let groups = groups(aggregate, &columns);
                let totals = groups.iter().map(|group| {
                    self.budget.tick()?;
                    self.total(aggregate, group, &columns, steps)
                });
                totals.collect::<Result<Vec<_>, Error>>()?.into_iter().flatten().collect()
            }
            AggregateOp::CountValues => {
                count_values(aggregate, &columns, &self.natives, &mut self.budget)?
            }
            AggregateOp::Quantile => {
                self.warn_quantile(params, param_span);
                let groups = groups(aggregate, &columns);
                self.group_quantiles(&groups, &columns, params, steps)?
            }
            op => match states(op, steps.count) {
                Some(_) => {
                    let groups = groups(aggregate, &columns);
                    groups.iter().filter_map(|group| folded(op, group, &columns, steps)).collect()
                }
                None => self.rank(aggregate, &columns, params, param_span, steps)?,
            },
        };
        Ok(out)
    }

    /// Where what is aggregated stands; 3.5 counts parentheses in.
    fn inner_place(&self, aggregate: &Aggregate) -> Span {
        match self.natives.release() {
            Release::V3_5 => aggregate.inner.span,
            Release::Newest => aggregate.inner.bare().span,
        }
    }

    /// Sums of a group, or means: of its numbers or of its histograms, never of both.
    fn total(
        &self,
        aggregate: &Aggregate,
        group: &Group,
        columns: &[Column],
        steps: Steps,
    ) -> Result<Option<Column>, Error> {
        let members: Vec<&Column> = group.columns(columns).collect();
        if !members.iter().any(|column| self.natives.in_values(&column.values)) {
            return Ok(folded(aggregate.op, group, columns, steps));
        }
        let numbers = members.iter().map(|column| {
            let mut numbers = [Column::clone(column)];
            self.natives.strip(&mut numbers);
            numbers
        });
        let all = Group {
            labels: group.labels.clone(),
            name: group.name,
            members: (0..members.len()).collect(),
        };
        let numbers = folded(aggregate.op, &all, &numbers.flatten().collect::<Vec<_>>(), steps);
        let mut slots = Slots::default();
        for step in 0..steps.count {
            let number = numbers.as_ref().map_or(ABSENT, |column| column.get(step));
            slots.push(self.total_at(aggregate, &members, number, step));
            self.natives.check()?;
        }
        Ok(slots.column(group.labels.clone(), group.name.drops))
    }

    /// The total of one step; `number` is that of the elements that are numbers.
    fn total_at(
        &self,
        aggregate: &Aggregate,
        members: &[&Column],
        number: f64,
        step: usize,
    ) -> f64 {
        let at = self.inner_place(aggregate);
        let values = members.iter().map(|column| (column.get(step), column.labels.metric_name()));
        let mut found: Vec<(Arc<Histogram>, &str)> = Vec::new();
        let (mut has_number, mut number_first) = (false, false);
        let mut unfit = false;
        let strict = self.natives.release() == Release::V3_5;
        for (value, name) in values.filter(|(value, _)| !is_absent(*value)) {
            match self.natives.get(value) {
                None => {
                    has_number = true;
                    number_first |= found.is_empty();
                }
                Some(_) if number_first && !found.is_empty() => {}
                Some(histogram) => {
                    unfit = found.first().is_some_and(|(first, _)| {
                        first.is_custom() != histogram.is_custom()
                            || (strict && first.bounds != histogram.bounds)
                    });
                    found.push((histogram, name));
                    if unfit && !number_first {
                        // The rest is not looked at.
                        break;
                    }
                }
            }
        }
        if found.is_empty() {
            return number;
        }
        let total =
            if number_first { ABSENT } else { self.total_of(aggregate, &found, has_number) };
        if has_number {
            let text = "encountered a mix of histograms and floats for aggregation";
            self.natives.warn(text, at);
            return ABSENT;
        }
        if unfit { ABSENT } else { total }
    }

    /// The sum or the mean of histograms.
    fn total_of(
        &self,
        aggregate: &Aggregate,
        found: &[(Arc<Histogram>, &str)],
        is_mixed: bool,
    ) -> f64 {
        let at = self.inner_place(aggregate);
        let histograms = found.iter().map(|(histogram, _)| histogram);
        let mut seen = Seen::new(self.natives.release());
        let total = if aggregate.op == AggregateOp::Sum {
            sum(histograms, &mut seen)
        } else {
            average(histograms, &mut seen)
        };
        let (warning, info) = seen.texts();
        if let Some(info) = info {
            self.natives.info(info, at);
        }
        let total = match total {
            Ok(total) => total,
            Err(why) => {
                // The one is named that did not fit to those before.
                let name = found.last().map_or("", |(_, name)| name);
                self.natives.warn(words::unfit(why, name), at);
                return ABSENT;
            }
        };
        if let (Some(warning), false) = (warning, is_mixed) {
            self.natives.warn(warning, at);
        }
        total.map_or(ABSENT, |total| self.natives.add(total.compacted()))
    }
}

/// Folds the members of a group.
fn folded(op: AggregateOp, group: &Group, columns: &[Column], steps: Steps) -> Option<Column> {
    let mut states = states(op, steps.count)?;
    for column in group.columns(columns) {
        states.add(0, column);
    }
    states.slots(0).column(group.labels.clone(), group.name.drops)
}
