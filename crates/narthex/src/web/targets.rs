//! Targets, pools and what targets say about their metrics.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use narthex_model::time::format_duration;
use narthex_model::{Labels, Matcher, Metadata};
use narthex_scrape::{PoolView, TargetView};

use super::error::ApiError;
use super::json::{self, Object};
use super::params::Params;
use super::reply::Reply;
use super::{Answer, Routes};
use crate::app::{App, Parts};
use crate::clock::{NEVER, rfc3339};
use crate::engine;

/// Hosts that mean this machine, which nobody else can ask under that name.
const LOCAL_HOSTS: [&str; 3] = ["127.0.0.1", "localhost", "[::1]"];

pub(super) fn routes() -> Routes {
    Routes::new()
        .route("/targets", get(targets))
        .route("/targets/metadata", get(target_metadata))
        .route("/scrape_pools", get(scrape_pools))
        .route("/metadata", get(metadata))
}

fn parts(app: &App) -> Result<&Parts, ApiError> {
    app.parts().ok_or_else(|| ApiError::internal("scraping has not begun"))
}

async fn scrape_pools(State(app): State<Arc<App>>) -> Answer {
    let pools = parts(&app)?.scrape.pools();
    Ok(Reply::new(|out| {
        let mut object = Object::begin(out);
        json::strings(object.field("scrapePools"), pools.iter().map(|pool| &pool.name));
        object.end();
    }))
}

async fn targets(State(app): State<Arc<App>>, params: Params) -> Answer {
    let state = params.get("state").to_ascii_lowercase();
    let shows = |word| matches!(state.as_str(), "" | "any") || state == word;
    let mut pools = parts(&app)?.scrape.pools();
    let wanted = params.get("scrapePool");
    // As in Prometheus the counts are of all pools, whichever was asked for.
    for pool in &mut pools {
        if !(wanted.is_empty() || pool.name == wanted) {
            pool.active.clear();
            pool.dropped.clear();
        }
    }
    let (active, dropped) = (shows("active"), shows("dropped"));
    let external = url::Url::parse(&app.external_url()).ok();
    Ok(Reply::new(|out| put_targets(out, &pools, active, dropped, external.as_ref())))
}

fn put_targets(
    out: &mut Vec<u8>,
    pools: &[PoolView],
    active: bool,
    dropped: bool,
    external: Option<&url::Url>,
) {
    let mut object = Object::begin(out);
    let shown = pools.iter().filter(|_| active);
    let shown = shown.flat_map(|pool| pool.active.iter().map(move |target| (pool, target)));
    json::list(object.field("activeTargets"), shown, |out, (pool, target)| {
        put_target(out, &pool.name, target, external);
    });
    let hidden = pools.iter().filter(|_| dropped);
    let hidden = hidden.flat_map(|pool| pool.dropped.iter().map(move |labels| (pool, labels)));
    json::list(object.field("droppedTargets"), hidden, |out, (pool, labels)| {
        let mut item = Object::begin(out);
        json::labels(item.field("discoveredLabels"), labels);
        item.text("scrapePool", &pool.name);
        item.end();
    });
    if dropped {
        let mut counts = Object::begin(object.field("droppedTargetCounts"));
        for pool in pools {
            counts.plain(&pool.name, pool.dropped_count);
        }
        counts.end();
    } else {
        object.plain("droppedTargetCounts", "null");
    }
    object.end();
}

fn put_target(out: &mut Vec<u8>, pool: &str, target: &TargetView, external: Option<&url::Url>) {
    let health = &target.health;
    let last = health.last_scrape.map_or_else(|| NEVER.to_owned(), rfc3339);
    let word = match health.up {
        None => "unknown",
        Some(true) => "up",
        Some(false) => "down",
    };
    let mut item = Object::begin(out);
    json::labels(item.field("discoveredLabels"), &target.discovered);
    json::labels(item.field("labels"), &target.labels);
    item.text("scrapePool", pool)
        .text("scrapeUrl", &target.url)
        .text("globalUrl", &global_url(&target.url, external))
        .text("lastError", &health.last_error)
        .text("lastScrape", &last)
        .plain("lastScrapeDuration", health.last_duration.as_secs_f64())
        .text("health", word)
        .text("scrapeInterval", &format_duration(target.interval))
        .text("scrapeTimeout", &format_duration(target.timeout));
    item.end();
}

/// The URL under which others reach a target: a host that means this machine is replaced by the
/// one of the external URL, and all of it when the target is this server itself.
fn global_url(text: &str, external: Option<&url::Url>) -> String {
    let (Ok(mut url), Some(external)) = (url::Url::parse(text), external) else {
        return text.to_owned();
    };
    if !url.host_str().is_some_and(|host| LOCAL_HOSTS.contains(&host)) {
        return text.to_owned();
    }
    let own = url.port_or_known_default() == external.port_or_known_default();
    // Both can only fail for URLs without a host, which these are not.
    let _ = url.set_host(external.host_str());
    if own {
        let _ = url.set_scheme(external.scheme());
    }
    url.to_string()
}

/// A parameter that is a number; a negative one, or none, is no limit.
fn number(params: &Params, name: &str) -> Result<Option<usize>, ApiError> {
    match params.get(name) {
        "" => Ok(None),
        text => match text.parse::<i64>() {
            Ok(limit) => Ok(usize::try_from(limit).ok()),
            Err(_) => Err(ApiError::bad(format!("{name} must be a number"))),
        },
    }
}

