//! `info`: labels of info metrics (`target_info`) added to the series of the same instance.

use std::collections::HashMap;

use narthex_model::{Hashing, LabelsBuilder, METRIC_NAME, MatchOp, Matcher, Timestamp, is_absent};

use crate::Error;
use crate::column::{Column, Slots, join_same};
use crate::eval::Evaluator;
use crate::plan::{At, Call, Edge, Expr, Length, Node, Selector};
use crate::steps::Steps;

/// The labels that say to which instance a series belongs.
const IDENTITY: [&str; 2] = ["instance", "job"];

/// An info series: its samples' times by step, its name and its identity.
#[derive(Debug)]
struct Source {
    column: Column,
    key: Vec<String>,
}

impl Evaluator<'_> {
    pub(super) fn info(&mut self, call: &Call, steps: Steps) -> Result<Vec<Column>, Error> {
        let base_node = call.arg(0)?;
        let base = self.vector(base_node, steps)?;
        let matchers = match call.args.get(1).map(|node| &node.bare().expr) {
            Some(Expr::Vector(selector)) => selector.matchers.clone(),
            Some(_) => Vec::new(),
            None => vec![Matcher::equal(METRIC_NAME, "target_info")],
        };
        let (names, data): (Vec<_>, Vec<_>) =
            matchers.into_iter().partition(|matcher| matcher.name() == METRIC_NAME);
        let names = effective_names(names)?;
        let is_info = |column: &Column| {
            names.iter().all(|matcher| matcher.matches(column.labels.metric_name()))
        };
        let sources = self.sources(base_node, &base, &names, &data, steps, &is_info)?;
        let mut out = Vec::new();
        for column in base {
            self.budget.tick()?;
            if is_info(&column) {
                out.push(column);
            } else {
                enrich(&column, &sources, &data, &mut out)?;
            }
        }
        join_same(out, false)
    }

    /// Selects the info series that may concern the base series.
    fn sources(
        &mut self,
        base_node: &Node,
        base: &[Column],
        names: &[Matcher],
        data: &[Matcher],
        steps: Steps,
        is_info: &dyn Fn(&Column) -> bool,
    ) -> Result<Vec<Source>, Error> {
        let mut matchers: Vec<Matcher> = names.iter().chain(data).cloned().collect();
        let mut found = false;
        for label in IDENTITY {
            let mut values: Vec<&str> = base
                .iter()
                .filter(|column| !is_info(column))
                .filter_map(|column| column.labels.get(label))
                .collect();
            values.sort_unstable();
            values.dedup();
            if values.is_empty() {
                continue;
            }
            found = true;
            let pattern: Vec<_> = values.iter().map(|value| quote_meta(value)).collect();
            let matcher = Matcher::new(MatchOp::Regex, label, &pattern.join("|"));
            matchers.push(matcher.map_err(|error| Error::Execution(error.to_string()))?);
        }
        if !found {
            return Ok(Vec::new());
        }
        let (at, offset) = self.reference(base_node)?;
        let offset = Length::Fixed(offset);
        let name = String::new();
        let selector =
            Selector { name, matchers, at, offset, edge: Edge::Plain, counts_only: false };
        let columns = self.select_with(&selector, steps, |at, _| millis(at))?;
        Ok(columns.into_iter().map(|column| Source { key: key_of(&column), column }).collect())
    }

    /// The `@` and the offset, in milliseconds, of the first selector in `node`.
    fn reference(&self, node: &Node) -> Result<(Option<At>, i64), Error> {
        let found = match &node.expr {
            Expr::Vector(selector) => Some((selector.at, self.length(&selector.offset)?)),
            Expr::Matrix(matrix) => {
                Some((matrix.selector.at, self.length(&matrix.selector.offset)?))
            }
            _ => None,
        };
        if let Some(found) = found {
            return Ok(found);
        }
        // Prometheus looks into what is aggregated before it looks into the parameter.
        let inner = match &node.expr {
            Expr::Aggregate(aggregate) => Some(&aggregate.inner),
            _ => None,
        };
        let mut children = inner.into_iter().chain(node.children());
        let Some(child) = children.find(|child| has_selector(child)) else {
            return Ok((None, 0));
        };
        let (at, offset) = self.reference(child)?;
        match &node.expr {
            Expr::Subquery(subquery) if at.is_none() => {
                Ok((subquery.at, offset + self.length(&subquery.offset)?))
            }
            _ => Ok((at, offset)),
        }
    }
}

