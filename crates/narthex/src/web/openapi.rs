//! `/api/v1/openapi.yaml`: the API described for tools.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

use super::Routes;
use super::params::Params;
use crate::app::App;

/// Both ways to ask a question.
const ASK: &[&str] = &["get", "post"];
const GET: &[&str] = &["get"];
const ADMIN: &[&str] = &["post", "put"];

/// Path, methods, what it does, its parameters (those with a `!` are needed).
type Endpoint = (&'static str, &'static [&'static str], &'static str, &'static [&'static str]);

const ENDPOINTS: [Endpoint; 34] = [
    (
        "/query",
        ASK,
        "Evaluate an instant query",
        &["query!", "time", "timeout", "limit", "lookback_delta", "stats"],
    ),
    (
        "/query_range",
        ASK,
        "Evaluate a range query",
        &["query!", "start!", "end!", "step!", "timeout", "limit", "lookback_delta", "stats"],
    ),
    ("/query_exemplars", ASK, "Query exemplars", &["query!", "start", "end"]),
    ("/format_query", ASK, "Format a query", &["query!"]),
    ("/parse_query", ASK, "Parse a query", &["query!"]),
    ("/labels", ASK, "Get label names", &["match[]", "start", "end", "limit"]),
    ("/label/{name}/values", GET, "Get label values", &["match[]", "start", "end", "limit"]),
    ("/series", ASK, "Find series by label matchers", &["match[]!", "start", "end", "limit"]),
    ("/metadata", GET, "Get metadata of metrics", &["metric", "limit", "limit_per_metric"]),
    ("/targets", GET, "Get targets", &["state", "scrapePool"]),
    ("/targets/metadata", GET, "Get metadata of targets", &["match_target", "metric", "limit"]),
    (
        "/targets/relabel_steps",
        GET,
        "Get the relabeling of a target step by step",
        &["scrapePool!", "labels!"],
    ),
    ("/scrape_pools", GET, "Get scrape pools", &[]),
    ("/scrape_pools/config", GET, "Get the configuration of a scrape pool", &["scrapePool!"]),
    (
        "/rules",
        GET,
        "Get alerting and recording rules",
        &[
            "type",
            "rule_name[]",
            "rule_group[]",
            "file[]",
            "match[]",
            "exclude_alerts",
            "group_limit",
            "group_next_token",
        ],
    ),
    ("/alerts", GET, "Get active alerts", &[]),
    ("/alertmanagers", GET, "Get Alertmanagers", &[]),
    ("/status/config", GET, "Get the configuration", &[]),
    ("/status/flags", GET, "Get the flags", &[]),
    ("/status/runtimeinfo", GET, "Get runtime information", &[]),
    ("/status/buildinfo", GET, "Get build information", &[]),
    ("/status/tsdb", GET, "Get statistics of the store", &["limit"]),
    ("/status/tsdb/blocks", GET, "Get the blocks of the store", &[]),
    ("/status/walreplay", GET, "Get the state of the replay", &[]),
    ("/status/self_metrics", GET, "Get the server's own metrics", &["metric_name_pattern"]),
    ("/features", GET, "Get features", &[]),
    ("/notifications", GET, "Get notifications", &[]),
    ("/notifications/live", GET, "Get notifications as they come", &[]),
    ("/read", &["post"], "Remote read", &[]),
    ("/write", &["post"], "Remote write", &[]),
    ("/admin/tsdb/delete_series", ADMIN, "Delete series", &["match[]!", "start", "end"]),
    ("/admin/tsdb/clean_tombstones", ADMIN, "Remove deleted data from disk", &[]),
    ("/admin/tsdb/snapshot", ADMIN, "Take a snapshot", &["skip_head"]),
    ("/openapi.yaml", GET, "Get this document", &["openapi_version"]),
];

pub(super) fn routes() -> Routes {
    Routes::new().route("/openapi.yaml", get(openapi))
}

async fn openapi(State(app): State<Arc<App>>, params: Params) -> Response {
    let version = match params.get("openapi_version") {
        "3.2" | "3.2.0" => "3.2.0",
        _ => "3.1.0",
    };
    let head = [
        (CONTENT_TYPE, "application/yaml; charset=utf-8"),
        (CACHE_CONTROL, "no-cache, no-store, must-revalidate"),
    ];
    (head, document(version, &app.flags.route_prefix)).into_response()
}

fn document(version: &str, prefix: &str) -> String {
    let mut out = String::new();
    // Writing into a String cannot fail.
    let _ = write!(
        out,
        "openapi: {version}\ninfo:\n  title: Prometheus API\n  version: {}\n\
         servers:\n  - url: {prefix}/api/v1\npaths:\n",
        crate::build::API_VERSION
    );
    for (path, methods, summary, parameters) in ENDPOINTS {
        let _ = writeln!(out, "  {path}:");
        for method in methods {
            let name = path.trim_start_matches('/').replace(['/', '{', '}', '.'], "-");
            let id = name.replace("--", "-");
            let _ = write!(
                out,
                "    {method}:\n      operationId: {method}-{id}\n      summary: {summary}\n"
            );
            put_parameters(&mut out, path, parameters);
            out.push_str(
                "      responses:\n        \"200\":\n          description: Success\n        \
                 default:\n          description: Error\n          content:\n            \
                 application/json:\n              schema:\n                \
                 $ref: \"#/components/schemas/Error\"\n",
            );
        }
    }
    out.push_str(
        "components:\n  schemas:\n    Error:\n      type: object\n      \
         required: [status, errorType, error]\n      properties:\n        \
         status: {type: string, enum: [error]}\n        errorType: {type: string}\n        \
         error: {type: string}\n",
    );
    out
}

fn put_parameters(out: &mut String, path: &str, parameters: &[&str]) {
    let in_path = path.contains("{name}").then_some(("name", "path", true));
    let in_query = parameters.iter().map(|text| match text.strip_suffix('!') {
        Some(name) => (name, "query", true),
        None => (*text, "query", false),
    });
    for (index, (name, place, required)) in in_path.into_iter().chain(in_query).enumerate() {
        if index == 0 {
            out.push_str("      parameters:\n");
        }
        let kind = if name.ends_with("[]") {
            "{type: array, items: {type: string}}"
        } else {
            "{type: string}"
        };
        let _ = write!(
            out,
            "        - name: \"{name}\"\n          in: {place}\n          required: {required}\n          \
             schema: {kind}\n"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_is_described() {
        let text = document("3.1.0", "/p");
        assert!(text.starts_with("openapi: 3.1.0\n"));
        assert!(text.contains("  - url: /p/api/v1\n"));
        assert!(text.contains(
            "  /label/{name}/values:\n    get:\n      operationId: get-label-name-values\n"
        ));
        assert!(text.contains(
            "        - name: \"match[]\"\n          in: query\n          required: true\n"
        ));
        let methods = ENDPOINTS.iter().map(|(_, methods, ..)| methods.len());
        assert_eq!(text.matches("operationId").count(), methods.sum::<usize>());
    }
}
