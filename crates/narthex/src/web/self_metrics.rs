//! `/api/v1/status/self_metrics`: the server's own metrics as JSON, in the form that protobuf gives
//! metric families.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use narthex_model::regex::Pattern;

use super::error::ApiError;
use super::json::{self, Object};
use super::params::Params;
use super::reply::Reply;
use super::{Answer, Routes, page};
use crate::app::App;

pub(super) fn routes() -> Routes {
    Routes::new().route("/status/self_metrics", get(self_metrics))
}

async fn self_metrics(State(app): State<Arc<App>>, params: Params) -> Answer {
    let wanted = match params.get("metric_name_pattern") {
        "" => None,
        text => Some(
            Pattern::new(text)
                .map_err(|e| ApiError::bad(format!("invalid metric_name_pattern: {e}")))?,
        ),
    };
    let text = page::own_metrics(&app);
    let mut families = families(&text);
    families.retain(|family| wanted.as_ref().is_none_or(|pattern| pattern.matches(family.name)));
    families.sort_by_key(|family| family.name);
    Ok(Reply::new(|out| json::list(out, &families, put)))
}

/// A family as the page of metrics has it.
#[derive(Debug, Default)]
struct Family<'t> {
    name: &'t str,
    help: &'t str,
    kind: &'t str,
    /// What follows the family's name, the labels as text, the value.
    samples: Vec<(&'t str, &'t str, &'t str)>,
}

fn families(text: &str) -> Vec<Family<'_>> {
    let mut families: Vec<Family<'_>> = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap_or((rest, ""));
            families.push(Family { name, help, ..Family::default() });
        } else if let (Some(rest), Some(family)) =
            (line.strip_prefix("# TYPE "), families.last_mut())
        {
            family.kind = rest.rsplit(' ').next().unwrap_or("untyped");
        } else if let (Some((series, value)), Some(family)) =
            (line.rsplit_once(' '), families.last_mut())
        {
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let suffix = name.strip_prefix(family.name).unwrap_or("");
            family.samples.push((suffix, labels.strip_suffix('}').unwrap_or(labels), value));
        }
    }
    families
}

/// The labels of a sample as pairs.
fn pairs(text: &str) -> Vec<(&str, String)> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((name, tail)) = rest.split_once("=\"") {
        let mut value = String::new();
        let mut escaped = false;
        let mut end = tail.len();
        for (at, c) in tail.char_indices() {
            match (escaped, c) {
                (true, 'n') => value.push('\n'),
                (false, '\\') => {}
                (false, '"') => {
                    end = at + 1;
                    break;
                }
                (_, c) => value.push(c),
            }
            escaped = !escaped && c == '\\';
        }
        out.push((name.trim_start_matches(','), value));
        rest = tail.get(end..).unwrap_or("");
    }
    out
}

/// The samples of one metric of a family: those that differ only in `le` or `quantile`.
#[derive(Debug, Default)]
struct Metric<'t> {
    sum: &'t str,
    count: &'t str,
    value: &'t str,
    /// Bounds or quantiles, and values.
    parts: Vec<(String, &'t str)>,
}

fn put(out: &mut Vec<u8>, family: &Family<'_>) {
    let mut metrics: BTreeMap<Vec<(&str, String)>, Metric<'_>> = BTreeMap::new();
    let part = if family.kind == "summary" { "quantile" } else { "le" };
    for (suffix, labels, value) in &family.samples {
        let mut labels = pairs(labels);
        let at = labels.iter().position(|(name, _)| *name == part);
        let bound = at.map(|at| labels.remove(at).1);
        let metric = metrics.entry(labels).or_default();
        match (*suffix, bound) {
            ("_sum", _) => metric.sum = value,
            ("_count", _) => metric.count = value,
            (_, Some(bound)) => metric.parts.push((bound, value)),
            (_, None) => metric.value = value,
        }
    }
    let mut object = Object::begin(out);
    object.text("name", family.name).text("help", family.help);
    object.text("type", &family.kind.to_ascii_uppercase());
    json::list(object.field("metric"), &metrics, |out, (labels, metric)| {
        let mut object = Object::begin(out);
        if !labels.is_empty() {
            json::list(object.field("label"), labels, |out, (name, value)| {
                let mut pair = Object::begin(out);
                pair.text("name", name).text("value", value);
                pair.end();
            });
        }
        put_value(&mut object, family.kind, metric);
        object.end();
    });
    object.end();
}

fn put_value(object: &mut Object<'_>, kind: &str, metric: &Metric<'_>) {
    let mut inner = Object::begin(object.field(kind));
    match kind {
        "summary" | "histogram" => {
            inner.text("sampleCount", metric.count);
            number(inner.field("sampleSum"), metric.sum);
            let (list, bound, value) = match kind {
                "summary" => ("quantile", "quantile", "value"),
                _ => ("bucket", "upperBound", "cumulativeCount"),
            };
            // The last bucket is the count.
            let parts = metric.parts.iter().filter(|(bound, _)| bound != "+Inf");
            json::list(inner.field(list), parts, |out, (at, count)| {
                let mut part = Object::begin(out);
                if kind == "summary" {
                    number(part.field(bound), at);
                    number(part.field(value), count);
                } else {
                    part.text(value, count);
                    number(part.field(bound), at);
                }
                part.end();
            });
        }
        _ => number(inner.field("value"), metric.value),
    }
    inner.end();
}

/// A float as protobuf writes it in JSON.
fn number(out: &mut Vec<u8>, text: &str) {
    match text {
        "NaN" => json::string(out, "NaN"),
        "+Inf" => json::string(out, "Infinity"),
        "-Inf" => json::string(out, "-Infinity"),
        text => out.extend_from_slice(text.as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> String {
        let mut out = Vec::new();
        json::list(&mut out, &families(text), put);
        let json = String::from_utf8(out).unwrap();
        serde_json::from_str::<serde_json::Value>(&json).unwrap();
        json
    }

    #[test]
    fn families_as_protobuf_shows_them() {
        let counter = "# HELP a_total Some help.\n# TYPE a_total counter\n\
            a_total{x=\"1\",y=\"q\\\"\\n,z=\"} 1e+06\na_total{x=\"2\"} NaN\n";
        assert_eq!(
            json(counter),
            concat!(
                r#"[{"name":"a_total","help":"Some help.","type":"COUNTER","metric":["#,
                r#"{"label":[{"name":"x","value":"1"},{"name":"y","value":"q\"\n,z="}],"#,
                r#""counter":{"value":1e+06}},{"label":[{"name":"x","value":"2"}],"#,
                r#""counter":{"value":"NaN"}}]}]"#
            )
        );
        let histogram = "# HELP h H.\n# TYPE h histogram\nh_bucket{le=\"0.1\"} 1\n\
            h_bucket{le=\"+Inf\"} 3\nh_sum 7.6\nh_count 3\n";
        assert_eq!(
            json(histogram),
            concat!(
                r#"[{"name":"h","help":"H.","type":"HISTOGRAM","metric":[{"histogram":"#,
                r#"{"sampleCount":"3","sampleSum":7.6,"bucket":[{"cumulativeCount":"1","#,
                r#""upperBound":0.1}]}}]}]"#
            )
        );
        let summary = "# HELP s S.\n# TYPE s summary\ns{quantile=\"0.5\"} 2\ns_sum 4\ns_count 2\n";
        assert!(json(summary).contains(
            r#""summary":{"sampleCount":"2","sampleSum":4,"quantile":[{"quantile":0.5,"value":2}]}"#
        ));
    }
}