fn has_selector(node: &Node) -> bool {
    matches!(node.expr, Expr::Vector(_) | Expr::Matrix(_)) || node.children().any(has_selector)
}

/// A time as a value: which of two info series is the newer is all that is asked.
#[expect(clippy::cast_precision_loss, reason = "times are far below 2^53 ms")]
fn millis(at: Timestamp) -> f64 {
    at.0 as f64
}

/// The name matchers, of which one at least says what a name is.
fn effective_names(names: Vec<Matcher>) -> Result<Vec<Matcher>, Error> {
    let says = |matcher: &Matcher| matches!(matcher.op(), MatchOp::Equal | MatchOp::Regex);
    if names.iter().any(says) {
        return Ok(names);
    }
    if names.is_empty() {
        return Ok(vec![Matcher::equal(METRIC_NAME, "target_info")]);
    }
    let any = Matcher::new(MatchOp::Regex, METRIC_NAME, ".+_info");
    let any = any.map_err(|error| Error::Execution(error.to_string()))?;
    Ok(std::iter::once(any).chain(names).collect())
}

fn quote_meta(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// To which instance a series belongs.
fn key_of(column: &Column) -> Vec<String> {
    IDENTITY.iter().map(|label| column.labels.get(label).unwrap_or("").to_owned()).collect()
}

/// Splits `column` by the info series that are the newest of their metric at each step.
fn enrich(
    column: &Column,
    sources: &[Source],
    data: &[Matcher],
    out: &mut Vec<Column>,
) -> Result<(), Error> {
    let key = key_of(column);
    let mine: Vec<&Column> = sources.iter().filter(|s| s.key == key).map(|s| &s.column).collect();
    let optional = data.iter().all(Matcher::matches_empty);
    let mut parts: HashMap<Vec<usize>, Slots, Hashing> = HashMap::default();
    let mut order: Vec<Vec<usize>> = Vec::new();
    for (step, value) in column.iter() {
        let chosen = newest(&mine, step)?;
        if chosen.is_empty() && !optional {
            continue;
        }
        if !parts.contains_key(&chosen) {
            order.push(chosen.clone());
        }
        parts.entry(chosen).or_default().set(step, value);
    }
    for chosen in order {
        let Some(slots) = parts.remove(&chosen) else { continue };
        let labels = with_labels(column, &chosen, &mine, data)?;
        out.extend(slots.column(labels, column.drop_name));
    }
    Ok(())
}

/// The newest info series of each metric at `step`, as places in `sources`.
fn newest(sources: &[&Column], step: usize) -> Result<Vec<usize>, Error> {
    let mut best: Vec<(usize, f64)> = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        let at = source.get(step);
        if is_absent(at) {
            continue;
        }
        let name = source.labels.metric_name();
        let same = best.iter_mut().find(|(have, _)| {
            sources.get(*have).is_some_and(|have| have.labels.metric_name() == name)
        });
        match same {
            None => best.push((index, at)),
            Some(old) if old.1 < at => *old = (index, at),
            Some(old) if old.1 > at => {}
            Some((old, _)) => {
                let first = sources.get(*old).map(|s| s.labels.to_string()).unwrap_or_default();
                let second = &source.labels;
                return Err(Error::Execution(format!(
                    "found duplicate series for info metric: existing {first} @ {at}, new \
                     {second} @ {at}"
                )));
            }
        }
    }
    Ok(best.into_iter().map(|(index, _)| index).collect())
}

fn with_labels(
    column: &Column,
    chosen: &[usize],
    sources: &[&Column],
    data: &[Matcher],
) -> Result<narthex_model::Labels, Error> {
    let mut added = LabelsBuilder::default();
    for source in chosen.iter().filter_map(|&index| sources.get(index)) {
        for (name, value) in &source.labels {
            let wanted = data.is_empty() || data.iter().any(|matcher| matcher.name() == name);
            if name == METRIC_NAME || !wanted {
                continue;
            }
            if added.get(name).is_some_and(|have| have != value) {
                return Err(Error::Execution(format!("conflicting label: {name}")));
            }
            if column.labels.get(name).is_none() {
                added.set(name, value);
            }
        }
    }
    let mut builder = LabelsBuilder::from_labels(&column.labels);
    for (name, value) in added.iter() {
        builder.set(name, value);
    }
    Ok(builder.build())
}
