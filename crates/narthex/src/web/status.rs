//! What the program tells about itself: `/api/v1/status/*`, `/version` and `/metrics` stand here
//! and in the page module.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use narthex_prometheus_tsdb::ulid;
use narthex_store::BlockMeta;

use super::error::ApiError;
use super::json::{self, Object};
use super::params::Params;
use super::reply::Reply;
use super::{Answer, Routes};
use crate::app::{App, host_name};
use crate::clock::{NEVER, rfc3339};

/// Longest list in `/api/v1/status/tsdb`.
const LIST_MAX: usize = 10_000;

pub(super) fn routes() -> Routes {
    Routes::new()
        .route("/status/buildinfo", get(async || Reply::new(build_info)))
        .route("/status/config", get(config))
        .route("/status/flags", get(flags))
        .route("/status/runtimeinfo", get(runtime_info))
        .route("/status/tsdb", get(tsdb))
        .route("/status/tsdb/blocks", get(blocks))
        .route("/status/walreplay", get(wal_replay))
}

/// Writes the build information. There must be no `features` in it: by that field Grafana takes a
/// server for another product.
pub(super) fn build_info(out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    object
        .text("version", crate::build::API_VERSION)
        .text("revision", crate::build::REVISION)
        .text("branch", crate::build::BRANCH)
        .text("buildUser", "")
        .text("buildDate", "")
        .text("goVersion", "");
    object.end();
}

async fn config(State(app): State<Arc<App>>) -> Reply {
    let yaml = app.config.load().config.to_yaml();
    Reply::new(|out| {
        let mut object = Object::begin(out);
        object.text("yaml", &yaml);
        object.end();
    })
}

async fn flags(State(app): State<Arc<App>>) -> Reply {
    Reply::new(|out| {
        let mut object = Object::begin(out);
        for (name, value) in &app.flags.all {
            object.text(name, value);
        }
        object.end();
    })
}

async fn runtime_info(State(app): State<Arc<App>>) -> Reply {
    let directory = std::env::current_dir().unwrap_or_default();
    let reload = &app.telemetry.reload;
    let reloaded = reload.succeeded_at();
    let corruptions = app.parts().map_or(0, |parts| {
        let stats = parts.store.stats();
        stats.wal.corruptions + stats.blocks_damaged
    });
    let threads = std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let settings = app.config.load();
    let retention = crate::flags::retention_text(app.flags.retention(&settings.config));
    Reply::new(|out| {
        let mut object = Object::begin(out);
        object
            .text("startTime", &rfc3339(app.started))
            .text("CWD", &directory.to_string_lossy())
            .text("hostname", &host_name())
            .text("serverTime", &rfc3339(app.clock.now()))
            .plain("reloadConfigSuccess", reload.is_successful())
            .text(
                "lastConfigTime",
                &if reloaded.millis() == 0 { NEVER.to_owned() } else { rfc3339(reloaded) },
            )
            .plain("corruptionCount", corruptions)
            .plain("goroutineCount", threads)
            .plain("GOMAXPROCS", cores)
            .plain("GOMEMLIMIT", i64::MAX)
            .text("GOGC", "")
            .text("GODEBUG", "")
            .text("storageRetention", &retention);
        object.end();
    })
}

async fn tsdb(State(app): State<Arc<App>>, params: Params) -> Answer {
    let limit = match params.get("limit") {
        "" => 10,
        text => match text.parse::<usize>() {
            Ok(limit) if limit > 0 => limit.min(LIST_MAX),
            _ => return Err(ApiError::bad("limit must be a positive number")),
        },
    };
    let Some(parts) = app.parts() else { return Err(ApiError::internal("the store is not open")) };
    let store = Arc::clone(&parts.store);
    let walk = move |_: &_| store.cardinality(limit);
    let figures = app.queries.run(app.flags.query_timeout, walk).await?;
    // An empty head shows Prometheus' own bounds.
    let (start, end) = figures
        .range
        .map_or((i64::MAX, i64::MIN), |range| (range.start.millis(), range.end.millis()));
    Ok(Reply::new(|out| {
        let mut object = Object::begin(out);
        let mut head = Object::begin(object.field("headStats"));
        head.plain("numSeries", figures.series)
            .plain("numLabelPairs", figures.label_pairs)
            .plain("chunkCount", figures.chunks)
            .plain("minTime", start)
            .plain("maxTime", end);
        head.end();
        for (name, list) in [
            ("seriesCountByMetricName", &figures.series_by_metric),
            ("labelValueCountByLabelName", &figures.values_by_label),
            ("memoryInBytesByLabelName", &figures.bytes_by_label),
            ("seriesCountByLabelValuePair", &figures.series_by_pair),
        ] {
            json::list(object.field(name), list, |out, (name, value)| {
                let mut item = Object::begin(out);
                item.text("name", name).plain("value", value);
                item.end();
            });
        }
        object.end();
    }))
}

/// The blocks in the words of Prometheus. They have no names of that kind: theirs are made of their
/// window and their place.
async fn blocks(State(app): State<Arc<App>>) -> Answer {
    let Some(parts) = app.parts() else { return Err(ApiError::internal("the store is not open")) };
    let blocks = parts.store.blocks();
    Ok(Reply::new(|out| {
        let mut object = Object::begin(out);
        json::list(object.field("blocks"), &blocks, put_block);
        object.end();
    }))
}

fn put_block(out: &mut Vec<u8>, block: &BlockMeta) {
    let name = ulid::ulid(block.window.start.millis(), u128::from(block.first_seq.0));
    let mut item = Object::begin(out);
    // The end of a block is not part of it.
    item.text("ulid", &name)
        .plain("minTime", block.window.start)
        .plain("maxTime", block.window.end.plus_millis(1));
    let mut stats = Object::begin(item.field("stats"));
    stats
        .plain("numSamples", block.samples)
        .plain("numSeries", block.series)
        .plain("numChunks", block.chunks);
    stats.end();
    let mut compaction = Object::begin(item.field("compaction"));
    compaction.plain("level", 1);
    json::strings(compaction.field("sources"), [&name]);
    compaction.end();
    item.plain("version", 1);
    item.end();
}

async fn wal_replay() -> Reply {
    Reply::literal(r#"{"min":0,"max":0,"current":0}"#)
}
