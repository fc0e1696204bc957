//! Scraping, under Prometheus' names.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use narthex_model::time::format_duration;
use narthex_scrape::counters::{Counters, Summary};
use narthex_scrape::{Manager, PoolView};

use super::text::{Family, Page};

/// The quantiles that Prometheus shows of these summaries.
const QUANTILES: [(&str, f64); 5] =
    [("0.01", 0.01), ("0.05", 0.05), ("0.5", 0.5), ("0.9", 0.9), ("0.99", 0.99)];

type Get = fn(&Counters) -> &AtomicU64;

#[rustfmt::skip]
const COUNTERS: &[(&str, &str, Get)] = &[
    ("prometheus_target_scrape_pool_reloads_total", "Total number of scrape pool reloads.", |c| &c.reloads),
    ("prometheus_target_scrape_pool_exceeded_target_limit_total", "Total number of times scrape pools hit the target limit, during sync or config reload.", |c| &c.target_limit),
    ("prometheus_target_sync_failed_total", "Total number of target sync failures.", |c| &c.sync_failed),
    ("prometheus_target_scrapes_exceeded_sample_limit_total", "Total number of scrapes that hit the sample limit and were rejected.", |c| &c.sample_limit),
    ("prometheus_target_scrapes_exceeded_body_size_limit_total", "Total number of scrapes that hit the body size limit", |c| &c.body_size_limit),
    ("prometheus_target_scrapes_sample_duplicate_timestamp_total", "Total number of samples rejected due to duplicate timestamps but different values.", |c| &c.duplicate),
    ("prometheus_target_scrapes_sample_out_of_order_total", "Total number of samples rejected due to not being out of the expected order.", |c| &c.out_of_order),
    ("prometheus_target_scrapes_sample_out_of_bounds_total", "Total number of samples rejected due to timestamp falling outside of the time bounds.", |c| &c.out_of_bounds),
    ("prometheus_target_scrapes_exemplar_out_of_order_total", "Total number of exemplar rejected due to not being out of the expected order.", |c| &c.late_exemplars),
    ("narthex_scrapes_total", "Scrapes that were tried.", |c| &c.scrapes),
    ("narthex_scrape_samples_total", "Samples that went into rows.", |c| &c.samples),
    ("narthex_scrape_store_failures_total", "Rows that the store failed to take.", |c| &c.store_failed),
];

/// Writes the figures of scraping.
pub fn scrape(page: &mut Page, manager: &Manager) {
    let pools = manager.pools();
    by_pool(page, &pools);
    counters(page, manager, &pools);
    let help = "Actual intervals between scrapes.";
    let mut family = page.family("prometheus_target_interval_length_seconds", "summary", help);
    for (interval, lengths) in manager.counters().intervals() {
        summary(&mut family, ("interval", &format_duration(interval)), &lengths);
    }
    let help = "Scrapes refused for having more series than a target or the store may have.";
    let limited = manager.counters().series_limited();
    let mut family = page.family("narthex_series_limited_total", "counter", help);
    for pool in &pools {
        let count = limited.get(&pool.name).copied().unwrap_or(0);
        family.count(&[("job", &pool.name)], count);
    }
    let mut cached: BTreeMap<String, u64> = BTreeMap::new();
    manager.each_metadata(|target, _, _| {
        let job = target.get("job").unwrap_or("");
        match cached.get_mut(job) {
            Some(count) => *count += 1,
            None => {
                cached.insert(job.to_owned(), 1);
            }
        }
    });
    let help = "Total number of metric metadata entries in the cache";
    let mut family = page.family("prometheus_target_metadata_cache_entries", "gauge", help);
    for (job, count) in &cached {
        family.count(&[("scrape_job", job)], *count);
    }
}

fn by_pool(page: &mut Page, pools: &[PoolView]) {
    let help = "Current number of targets in this scrape pool.";
    let mut family = page.family("prometheus_target_scrape_pool_targets", "gauge", help);
    for pool in pools {
        family.count(&[("scrape_job", &pool.name)], pool.active.len() as u64);
    }
    let help = "Maximum number of targets allowed in this scrape pool.";
    let mut family = page.family("prometheus_target_scrape_pool_target_limit", "gauge", help);
    for pool in pools {
        family.count(&[("scrape_job", &pool.name)], pool.target_limit);
    }
    let help = "Total number of syncs that were executed on a scrape pool.";
    let mut family = page.family("prometheus_target_scrape_pool_sync_total", "counter", help);
    for pool in pools {
        family.count(&[("scrape_job", &pool.name)], pool.syncs);
    }
    let help = "Actual interval to sync the scrape pool.";
    let mut family = page.family("prometheus_target_sync_length_seconds", "summary", help);
    for pool in pools {
        summary(&mut family, ("scrape_job", &pool.name), &pool.sync_seconds);
    }
}

fn counters(page: &mut Page, manager: &Manager, pools: &[PoolView]) {
    let help = "Total number of scrape pool creation attempts.";
    page.counter("prometheus_target_scrape_pools_total", help, pools.len() as u64);
    let counters = manager.counters();
    for (name, help, get) in COUNTERS {
        page.counter(name, help, get(&counters).load(Relaxed));
    }
}

fn summary(family: &mut Family<'_>, label: (&str, &str), summary: &Summary) {
    for (text, q) in QUANTILES {
        let value = summary.quantile(q).unwrap_or(f64::NAN);
        family.put("", &[label, ("quantile", text)], value);
    }
    family.totals(&[label], summary.sum, summary.count);
}
