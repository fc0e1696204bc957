//! Rules, alerts and Alertmanagers. Rules are not evaluated yet, so the lists are empty; the
//! parameters are checked as they will be.

use axum::routing::get;
use narthex_model::number::GoQuoted;

use super::error::ApiError;
use super::params::Params;
use super::reply::Reply;
use super::{Answer, Routes};
use crate::engine;

pub(super) fn routes() -> Routes {
    Routes::new()
        .route("/rules", get(rules))
        .route("/alerts", get(async || Reply::literal(r#"{"alerts":[]}"#)))
        .route("/alertmanagers", get(alertmanagers))
}

async fn rules(params: Params) -> Answer {
    engine::selectors(params.all("match[]")).map_err(ApiError::bad)?;
    let limit = params.get("group_limit");
    if !limit.is_empty() && limit.parse::<i64>().is_err() {
        let limit = GoQuoted(limit);
        let reason = format!(
            "group_limit needs to be a valid number: strconv.ParseInt: parsing {limit}: \
             invalid syntax"
        );
        return Err(ApiError::parameter("group_limit", reason));
    }
    match params.get("type").to_ascii_lowercase().as_str() {
        "" | "alert" | "record" => Ok(Reply::literal(r#"{"groups":[]}"#)),
        other => Err(ApiError::parameter("type", format!("not supported value \"{other}\""))),
    }
}

async fn alertmanagers() -> Reply {
    Reply::literal(r#"{"activeAlertmanagers":[],"droppedAlertmanagers":[]}"#)
}
