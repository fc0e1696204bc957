//! Native histograms in scripts: `{{schema:0 count:4 sum:5 buckets:[1 2 1]}}`.

use std::collections::BTreeMap;
use std::sync::Arc;

use narthex_model::histogram::{Bar, CUSTOM_SCHEMA, Hint};
use narthex_model::{Histogram, Labels, LabelsBuilder, METRIC_NAME};

use super::series::{Described, Item, Samples, VALUES_MAX, parse_number, parse_times};

/// Reads `{{..}}`, `{{..}}x5`, `{{..}}+{{..}}x5` or `{{..}}-{{..}}x5` off the front of `text`; gives
/// the rest.
pub(super) fn parse_run<'t>(text: &'t str, out: &mut Vec<Item>) -> Result<&'t str, String> {
    let (base, mut rest) = parse_one(text)?;
    let mut step = None;
    if let Some(tail) = rest.strip_prefix(['+', '-']) {
        let adds = rest.starts_with('+');
        let (described, tail) = parse_one(tail)?;
        step = Some((adds, described));
        rest = tail;
    }
    let mut times = 0;
    if let Some(tail) = rest.strip_prefix('x') {
        let digits = tail.bytes().take_while(u8::is_ascii_digit).count();
        let (count, tail) = tail.split_at(digits);
        times = parse_times(count)?;
        rest = tail;
    }
    if out.len() + times > VALUES_MAX {
        return Err(format!("more than {VALUES_MAX} values"));
    }
    let mut current = base;
    if let Some((_, step)) = &step {
        // Of a run that changes, the change says whether hints are compared.
        current.hint_given = step.hint_given;
    }
    out.push(Item::Histogram(Box::new(current.clone())));
    for _ in 0..times {
        if let Some((adds, step)) = &step {
            let next = &mut current.histogram;
            let done =
                if *adds { next.add(&step.histogram) } else { next.subtract(&step.histogram) };
            done.map_err(|error| error.to_string())?;
        }
        out.push(Item::Histogram(Box::new(current.clone())));
    }
    Ok(rest)
}

fn parse_one(text: &str) -> Result<(Described, &str), String> {
    let inner = text.strip_prefix("{{").ok_or_else(|| format!("no histogram: {text}"))?;
    let (fields, rest) = inner.split_once("}}").ok_or_else(|| format!("no end: {text}"))?;
    let mut described = Described { histogram: Histogram::default(), hint_given: false };
    let (mut offset, mut negative_offset) = (0, 0);
    let (mut positive, mut negative) = (Vec::new(), Vec::new());
    let mut fields = fields.trim();
    while !fields.is_empty() {
        let (name, value) = fields.split_once(':').ok_or_else(|| format!("no value: {fields}"))?;
        let (value, tail) = match value.strip_prefix('[') {
            Some(list) => list.split_once(']').ok_or_else(|| format!("no end: {value}"))?,
            None => value.split_once(char::is_whitespace).unwrap_or((value, "")),
        };
        let whole = || value.parse::<i32>().map_err(|_| format!("bad number: {value}"));
        let histogram = &mut described.histogram;
        match name {
            "schema" => histogram.schema = whole()?,
            "sum" => histogram.sum = parse_number(value)?,
            "count" => histogram.count = parse_number(value)?,
            "z_bucket" => histogram.zero_count = parse_number(value)?,
            "z_bucket_w" => histogram.zero_threshold = parse_number(value)?,
            "offset" => offset = whole()?,
            "n_offset" => negative_offset = whole()?,
            "buckets" => positive = numbers(value)?,
            "n_buckets" => negative = numbers(value)?,
            "custom_values" => histogram.bounds = Arc::from(numbers(value)?),
            "counter_reset_hint" => {
                histogram.hint = hint(value)?;
                described.hint_given = true;
            }
            _ => return Err(format!("unknown field: {name}")),
        }
        fields = tail.trim_start();
    }
    described.histogram.positive = bars(offset, &positive);
    described.histogram.negative = bars(negative_offset, &negative);
    Ok((described, rest))
}

fn numbers(text: &str) -> Result<Vec<f64>, String> {
    text.split_whitespace().map(parse_number).collect()
}

