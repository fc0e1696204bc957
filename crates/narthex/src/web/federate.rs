//! `/federate`: the last sample of each selected series, as text or in the protobuf format, which
//! alone has a place for native histograms.

mod form;
mod protobuf;
mod text;

use std::collections::HashSet;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use narthex_model::{Histogram, Labels, METRIC_NAME, Matcher, TimeRange, Timestamp, is_stale};
use narthex_promql::Error;
use narthex_store::{Histograms, Samples, Series};

use self::form::{Encoding, Form};
use self::protobuf::Families;
use self::text::Lines;
use super::params::Params;
use super::reply::Paid;
use super::{Routes, text_error};
use crate::app::App;
use crate::engine;
use crate::look::{self, Look};

/// What a sample that was found takes besides its labels' texts and its buckets, in bytes.
const FOUND_BYTES: usize = 96;

pub(super) fn routes() -> Routes {
    Routes::new().route("/federate", get(federate))
}

async fn federate(State(app): State<Arc<App>>, headers: HeaderMap, params: Params) -> Response {
    let sets = match engine::all_selectors(params.all("match[]")) {
        Ok(sets) => sets,
        Err(reason) => return text_error(StatusCode::BAD_REQUEST, &reason),
    };
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    let form = Form::wanted(accept.unwrap_or(""));
    let now = app.clock.now();
    let back_ms = i64::try_from(app.flags.lookback.as_millis()).unwrap_or(i64::MAX);
    // A sample exactly as old as the lookback is too old.
    let range = TimeRange::new(now.minus_millis(back_ms).plus_millis(1), now);
    let external = app.config.load().config.global.external_labels.clone();
    let answered = look::look(&app, move |look| page(look, &sets, range, &external, form));
    match answered.await {
        Ok((page, share)) => {
            let body = Body::new(Paid::new(page, share));
            ([(CONTENT_TYPE, form.content_type())], body).into_response()
        }
        Err(error) => text_error(StatusCode::INTERNAL_SERVER_ERROR, &error.text),
    }
}

/// The last sample of a series.
#[derive(Clone, Debug)]
struct Found {
    labels: Labels,
    at: Timestamp,
    value: Latest,
}

#[derive(Clone, Debug)]
enum Latest {
    Number(f64),
    Histogram(Arc<Histogram>),
}

/// Writes samples one after the other, those of a metric together.
trait Write {
    /// Writes a sample, or leaves out what the form has no place for.
    fn sample(&mut self, found: &Found, labels: &[(&str, &str)]);

    /// Bytes so far.
    fn len(&self) -> usize;

    /// All that was written.
    fn finish(self: Box<Self>) -> Vec<u8>;
}

fn page(
    look: &mut Look,
    sets: &[Vec<Matcher>],
    range: TimeRange,
    external: &Labels,
    form: Form,
) -> Result<Vec<u8>, Error> {
    let mut found: Vec<Found> = Vec::new();
    let mut reading = Reading { range, samples: Samples::default(), parts: Histograms::default() };
    let (mut bytes, mut seen) = (0, HashSet::new());
    for set in sets {
        let selection = look.snapshot.select(set, range)?;
        for series in &selection.series {
            if sets.len() > 1 && !seen.insert(series.labels().clone()) {
                continue;
            }
            if let Some((at, value)) = reading.last(series)? {
                bytes += FOUND_BYTES + series.labels().heap_bytes();
                if let Latest::Histogram(histogram) = &value {
                    bytes += histogram.size() * size_of::<f64>();
                }
                found.push(Found { labels: series.labels().clone(), at, value });
            }
        }
        look.holds(bytes)?;
    }
    found.sort_by(|a, b| {
        (a.labels.metric_name(), &a.labels).cmp(&(b.labels.metric_name(), &b.labels))
    });
    let mut out: Box<dyn Write> = match form.encoding {
        Encoding::Text => Box::new(Lines::new(form.escaping)),
        Encoding::Protobuf => Box::new(Families::new(form.escaping)),
    };
    // Without a name there is nothing to write.
    for found in found.iter().filter(|found| !found.labels.metric_name().is_empty()) {
        out.sample(found, &shown(&found.labels, external));
        look.holds(bytes + out.len())?;
    }
    let out = out.finish();
    look.holds(out.len())?;
    Ok(out)
}