async fn metadata(State(app): State<Arc<App>>, params: Params) -> Answer {
    let limit = number(&params, "limit")?;
    let per_metric = number(&params, "limit_per_metric")?.filter(|limit| *limit > 0);
    let wanted = params.get("metric");
    let mut found: BTreeMap<String, BTreeSet<Metadata>> = BTreeMap::new();
    parts(&app)?.scrape.each_metadata(|_, name, metadata| {
        let full = limit.is_some_and(|limit| found.len() >= limit) && !found.contains_key(name);
        if full || !(wanted.is_empty() || wanted == name) {
            return;
        }
        let entries = found.entry(name.to_owned()).or_default();
        if per_metric.is_none_or(|limit| entries.len() < limit) {
            entries.insert(metadata.clone());
        }
    });
    Ok(Reply::new(|out| {
        let mut object = Object::begin(out);
        for (name, entries) in &found {
            json::list(object.field(name), entries, |out, entry| {
                let mut item = Object::begin(out);
                item.text("type", entry.kind.as_str())
                    .text("unit", &entry.unit)
                    .text("help", &entry.help);
                item.end();
            });
        }
        object.end();
    }))
}

async fn target_metadata(State(app): State<Arc<App>>, params: Params) -> Answer {
    let limit = number(&params, "limit")?;
    let matchers = match params.get("match_target") {
        "" => Vec::new(),
        text => engine::selector(text).map_err(|e| ApiError::parameter("match_target", e))?,
    };
    let wanted = params.get("metric");
    let mut found: Vec<(Labels, String, Metadata)> = Vec::new();
    let mut last: Option<Labels> = None;
    parts(&app)?.scrape.each_metadata(|target, name, metadata| {
        // As in Prometheus the limit is looked at before each target, not within one.
        let begun = last.as_ref() == Some(target);
        let full = limit.is_some_and(|limit| found.len() >= limit);
        let other = !(wanted.is_empty() || wanted == name);
        if other || (full && !begun) || !matches(&matchers, target) {
            return;
        }
        last = Some(target.clone());
        found.push((target.clone(), name.to_owned(), metadata.clone()));
    });
    let with_name = wanted.is_empty();
    Ok(Reply::new(|out| {
        json::list(out, &found, |out, (target, name, metadata)| {
            let mut item = Object::begin(out);
            json::labels(item.field("target"), target);
            if with_name {
                item.text("metric", name);
            }
            item.text("type", metadata.kind.as_str())
                .text("help", &metadata.help)
                .text("unit", &metadata.unit);
            item.end();
        });
    }))
}

fn matches(matchers: &[Matcher], labels: &Labels) -> bool {
    matchers.iter().all(|matcher| matcher.matches_labels(labels))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use narthex_model::Timestamp;
    use narthex_scrape::Health;

    use super::*;

    #[test]
    fn urls_for_others() {
        let external = url::Url::parse("https://mon.example:9090/p").unwrap();
        let of = |text| global_url(text, Some(&external));
        assert_eq!(of("http://localhost:9/metrics"), "http://mon.example:9/metrics");
        assert_eq!(of("http://127.0.0.1:9090/metrics"), "https://mon.example:9090/metrics");
        assert_eq!(of("http://a:9090/metrics?x=1"), "http://a:9090/metrics?x=1");
    }

    #[test]
    fn targets_as_prometheus_shows_them() {
        let labels = |name: &str| Labels::from_pairs([(name, "x")]);
        let target = TargetView {
            discovered: labels("__address__"),
            labels: labels("job"),
            url: "http://h:1/metrics".to_owned(),
            health: Health {
                up: Some(false),
                last_error: "no \"route\"".to_owned(),
                last_scrape: Some(Timestamp(1_795_256_407_203)),
                last_duration: Duration::from_micros(4170),
            },
            interval: Duration::from_secs(15),
            timeout: Duration::from_secs(10),
        };
        let pool = PoolView {
            name: "j".to_owned(),
            active: vec![target],
            dropped: vec![labels("__meta_a")],
            dropped_count: 3,
            target_limit: 0,
            syncs: 1,
            sync_seconds: narthex_scrape::counters::Summary::default(),
        };
        let text = |active, dropped| {
            let mut out = Vec::new();
            put_targets(&mut out, std::slice::from_ref(&pool), active, dropped, None);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            text(false, false),
            r#"{"activeTargets":[],"droppedTargets":[],"droppedTargetCounts":null}"#
        );
        assert_eq!(
            text(false, true),
            concat!(
                r#"{"activeTargets":[],"droppedTargets":[{"discoveredLabels":{"__meta_a":"x"},"#,
                r#""scrapePool":"j"}],"droppedTargetCounts":{"j":3}}"#
            )
        );
        assert_eq!(
            text(true, false),
            concat!(
                r#"{"activeTargets":[{"discoveredLabels":{"__address__":"x"},"#,
                r#""labels":{"job":"x"},"scrapePool":"j","scrapeUrl":"http://h:1/metrics","#,
                r#""globalUrl":"http://h:1/metrics","lastError":"no \"route\"","#,
                r#""lastScrape":"2026-11-21T10:20:07.203Z","lastScrapeDuration":0.00417,"#,
                r#""health":"down","scrapeInterval":"15s","scrapeTimeout":"10s"}],"#,
                r#""droppedTargets":[],"droppedTargetCounts":null}"#
            )
        );
    }
}
