//! Appending to a layout that does not change allocates nothing, but for a block of compressed
//! rows now and then.

use narthex_counting::{Counting, allocations};
use narthex_model::{Labels, Timestamp};
use narthex_store::{Column, Options, Row, testing};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn an_unchanged_row_allocates_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let fs = std::sync::Arc::new(narthex_store::fs::DiskFs::new(dir.path()).unwrap());
    let clock = std::sync::Arc::new(testing::HandClock::new(Timestamp::MAX));
    let (_store, mut writer) = narthex_store::open(fs, clock, Options::default()).unwrap();
    let source = writer.new_source();
    let layout = writer.new_layout(source).unwrap();
    let series: Vec<_> = (0..500)
        .map(|n| {
            let labels = Labels::from_pairs([("__name__", "m"), ("n", n.to_string().as_str())]);
            writer.resolve(&labels).unwrap()
        })
        .collect();
    writer.add_columns(layout, &series).unwrap();
    let mut values: Vec<f64> = (0..500).map(f64::from).collect();
    let changed: Vec<Column> = (0..500).step_by(3).map(Column).collect();
    let mut per_row = Vec::new();
    for row in 0..640 {
        for column in &changed {
            values[column.index()] += 1.0;
        }
        let row =
            Row { layout, at: Timestamp(row * 15_000), values: &values, changed: Some(&changed) };
        let before = allocations();
        writer.append(&row).unwrap();
        per_row.push(allocations() - before);
    }
    // The first rows make room. Then every eighth row is compressed with those before, and every
    // few rows the log keeps one to compare with.
    let settled = &per_row[64..];
    let free = settled.iter().filter(|&&count| count == 0).count();
    let total: u64 = settled.iter().sum();
    println!("{} of {} rows allocate nothing, {total} allocations", free, settled.len());
    assert!(free * 100 >= settled.len() * 85, "{settled:?}");
    assert!(total < 300, "{settled:?}");
}
