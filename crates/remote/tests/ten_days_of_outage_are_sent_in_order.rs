//! A receiver was away for ten days, in which targets came and went and windows were sealed and
//! merged: every sample is sent, in order, with the memory that an hour takes.

#![expect(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a test fails where it must, and its numbers are small"
)]

use std::collections::HashMap;
use std::sync::Arc;

use narthex_counting::{Counting, Peak};
use narthex_model::{ABSENT, Labels, Timestamp};
use narthex_remote::{Requests, Version};
use narthex_store::fs::SimFs;
use narthex_store::testing::HandClock;
use narthex_store::{LayoutRef, Options, Row, RowSeq, Store, Writer};
use narthex_testkit::proto::WriteRequest;
use prost::Message;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;
const TARGETS: usize = 3;
const COLUMNS: i64 = 12;

struct Target {
    layout: LayoutRef,
    names: Vec<i64>,
}

/// A row a minute for each target. Every hour a series ends and another comes; every half day a
/// target begins anew. Returns how many samples were stored.
fn live(
    store: &Store,
    writer: &mut Writer,
    clock: &HandClock,
    targets: &mut Vec<Target>,
    minutes: std::ops::Range<i64>,
) -> u64 {
    let mut samples = 0;
    for minute in minutes {
        clock.set(Timestamp(minute * MINUTE));
        for number in 0..TARGETS {
            let age = minute + i64::try_from(number).unwrap() * 240;
            let first = minute / 60;
            if targets.len() <= number || age % 720 == 0 {
                let source = writer.new_source();
                let target =
                    Target { layout: writer.new_layout(source).unwrap(), names: Vec::new() };
                if targets.len() <= number {
                    targets.push(target);
                } else {
                    writer.drop_layout(targets[number].layout);
                    targets[number] = target;
                }
            }
            let target = &mut targets[number];
            for name in first..first + COLUMNS {
                if !target.names.contains(&name) {
                    let (name_text, target_text) = (name.to_string(), number.to_string());
                    let pairs =
                        [("__name__", "m_total"), ("name", &*name_text), ("target", &target_text)];
                    let series = writer.resolve(&Labels::from_pairs(pairs)).unwrap();
                    writer.add_columns(target.layout, &[series]).unwrap();
                    target.names.push(name);
                }
            }
            let alive = |&name: &i64| (first..first + COLUMNS).contains(&name);
            let value =
                |name: &i64| if alive(name) { (minute * 100 + name) as f64 } else { ABSENT };
            let values: Vec<f64> = target.names.iter().map(value).collect();
            samples += target.names.iter().filter(|name| alive(name)).count() as u64;
            let row = Row {
                layout: target.layout,
                at: Timestamp(minute * MINUTE),
                values: &values,
                changed: None,
            };
            writer.append(&row).unwrap();
        }
        if minute % 10 == 9 {
            store.upkeep().unwrap();
        }
    }
    samples
}

/// Sends all there is; tells how many samples, and how much memory that took at most.
fn send(store: &Arc<Store>, clock: &Arc<HandClock>, last: &mut HashMap<String, i64>) -> (u64, i64) {
    let clock = Arc::clone(clock) as _;
    let store = Arc::clone(store);
    let (none, version) = (Labels::empty(), Version::V1);
    let mut requests = Requests::new(version, store, clock, none, Vec::new(), 2_000);
    let (mut samples, mut peak) = (0, 0);
    loop {
        let held = Peak::begin();
        let Some((body, count)) = requests.next_body() else { break };
        peak = peak.max(held.take());
        samples += count as u64;
        let raw = snap::raw::Decoder::new().decompress_vec(body).unwrap();
        for series in WriteRequest::decode(&raw[..]).unwrap().timeseries {
            let label = |at: usize| series.labels[at].value.as_str();
            let name: i64 = label(1).parse().unwrap();
            let sample = series.samples[0];
            let minute = sample.timestamp / MINUTE;
            assert_eq!(sample.value.to_bits(), ((minute * 100 + name) as f64).to_bits());
            let before = last.insert(format!("{} {}", label(1), label(2)), minute);
            assert!(before.is_none_or(|before| before < minute), "out of order");
        }
    }
    (samples, peak)
}

#[test]
fn ten_days_of_outage_are_sent_in_order() {
    let clock = Arc::new(HandClock::new(Timestamp(0)));
    // The log is short, so nearly all comes out of blocks.
    let options = Options { wal_segment_bytes_max: 16_000, wal_bytes_max: 0, ..Options::default() };
    let fs = Arc::new(SimFs::new(3));
    let (store, mut writer) = narthex_store::open(fs, Arc::clone(&clock) as _, options).unwrap();
    store.save_cursor("remote-write-1", RowSeq(0)).unwrap();
    let mut targets = Vec::new();
    let hours = 6 * 60;
    let mut stored = live(&store, &mut writer, &clock, &mut targets, 0..hours);
    let (sent, peak_short) = send(&store, &clock, &mut HashMap::new());
    assert_eq!(sent, stored);
    stored += live(&store, &mut writer, &clock, &mut targets, hours..10 * DAY / MINUTE);
    assert!(store.stats().merges > 0 && store.stats().blocks > 3);
    let mut last = HashMap::new();
    let (sent, peak) = send(&store, &clock, &mut last);
    assert_eq!((sent, last.len()), (stored, TARGETS * (10 * 24 + 11)));
    assert!(peak < 2 * peak_short + (1 << 20), "{peak} bytes, {peak_short} of six hours");
}
