//! A target whose series come and go takes no more memory after hundreds of scrapes than after a
//! few, while rows are put away, blocks are merged and the window is sealed.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use narthex_config::Config;
use narthex_counting::{Counting, Peak};
use narthex_expo::Format;
use narthex_model::{Labels, TimeRange, Timestamp};
use narthex_scrape::cycle::{Body, Cycle};
use narthex_store::Options;
use narthex_store::fs::DiskFs;
use narthex_store::testing::HandClock;
use parking_lot::Mutex;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SERIES: usize = 1000;
/// Series that are new in a scrape, in place of as many others.
const NEW: usize = 100;
const SCRAPES: usize = 600;
/// By then layouts were given up and their series put away.
const WARM_UP: usize = 60;
const WINDOW_MS: i64 = 7_200_000;

fn body(scrape: usize) -> String {
    let mut text = String::from("# TYPE cpu_seconds_total counter\n");
    for number in scrape * NEW..scrape * NEW + SERIES {
        let value = scrape * 7 + number % 13;
        let _ = writeln!(text, "cpu_seconds_total{{id=\"/pod{number:08}\"}} {value}");
    }
    text
}

#[test]
fn a_churning_target_takes_bounded_memory() {
    let folder = tempfile::tempdir().unwrap();
    let start = 1_700_000_000_000 / WINDOW_MS * WINDOW_MS;
    let clock = Arc::new(HandClock::new(Timestamp(start)));
    let fs = Arc::new(DiskFs::new(folder.path()).unwrap());
    let (store, writer) = narthex_store::open(fs, clock.clone(), Options::default()).unwrap();
    let writer = Mutex::new(writer);
    let config = Config::parse("scrape_configs: [{job_name: j}]", "test.yml").unwrap();
    let config = Arc::new(config.scrape_configs.into_iter().next().unwrap());
    let labels = Labels::from_pairs([("instance", "i"), ("job", "j")]);
    let mut cycle = Cycle::new(config, labels, Duration::from_secs(1));
    let peak = Peak::begin();
    let (mut early, mut series_most) = (0, 0);
    // All in one window; the last ones come when it is to be sealed.
    for scrape in 0..SCRAPES {
        let later = if scrape + 20 > SCRAPES { 2 * WINDOW_MS } else { 0 };
        let at = Timestamp(start + i64::try_from(scrape).unwrap() * 1000 + later);
        clock.set(at);
        let text = body(scrape);
        let fetched =
            Body { bytes: text.as_bytes(), format: Format::Text, translated: None, exemplars: &[] };
        let outcome = cycle.absorb(&writer, Ok(fetched), at, || Duration::ZERO).unwrap();
        assert!(outcome.error.is_none());
        store.sync().unwrap();
        store.upkeep().unwrap();
        if scrape == WARM_UP {
            early = peak.take();
        }
        series_most = series_most.max(store.stats().head_series);
    }
    let late = peak.take();
    println!("{early} bytes at most in the beginning, {late} later; {series_most} series");
    assert_eq!(store.stats().seals, 1);
    assert!(late < 2 * early, "{early} bytes at most in the beginning, {late} later");
    assert!(series_most < 4 * SERIES as u64, "{series_most} series in memory");
    let mut samples = 0;
    for series in store.snapshot().select(&[], TimeRange::ALL).unwrap().series {
        let mut found = narthex_store::Samples::default();
        series.read(TimeRange::ALL, &mut found).unwrap();
        samples += found.values.len();
    }
    // Each scrape has its series and its report, and markers for those that left it.
    assert_eq!(samples, SCRAPES * (SERIES + 5) + (SCRAPES - 1) * NEW);
}