fn hint(text: &str) -> Result<Hint, String> {
    match text {
        "unknown" => Ok(Hint::Unknown),
        "reset" => Ok(Hint::Reset),
        "not_reset" => Ok(Hint::NotReset),
        "gauge" => Ok(Hint::Gauge),
        _ => Err(format!("unknown hint: {text}")),
    }
}

fn bars(offset: i32, counts: &[f64]) -> Vec<Bar> {
    counts.iter().zip(offset..).map(|(&count, index)| Bar { index, count }).collect()
}

/// A classic histogram at one time.
#[derive(Clone, Debug, Default)]
struct Classic {
    count: Option<f64>,
    sum: f64,
    /// Cumulated counts by upper bound, in order.
    buckets: Vec<(f64, f64)>,
    broken: bool,
}

impl Classic {
    fn add_bucket(&mut self, bound: f64, count: f64) {
        let place = self.buckets.partition_point(|&(have, _)| have < bound);
        let below = place.checked_sub(1).and_then(|at| self.buckets.get(at));
        let above = self.buckets.get(place);
        if above.is_some_and(|&(have, _)| have.to_bits() == bound.to_bits()) {
            return;
        }
        self.broken |= count.is_nan()
            || count < 0.0
            || below.is_some_and(|&(_, below)| count < below)
            || above.is_some_and(|&(_, above)| count > above);
        self.buckets.insert(place, (bound, count));
    }

    /// The same as a native histogram with custom bounds.
    fn convert(&self) -> Option<Histogram> {
        if self.broken {
            return None;
        }
        let mut buckets = self.buckets.clone();
        let last = buckets.last().copied();
        let count = self.count.or(last.map(|(_, count)| count)).unwrap_or(0.0);
        if last.is_none_or(|(bound, _)| bound < f64::INFINITY) {
            buckets.push((f64::INFINITY, count));
        }
        let total = buckets.last().map_or(0.0, |&(_, count)| count);
        if total.to_bits() != count.to_bits() {
            return None;
        }
        let mut below = 0.0;
        let mut positive = Vec::new();
        for (index, &(_, cumulated)) in (0..).zip(&buckets) {
            positive.push(Bar { index, count: cumulated - below });
            below = cumulated;
        }
        let finite = buckets.iter().map(|&(bound, _)| bound).filter(|bound| bound.is_finite());
        Some(Histogram {
            schema: CUSTOM_SCHEMA,
            count,
            sum: self.sum,
            positive,
            bounds: finite.collect(),
            ..Histogram::default()
        })
    }
}

/// The classic histograms among `series` as native histograms with custom bounds.
pub(super) fn converted(series: &[Samples]) -> Vec<Samples> {
    let mut found: BTreeMap<Labels, Vec<Option<Classic>>> = BTreeMap::new();
    for (labels, items) in series {
        let name = labels.metric_name();
        let kinds = ["_bucket", "_count", "_sum"];
        let kind = kinds.into_iter().find(|kind| name.ends_with(kind)).unwrap_or("");
        let bound = labels.get("le").and_then(|bound| bound.parse::<f64>().ok());
        if kind.is_empty() || (kind == "_bucket" && bound.is_none_or(f64::is_nan)) {
            continue;
        }
        let mut builder = LabelsBuilder::from_labels(labels);
        builder.set(METRIC_NAME, name.strip_suffix(kind).unwrap_or(name)).remove("le");
        let rows = found.entry(builder.build()).or_default();
        rows.resize(rows.len().max(items.len()), None);
        for (row, item) in rows.iter_mut().zip(items) {
            let &Item::Number(value) = item else { continue };
            let row = row.get_or_insert_default();
            match (kind, bound) {
                ("_bucket", Some(bound)) => row.add_bucket(bound, value),
                ("_count", _) => row.count = Some(value),
                _ => row.sum = value,
            }
        }
    }
    let item = |row: Option<Classic>| match row.and_then(|row| row.convert()) {
        Some(histogram) => Item::Histogram(Box::new(Described { histogram, hint_given: false })),
        None => Item::Gap,
    };
    let all = found.into_iter();
    all.map(|(labels, rows)| (labels, rows.into_iter().map(item).collect())).collect()
}
