//! Queries and patterns.

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::Duration;

use narthex_model::regex::Pattern;
use narthex_model::{Labels, Timestamp};
use narthex_promql::Options;
use narthex_store::{Row, Snapshot, Store, Writer};

/// Parses a query, prints it, parses that, and evaluates it over a few series.
pub(crate) fn promql(bytes: &[u8]) {
    thread_local! {
        static STORE: OnceCell<(Arc<Store>, Writer)> = const { OnceCell::new() };
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(plan) = narthex_promql::parse(text) else { return };
    let options = Options {
        max_samples: 20_000,
        memory_bytes_max: 8 << 20,
        experimental: true,
        ..Options::default()
    };
    STORE.with(|store| {
        let snapshot: Snapshot = store.get_or_init(small_store).0.snapshot();
        drop(narthex_promql::instant(&plan, &snapshot, Timestamp(600_000), &options));
        let (start, end) = (Timestamp(300_000), Timestamp(600_000));
        let step = Duration::from_secs(60);
        drop(narthex_promql::range(&plan, &snapshot, start, end, step, &options));
    });
}

fn small_store() -> (Arc<Store>, Writer) {
    let (store, mut writer) = narthex_store::testing::memory_store();
    let source = writer.new_source();
    let layout = writer.new_layout(source).expect("a layout");
    let names = ["up", "a_total", "b_bucket", "c"];
    let labels = |(name, le): (&str, &str)| {
        Labels::from_pairs([("__name__", name), ("instance", "i"), ("job", "j"), ("le", le)])
    };
    let pairs = names.iter().flat_map(|&name| [(name, "1"), (name, "+Inf")]);
    let series: Vec<_> =
        pairs.map(|pair| writer.resolve(&labels(pair)).expect("a series")).collect();
    writer.add_columns(layout, &series).expect("columns");
    for step in 0..40u32 {
        let values: Vec<f64> = (0..8u32).map(|n| f64::from(step * n % 17) / 4.0).collect();
        let at = Timestamp(i64::from(step) * 15_000);
        writer.append(&Row { layout, at, values: &values, changed: None }).expect("a row");
    }
    (store, writer)
}

/// A pattern before the first line feed, and a value behind it.
pub(crate) fn regex(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (pattern, value) = text.split_once('\n').unwrap_or((text, "some_value"));
    if let Ok(pattern) = Pattern::new(pattern) {
        pattern.matches(value);
        drop(pattern.replace(value, "$1-${name}"));
    }
}
