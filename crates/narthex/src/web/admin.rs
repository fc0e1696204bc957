//! What an administrator does to the store: deleting, cleaning up, copying.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{post, put};
use http::StatusCode;
use narthex_model::number::GoQuoted;
use narthex_model::{TimeRange, Timestamp};
use narthex_store::{Error, Store};

use super::Routes;
use super::error::{ApiError, Kind};
use super::json::Object;
use super::params::Params;
use super::reply::Reply;
use crate::app::App;
use crate::clock::rfc3339;
use crate::engine;

pub(super) fn routes() -> Routes {
    Routes::new()
        .route("/admin/tsdb/delete_series", post(delete_series).merge(put(delete_series)))
        .route("/admin/tsdb/clean_tombstones", post(clean_tombstones).merge(put(clean_tombstones)))
        .route("/admin/tsdb/snapshot", post(snapshot).merge(put(snapshot)))
}

/// The store, if the flag allows to change it.
fn store(app: &App) -> Result<Arc<Store>, ApiError> {
    if !app.flags.enable_admin_api {
        return Err(ApiError::new(Kind::Unavailable, "admin APIs disabled"));
    }
    let parts = app.parts().ok_or_else(|| ApiError::internal("the store is not open"))?;
    Ok(Arc::clone(&parts.store))
}

/// Does what may take long beside the requests of others.
async fn act(
    store: Arc<Store>,
    what: impl FnOnce(&Store) -> Result<(), Error> + Send + 'static,
) -> Result<(), ApiError> {
    let done = tokio::task::spawn_blocking(move || what(&store)).await;
    let done = done.map_err(|_| ApiError::internal("it was not done to its end"))?;
    done.map_err(|error| ApiError::internal(error.to_string()))
}

async fn delete_series(State(app): State<Arc<App>>, params: Params) -> Result<Response, ApiError> {
    let store = store(&app)?;
    let mut selectors = params.all("match[]").peekable();
    if selectors.peek().is_none() {
        return Err(ApiError::bad("no match[] parameter provided"));
    }
    let start = params.time("start")?.unwrap_or(Timestamp::MIN);
    let end = params.time("end")?.unwrap_or(Timestamp::MAX);
    let sets = engine::selectors(selectors).map_err(|e| ApiError::parameter("match[]", e))?;
    if start <= end {
        let range = TimeRange::new(start, end);
        act(store, move |store| {
            sets.iter().try_for_each(|matchers| store.delete_series(matchers, range))
        })
        .await?;
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn clean_tombstones(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    act(store(&app)?, Store::clean_tombstones).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn snapshot(State(app): State<Arc<App>>, params: Params) -> Result<Reply, ApiError> {
    let store = store(&app)?;
    let skip_head = match params.get("skip_head") {
        "" => false,
        text => go_bool(text).map_err(|reason| {
            ApiError::parameter("skip_head", format!("unable to parse boolean: {reason}"))
        })?,
    };
    let now = rfc3339(app.clock.now());
    let seconds = now.split(['.', 'Z']).next().unwrap_or_default();
    let time: String = seconds.chars().filter(|c| !matches!(c, '-' | ':')).collect();
    let name = format!("{time}Z-{:016x}", RandomState::new().build_hasher().finish());
    let made = name.clone();
    act(store, move |store| store.copy_to(&made, skip_head)).await?;
    Ok(Reply::new(|out| {
        let mut object = Object::begin(out);
        object.text("name", &name);
        object.end();
    }))
}

/// Reads a truth value as Go does.
fn go_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(format!("strconv.ParseBool: parsing {}: invalid syntax", GoQuoted(text))),
    }
}
