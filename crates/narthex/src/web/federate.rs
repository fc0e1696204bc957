//! `/federate`: the last sample of each selected series, in text format.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use narthex_model::labels::{is_legacy_label_name, is_legacy_metric_name};
use narthex_model::number::GoFloat;
use narthex_model::{Labels, METRIC_NAME, Matcher, TimeRange, is_stale};
use narthex_model::{Sample, Timestamp};
use narthex_promql::Error;
use narthex_store::Samples;

use super::params::Params;
use super::reply::Paid;
use super::{Routes, text_error};
use crate::app::App;
use crate::engine;
use crate::look::{self, Look};

/// What a sample that was found takes besides its labels' texts, in bytes.
const FOUND_BYTES: usize = 96;

const KIND: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";

pub(super) fn routes() -> Routes {
    Routes::new().route("/federate", get(federate))
}

async fn federate(State(app): State<Arc<App>>, params: Params) -> Response {
    let sets = match engine::all_selectors(params.all("match[]")) {
        Ok(sets) => sets,
        Err(reason) => return text_error(StatusCode::BAD_REQUEST, &reason),
    };
    let now = app.clock.now();
    let back_ms = i64::try_from(app.flags.lookback.as_millis()).unwrap_or(i64::MAX);
    // A sample exactly as old as the lookback is too old.
    let range = TimeRange::new(now.minus_millis(back_ms).plus_millis(1), now);
    let external = app.config.load().config.global.external_labels.clone();
    let answered = look::look(&app, move |look| page(look, &sets, range, &external));
    match answered.await {
        Ok((text, share)) => {
            let body = Body::new(Paid::new(text, share));
            ([(CONTENT_TYPE, KIND)], body).into_response()
        }
        Err(error) => text_error(StatusCode::INTERNAL_SERVER_ERROR, &error.text),
    }
}

fn page(
    look: &mut Look,
    sets: &[Vec<Matcher>],
    range: TimeRange,
    external: &Labels,
) -> Result<String, Error> {
    let mut found: Vec<(Labels, Sample)> = Vec::new();
    let mut samples = Samples::default();
    let (mut bytes, mut seen) = (0, HashSet::new());
    for set in sets {
        let selection = look.snapshot.select(set, range)?;
        for series in &selection.series {
            if sets.len() > 1 && !seen.insert(series.labels().clone()) {
                continue;
            }
            series.read(range, &mut samples)?;
            if let Some(sample) = last(&samples) {
                bytes += FOUND_BYTES + series.labels().heap_bytes();
                found.push((series.labels().clone(), sample));
            }
        }
        look.holds(bytes)?;
    }
    found.sort_by(|(a, _), (b, _)| (a.metric_name(), a).cmp(&(b.metric_name(), b)));
    let mut out = String::new();
    let mut name = None;
    for (labels, sample) in &found {
        let metric = labels.metric_name();
        if metric.is_empty() {
            // Without a name there is no line.
            continue;
        }
        if name != Some(metric) {
            let _ = writeln!(out, "# TYPE {} untyped", legacy(metric, is_legacy_metric_name));
            name = Some(metric);
        }
        line(&mut out, labels, external, *sample);
        look.holds(bytes + out.capacity())?;
    }
    look.holds(out.len())?;
    Ok(out)
}

/// The last sample, unless it says that the series has ended.
fn last(samples: &Samples) -> Option<Sample> {
    let (at, value): (&Timestamp, &f64) = samples.times.last().zip(samples.values.last())?;
    (!is_stale(*value)).then_some(Sample { at: *at, value: *value })
}

fn line(out: &mut String, labels: &Labels, external: &Labels, sample: Sample) {
    out.push_str(&legacy(labels.metric_name(), is_legacy_metric_name));
    let mut separator = '{';
    // A server that scrapes this would put its own `instance` where there is none.
    let mut added: Vec<(&str, &str)> = external.iter().collect();
    if external.get("instance").is_none() {
        added.push(("instance", ""));
        added.sort_unstable();
    }
    added.retain(|(name, _)| labels.get(name).is_none());
    for (name, value) in labels.iter().chain(added) {
        if name == METRIC_NAME {
            continue;
        }
        let _ = write!(out, "{separator}{}=\"", legacy(name, is_legacy_label_name));
        for c in value.chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                '"' => out.push_str("\\\""),
                '\n' => out.push_str("\\n"),
                c => out.push(c),
            }
        }
        out.push('"');
        separator = ',';
    }
    if separator == ',' {
        out.push('}');
    }
    let _ = writeln!(out, " {} {}", GoFloat(sample.value), sample.at);
}

/// A name in which what the format does not allow has become an underscore.
fn legacy(name: &str, is_legacy: fn(&str) -> bool) -> String {
    if is_legacy(name) {
        return name.to_owned();
    }
    let mut out = String::with_capacity(name.len());
    for (index, c) in name.chars().enumerate() {
        let fits = c.is_ascii_alphabetic() || c == '_' || (index > 0 && c.is_ascii_digit());
        out.push(if fits || (c == ':' && is_legacy(":")) { c } else { '_' });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_as_prometheus_writes_them() {
        let external = Labels::from_pairs([("site", "n1"), ("job", "x")]);
        let text = |labels: &[(&str, &str)], value| {
            let mut out = String::new();
            let labels = Labels::from_pairs(labels.iter().copied());
            line(&mut out, &labels, &external, Sample { at: Timestamp(1500), value });
            out
        };
        assert_eq!(
            text(&[("__name__", "up"), ("job", "a\"b"), ("instance", "h:1")], 1.0),
            "up{instance=\"h:1\",job=\"a\\\"b\",site=\"n1\"} 1 1500\n"
        );
        assert_eq!(
            text(&[("__name__", "a.b"), ("c.d", "\n")], f64::INFINITY),
            "a_b{c_d=\"\\n\",instance=\"\",job=\"x\",site=\"n1\"} +Inf 1500\n"
        );
    }

    #[test]
    fn floats_as_exporters_write_them() {
        for (value, want) in [
            (0.0, "0"),
            (999_999.5, "999999.5"),
            (1e6, "1e+06"),
            (1_795_256_407.206, "1.795256407206e+09"),
            (0.0001, "0.0001"),
            (0.000_01, "1e-05"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(GoFloat(value).to_string(), want);
        }
    }

    #[test]
    fn only_a_living_series_has_a_last_sample() {
        let mut samples = Samples { times: vec![Timestamp(1)], ..Samples::default() };
        samples.values = vec![2.0];
        assert_eq!(last(&samples).unwrap().value.to_bits(), 2.0f64.to_bits());
        samples.values = vec![narthex_model::STALE];
        assert!(last(&samples).is_none());
        assert!(last(&Samples::default()).is_none());
    }
}
