//! Expressions as text and as a tree: `format_query` and `parse_query`.

mod text;
mod tree;

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;

use super::error::ApiError;
use super::json;
use super::params::Params;
use super::reply::Reply;
use super::{Answer, Routes};
use crate::app::App;

pub(super) fn routes() -> Routes {
    Routes::new()
        .route("/format_query", get(format).post(format))
        .route("/parse_query", get(parse).post(parse))
}

fn plan(app: &App, params: &Params) -> Result<narthex_promql::Plan, ApiError> {
    let plan = narthex_promql::parse(params.get("query"));
    let plan = plan.map_err(|e| ApiError::parameter("query", e))?;
    match plan.experimental() {
        Some(error) if !app.flags.has_feature("promql-experimental-functions") => {
            Err(ApiError::parameter("query", error))
        }
        _ => Ok(plan),
    }
}

async fn format(State(app): State<Arc<App>>, params: Params) -> Answer {
    let plan = plan(&app, &params)?;
    let text = text::pretty(plan.root(), 0);
    Ok(Reply::new(|out| json::string(out, &text)))
}

async fn parse(State(app): State<Arc<App>>, params: Params) -> Answer {
    let plan = plan(&app, &params)?;
    Ok(Reply::new(|out| tree::put(out, plan.root())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn formatted(query: &str) -> String {
        text::pretty(narthex_promql::parse(query).unwrap().root(), 0)
    }

    #[test]
    fn short_expressions_stand_on_one_line() {
        for (query, want) in [
            ("sum(up)by(job)", "sum by (job) (up)"),
            ("1+2*(3)", "1 + 2 * (3)"),
            ("x > bool 1", "x > bool 1"),
            ("'a\"'", "\"a\\\"\""),
            ("sum by (\"a.b\")(x)", "sum by (\"a.b\") (x)"),
            ("x and ignoring(a) y", "x and ignoring (a) y"),
            ("rate(x[1h30m])[1h:]", "rate(x[1h30m])[1h:]"),
            ("topk by(j)(5,x offset -3m)", "topk by (j) (5, x offset -3m)"),
            ("min_over_time(x[5m:1m]@5)", "min_over_time(x[5m:1m] @ 5.000)"),
            ("x{b=~\"c\",a!=\"d\"}[5m] offset 1h", "x{a!=\"d\",b=~\"c\"}[5m] offset 1h"),
            ("count without()(y@start())", "count without () (y @ start())"),
            ("-(-1)", "-(-1)"),
            ("count_values('a', x)", "count_values(\"a\", x)"),
            ("x * ignoring() group_left y", "x * y"),
            ("{__name__=~'a'}", "{__name__=~\"a\"}"),
        ] {
            assert_eq!(formatted(query), want, "{query}");
        }
    }

    #[test]
    fn long_expressions_are_broken_as_in_prometheus() {
        let query = "histogram_quantile(0.99, sum by (le, job, instance, handler) \
            (rate(prometheus_http_request_duration_seconds_bucket{job=\"prometheus\",\
            instance=~\".*\"}[5m]))) > on (job) group_right () vector(1) or (label_replace(up, \
            \"aaaaaaaaaaaaaaaaaaaaaaaa\", \"$1\", \"instance\", \
            \"(.*):bbbbbbbbbbbbbbbbbbbbbbbbbbb\"))";
        let want = "    histogram_quantile(\n      0.99,\n      \
            sum by (le, job, instance, handler) (\n        \
            rate(prometheus_http_request_duration_seconds_bucket{instance=~\".*\",\
            job=\"prometheus\"}[5m])\n      )\n    )\n  > on (job) group_right ()\n    \
            vector(1)\nor\n  (\n    label_replace(up, \"aaaaaaaaaaaaaaaaaaaaaaaa\", \"$1\", \
            \"instance\", \"(.*):bbbbbbbbbbbbbbbbbbbbbbbbbbb\")\n  )";
        assert_eq!(formatted(query), want);
    }

    #[test]
    fn trees_as_prometheus_shows_them() {
        let tree = |query| {
            let mut out = Vec::new();
            tree::put(&mut out, narthex_promql::parse(query).unwrap().root());
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            tree("sum by (j) (up @ 1.5) > bool 1"),
            concat!(
                r#"{"bool":true,"lhs":{"expr":{"matchers":[{"name":"__name__","type":"=","#,
                r#""value":"up"}],"name":"up","offset":0,"startOrEnd":null,"timestamp":1500,"#,
                r#""type":"vectorSelector"},"grouping":["j"],"op":"sum","param":null,"#,
                r#""type":"aggregation","without":false},"matching":null,"op":">","#,
                r#""rhs":{"type":"numberLiteral","val":"1"},"type":"binaryExpr"}"#
            )
        );
        assert_eq!(
            tree("rate(x[1h])[1h:]"),
            concat!(
                r#"{"expr":{"args":[{"matchers":[{"name":"__name__","type":"=","value":"x"}],"#,
                r#""name":"x","offset":0,"range":3600000,"startOrEnd":null,"timestamp":null,"#,
                r#""type":"matrixSelector"}],"func":{"argTypes":["matrix"],"name":"rate","#,
                r#""returnType":"vector","variadic":0},"type":"call"},"offset":0,"#,
                r#""range":3600000,"startOrEnd":null,"step":0,"timestamp":null,"type":"subquery"}"#
            )
        );
        assert!(tree("a / on (x) group_left (y) b").contains(
            r#""matching":{"card":"many-to-one","include":["y"],"labels":["x"],"on":true}"#
        ));
        assert!(tree("a or b").contains(r#""card":"many-to-many""#));
    }
}
