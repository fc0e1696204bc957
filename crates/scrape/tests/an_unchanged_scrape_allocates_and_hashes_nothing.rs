//! The hot path: a scrape whose series did not change goes from the body to log and head without
//! an allocation and without a hash.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use narthex_config::Config;
use narthex_counting::{Counting, allocations};
use narthex_expo::Format;
use narthex_model::{Labels, Timestamp};
use narthex_scrape::cycle::{Body, Cycle};
use narthex_store::Options;
use narthex_store::fs::DiskFs;
use narthex_store::testing::HandClock;
use parking_lot::Mutex;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Scrapes of one head block: at the end of each the head compresses its columns, and may have to
/// make room for the result.
const BLOCK: usize = 8;
/// Scrapes after which the head writes its columns to a file.
const FILE: usize = 64;
/// Allocations for the columns of a whole block, not for each of them.
const FLUSH_MAX: u64 = 8;
const WARM_UP: usize = 32 * BLOCK;
const MEASURED: usize = 32 * BLOCK;

/// A body like an exporter's: values that grow, that stay, that jump about and that change length.
fn body(scrape: usize) -> String {
    let mut text = String::from("# HELP fake_total Something.\n# TYPE fake_total counter\n");
    for series in 0..300 {
        let value = match series % 4 {
            0 => (scrape * (series + 1)).to_string(),
            1 => format!("{}.{:03}", scrape % 7, (scrape * 37 + series) % 1000),
            2 => format!("{}e+0{}", 1 + (scrape + series) % 9, scrape % 9),
            _ => series.to_string(),
        };
        let _ = writeln!(text, "fake_total{{series=\"{series}\"}} {value}");
    }
    text
}

#[test]
fn an_unchanged_scrape_allocates_and_hashes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let start = Timestamp(1_700_000_000_000);
    let clock = Arc::new(HandClock::new(start));
    let fs = Arc::new(DiskFs::new(folder.path()).unwrap());
    let (_store, writer) = narthex_store::open(fs, clock.clone(), Options::default()).unwrap();
    let writer = Mutex::new(writer);
    let config = Config::parse("scrape_configs: [{job_name: j}]", "test.yml").unwrap();
    let config = Arc::new(config.scrape_configs.into_iter().next().unwrap());
    let labels = Labels::from_pairs([("instance", "i"), ("job", "j")]);
    let mut cycle = Cycle::new(config, labels, Duration::from_secs(1));
    let bodies: Vec<String> = (0..WARM_UP + MEASURED).map(body).collect();
    let mut scrapes_that_allocate = 0;
    let mut hashes = 0;
    for (scrape, body) in bodies.iter().enumerate() {
        let at = start.plus_millis(i64::try_from(scrape).unwrap() * 1000);
        clock.set(at);
        let allocations_before = allocations();
        let hashes_before = narthex_model::hash::count();
        let fetched = Ok(Body {
            bytes: body.as_bytes(),
            format: Format::Text,
            translated: None,
            exemplars: &[],
        });
        let elapsed = || Duration::from_millis(3 + scrape as u64 % 5);
        let outcome = cycle.absorb(&writer, fetched, at, elapsed).unwrap();
        if scrape >= WARM_UP {
            assert!(outcome.error.is_none() && outcome.scraped == 300);
            let allocations = allocations() - allocations_before;
            scrapes_that_allocate += usize::from(allocations > 0);
            assert!(allocations <= FLUSH_MAX, "scrape {scrape}: {allocations} allocations");
            hashes += narthex_model::hash::count() - hashes_before;
        }
    }
    assert_eq!(hashes, 0, "hashes in {MEASURED} scrapes");
    let blocks = MEASURED / BLOCK + MEASURED / FILE;
    assert!(
        scrapes_that_allocate <= blocks,
        "{scrapes_that_allocate} of {MEASURED} scrapes allocate; {blocks} end a head block"
    );
}

#[test]
fn exemplars_that_are_known_allocate_and_hash_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let start = Timestamp(1_700_000_000_000);
    let clock = Arc::new(HandClock::new(start));
    let fs = Arc::new(DiskFs::new(folder.path()).unwrap());
    let (store, writer) = narthex_store::open(fs, clock.clone(), Options::default()).unwrap();
    store.exemplars().set_max(1000);
    let writer = Mutex::new(writer);
    let config = Config::parse("scrape_configs: [{job_name: j}]", "test.yml").unwrap();
    let config = Arc::new(config.scrape_configs.into_iter().next().unwrap());
    let labels = Labels::from_pairs([("instance", "i"), ("job", "j")]);
    let mut cycle = Cycle::new(config, labels, Duration::from_secs(1));
    let body = |scrape: usize| {
        let mut text = String::from("# TYPE fake counter\n");
        for series in 0..300 {
            let _ =
                write!(text, "fake_total{{series=\"{series}\"}} {}", 1_000_000 + scrape * series);
            if series % 10 == 0 {
                let _ = write!(text, " # {{trace_id=\"{series}\",span=\"x\"}} 1 1700000000");
            }
            text.push('\n');
        }
        text.push_str("# EOF\n");
        text
    };
    let bodies: Vec<String> = (0..WARM_UP + 8 * BLOCK).map(body).collect();
    let mut scrapes_that_allocate = 0;
    for (scrape, body) in bodies.iter().enumerate() {
        let at = start.plus_millis(i64::try_from(scrape).unwrap() * 1000);
        clock.set(at);
        let (before, hashes) = (allocations(), narthex_model::hash::count());
        let (bytes, format) = (body.as_bytes(), Format::OpenMetrics);
        let fetched = Ok(Body { bytes, format, translated: None, exemplars: &[] });
        let outcome = cycle.absorb(&writer, fetched, at, Duration::default).unwrap();
        assert!(outcome.error.is_none() && outcome.scraped == 300);
        if scrape >= WARM_UP {
            let allocated = allocations() > before;
            scrapes_that_allocate += usize::from(allocated);
            assert_eq!(narthex_model::hash::count(), hashes, "scrape {scrape}");
        }
    }
    assert!(scrapes_that_allocate <= 9, "{scrapes_that_allocate} scrapes allocate");
    assert_eq!(store.exemplars().stats().appended, 30);
}