/// The labels that a sample is shown with, but for its name: its own, then those of the
/// configuration that it does not have.
fn shown<'l>(labels: &'l Labels, external: &'l Labels) -> Vec<(&'l str, &'l str)> {
    let mut added: Vec<(&str, &str)> = external.iter().collect();
    // A server that scrapes this would put its own `instance` where there is none.
    if external.get("instance").is_none() {
        added.push(("instance", ""));
        added.sort_unstable();
    }
    added.retain(|(name, _)| labels.get(name).is_none());
    labels.iter().filter(|(name, _)| *name != METRIC_NAME).chain(added).collect()
}

/// Reads series one after the other.
struct Reading {
    range: TimeRange,
    samples: Samples,
    parts: Histograms,
}

impl Reading {
    /// The last sample, unless it says that the series has ended.
    fn last(&mut self, series: &Series) -> Result<Option<(Timestamp, Latest)>, Error> {
        series.read(self.range, &mut self.samples)?;
        self.parts.clear();
        if series.has_parts() {
            series.read_parts(self.range, &mut self.parts)?;
        }
        Ok(last(&self.samples, &self.parts))
    }
}

fn last(samples: &Samples, parts: &Histograms) -> Option<(Timestamp, Latest)> {
    let number = samples.times.last().zip(samples.values.last());
    let histogram = parts.times.last().zip(parts.values.last());
    match (number, histogram) {
        (Some((&at, &value)), histogram) if histogram.is_none_or(|(later, _)| *later <= at) => {
            (!is_stale(value)).then_some((at, Latest::Number(value)))
        }
        (_, Some((&at, histogram))) => {
            (!histogram.is_stale()).then(|| (at, Latest::Histogram(Arc::clone(histogram))))
        }
        (_, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sample with labels and a value, and what is added to it.
    pub(super) fn written(
        mut out: Box<dyn Write>,
        samples: &[(&[(&str, &str)], Latest)],
    ) -> Vec<u8> {
        let external = Labels::from_pairs([("site", "n1"), ("job", "x")]);
        for (labels, value) in samples {
            let labels = Labels::from_pairs(labels.iter().copied());
            let found = Found { labels, at: Timestamp(1500), value: value.clone() };
            out.sample(&found, &shown(&found.labels, &external));
        }
        out.finish()
    }

    #[test]
    fn only_a_living_series_has_a_last_sample() {
        let samples = |at: i64, value| {
            let mut samples = Samples { times: vec![Timestamp(at)], ..Samples::default() };
            samples.values = vec![value];
            samples
        };
        let parts = |at, histogram: Histogram| {
            let mut parts = Histograms::default();
            parts.times.push(Timestamp(at));
            parts.values.push(Arc::new(histogram));
            parts
        };
        let none = (Samples::default(), Histograms::default());
        let number = |found: Option<(Timestamp, Latest)>| match found.unwrap() {
            (at, Latest::Number(value)) => (at.0, value.to_bits()),
            other => panic!("{other:?}"),
        };
        assert_eq!(number(last(&samples(1, 2.0), &none.1)), (1, 2.0f64.to_bits()));
        assert!(last(&samples(1, narthex_model::STALE), &none.1).is_none());
        assert!(last(&none.0, &none.1).is_none());
        // The later of both kinds counts.
        let histogram = || parts(2, Histogram::default());
        assert!(matches!(
            last(&samples(1, 2.0), &histogram()),
            Some((Timestamp(2), Latest::Histogram(_)))
        ));
        assert_eq!(number(last(&samples(3, 2.0), &histogram())), (3, 2.0f64.to_bits()));
        assert!(last(&samples(1, 2.0), &parts(2, Histogram::stale())).is_none());
    }
}
