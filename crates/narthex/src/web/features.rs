//! `/api/v1/features`: what this server can do, by the names of Prometheus.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use narthex_promql::plan::function::FUNCTIONS;

use super::Routes;
use super::json::Object;
use super::reply::Reply;
use crate::app::App;
use crate::flags::Flags;

type Features = BTreeMap<&'static str, BTreeMap<String, bool>>;

/// Operators, and aggregations that are no experiment.
const OPERATORS: [&str; 34] = [
    "!=",
    "!~",
    "%",
    "*",
    "+",
    "-",
    "/",
    "<",
    "<=",
    "==",
    "=~",
    ">",
    ">=",
    "@",
    "^",
    "and",
    "atan2",
    "avg",
    "bottomk",
    "count",
    "count_values",
    "group",
    "max",
    "min",
    "or",
    "quantile",
    "stddev",
    "stdvar",
    "sum",
    "topk",
    "unless",
    "=",
    "</",
    ">/",
];

/// Aggregations behind `promql-experimental-functions`.
const EXPERIMENTAL_AGGREGATIONS: [&str; 2] = ["limit_ratio", "limitk"];

/// Words and abilities of the language that need no flag.
const LANGUAGE: [&str; 18] = [
    "anchored",
    "at_modifier",
    "bool",
    "by",
    "duration_expr",
    "fill",
    "fill_left",
    "fill_right",
    "group_left",
    "group_right",
    "ignoring",
    "negative_offset",
    "offset",
    "on",
    "per_query_lookback_delta",
    "smoothed",
    "subqueries",
    "without",
];

const API: [&str; 8] = [
    "exclude_alerts",
    "label_values_match",
    "openapi_3.1",
    "openapi_3.2",
    "query_stats",
    "query_warnings",
    "time_range_labels",
    "time_range_series",
];

pub(super) fn routes() -> Routes {
    Routes::new().route("/features", get(features))
}

async fn features(State(app): State<Arc<App>>) -> Reply {
    let features = of(&app.flags);
    Reply::new(|out| {
        let mut object = Object::begin(out);
        for (category, entries) in &features {
            let mut inner = Object::begin(object.field(category));
            for (name, enabled) in entries {
                inner.plain(name, enabled);
            }
            inner.end();
        }
        object.end();
    })
}

fn of(flags: &Flags) -> Features {
    let mut features = Features::new();
    let mut set = |category: &'static str, name: &str, enabled: bool| {
        features.entry(category).or_default().insert(name.to_owned(), enabled);
    };
    let experimental = flags.has_feature("promql-experimental-functions");
    for name in API {
        set("api", name, true);
    }
    set("api", "admin", flags.enable_admin_api);
    set("api", "lifecycle", flags.enable_lifecycle);
    set("api", "remote_write_receiver", flags.enable_receiver);
    set("api", "otlp_write_receiver", flags.takes_otlp());
    set("api", "search", false);
    set("prometheus", "agent_mode", false);
    set("prometheus", "server_mode", true);
    set("prometheus", "auto_reload_config", false);
    for name in LANGUAGE {
        set("promql", name, true);
    }
    let delayed = flags.has_feature("promql-delayed-name-removal");
    set("promql", "delayed_name_removal", delayed);
    set("promql", "per_step_stats", flags.has_feature("promql-per-step-stats"));
    set("promql", "type_and_unit_labels", false);
    for function in FUNCTIONS {
        set("promql_functions", function.name, experimental || !function.experimental);
    }
    for name in OPERATORS {
        set("promql_operators", name, true);
    }
    for name in EXPERIMENTAL_AGGREGATIONS {
        set("promql_operators", name, experimental);
    }
    set("scrape", "extra_scrape_metrics", flags.has_feature("extra-scrape-metrics"));
    set("scrape", "start_timestamp_zero_ingestion", false);
    set("scrape", "type_and_unit_labels", false);
    for name in ["file", "static"] {
        set("service_discovery_providers", name, true);
    }
    set("tsdb", "delayed_compaction", false);
    set("tsdb", "exemplar_storage", flags.has_feature("exemplar-storage"));
    set("tsdb", "isolation", true);
    set("tsdb", "native_histograms", true);
    features
}

#[cfg(test)]
mod tests {
    #[test]
    fn flags_decide() {
        let of = |more: &[&str]| {
            let args = ["narthex"].iter().chain(more).map(|&arg| arg.to_owned());
            super::of(&crate::flags::parse(args).unwrap())
        };
        let plain = of(&[]);
        assert!(!plain["api"]["admin"]);
        assert!(plain["promql_functions"]["rate"]);
        assert!(!plain["promql_functions"]["mad_over_time"]);
        let more =
            of(&["--web.enable-admin-api", "--enable-feature=promql-experimental-functions"]);
        assert!(more["api"]["admin"]);
        assert!(more["promql_functions"]["mad_over_time"] && more["promql_operators"]["limitk"]);
    }
}
