#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "numbers of test data are small"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use narthex_model::MatchOp::{Equal, NotEqual, NotRegex, Regex};
use narthex_model::{ABSENT, Labels, MatchOp, Matcher, STALE, TimeRange, Timestamp, is_absent};
use proptest::prelude::*;

use super::*;
use crate::fs::{FileView, Fs, SimFs};
use crate::tombstones::Tombstones;
use crate::{LayoutRef, Samples, SeriesRef, SourceRef};

mod access;
mod damage;
mod documented;
mod recorded;

/// What a block should hold: per set of labels, per time, the bits.
type Model = BTreeMap<Labels, BTreeMap<i64, u64>>;

/// A random generator that needs no state but a number.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn series(number: u32) -> SeriesRef {
    SeriesRef::new(number + 1).unwrap()
}

/// The labels of series `number`: five metrics on some instances, some with further labels.
fn labels_of(number: u32) -> Labels {
    let mut pairs = vec![
        ("__name__".to_owned(), format!("metric_{}", number % 5)),
        ("instance".to_owned(), format!("host-{}:9100", number / 20)),
        ("job".to_owned(), if number % 20 < 13 { "node" } else { "other" }.to_owned()),
        ("index".to_owned(), number.to_string()),
    ];
    if number.is_multiple_of(3) {
        pairs.push(("device".to_owned(), format!("d\u{e9}v{}", number % 4)));
    }
    Labels::from_pairs(pairs)
}

/// The value of a series at a row, full of odd ones.
fn value_of(number: u32, row: u64, seed: u64) -> f64 {
    let random = mix(seed ^ (u64::from(number) << 32) ^ row);
    match number % 11 {
        0 => 42.0,
        1 | 2 => (row * row % 977 + u64::from(number)) as f64,
        3 => row as f64 * 512.0,
        4 => (random % 1000) as f64 / 8.0,
        5 if random.is_multiple_of(5) => ABSENT,
        6 if random.is_multiple_of(9) => STALE,
        7 => f64::from_bits(random),
        8 => ABSENT,
        _ => (random % 100) as f64 / 10.0,
    }
}

struct Chunk {
    layout: u32,
    columns: Vec<u32>,
    times: Vec<i64>,
    seed: u64,
}

impl Chunk {
    fn value(&self, column: usize, row: usize) -> f64 {
        let value = value_of(self.columns[column], row as u64, self.seed);
        // Any bits may come out of the generator, but a hole only where it means one.
        if value.is_nan() && !is_absent(value) && value.to_bits().trailing_zeros() >= 12 {
            0.5
        } else {
            value
        }
    }
}

/// Writes the chunks; rows are numbered in the order given.
fn write(fs: &SimFs, name: &str, chunks: &[Chunk]) -> Meta {
    let mut writer = Writer::new(Arc::new(fs.clone()), &format!("{name}.tmp")).unwrap();
    let mut seq = 0;
    fill(&mut writer, chunks, &mut seq);
    let window = TimeRange::new(Timestamp(0), Timestamp(7_199_999));
    let finish = Finish { window, first_seq: RowSeq(1), last_seq: RowSeq(seq) };
    writer.finish(&finish, name).unwrap()
}

fn fill(writer: &mut Writer, chunks: &[Chunk], seq: &mut u64) {
    for chunk in chunks {
        let columns: Vec<SeriesRef> = chunk.columns.iter().map(|&c| series(c)).collect();
        chunk.columns.iter().for_each(|&c| writer.add_series(series(c), &labels_of(c)));
        let times: Vec<Timestamp> = chunk.times.iter().map(|&t| Timestamp(t)).collect();
        let seqs: Vec<RowSeq> = times
            .iter()
            .map(|_| {
                *seq += 1;
                RowSeq(*seq)
            })
            .collect();
        let (layout, source) = (LayoutRef(chunk.layout), SourceRef(chunk.layout / 2));
        let head = ChunkHead { layout, source, columns: &columns, times: &times, seqs: &seqs };
        writer.begin_chunk(&head).unwrap();
        for column in 0..columns.len() {
            let values: Vec<f64> = (0..times.len()).map(|row| chunk.value(column, row)).collect();
            writer.column(&values).unwrap();
        }
    }
}

fn model(chunks: &[Chunk]) -> Model {
    let mut model = Model::new();
    for chunk in chunks {
        for (column, &number) in chunk.columns.iter().enumerate() {
            for (row, &at) in chunk.times.iter().enumerate() {
                let value = chunk.value(column, row);
                if !is_absent(value) {
                    let samples = model.entry(labels_of(number)).or_default();
                    samples.entry(at).or_insert(value.to_bits());
                }
            }
        }
    }
    model
}

/// Two layouts that share some series, one growing; odd times.
fn small_chunks() -> Vec<Chunk> {
    let times = |from: i64, rows: i64| (0..rows).map(|r| from + r * 15_000 + r % 3).collect();
    vec![
        Chunk { layout: 3, columns: (0..25).collect(), times: times(1000, 20), seed: 1 },
        Chunk { layout: 4, columns: (20..45).rev().collect(), times: times(7000, 30), seed: 2 },
        Chunk { layout: 3, columns: (0..30).collect(), times: times(301_000, 15), seed: 3 },
    ]
}

fn open(fs: &SimFs, name: &str) -> Block {
    Block::open(name, fs.map(name).unwrap()).unwrap()
}

fn select(block: &Block, matchers: &[Matcher], warnings: &mut Vec<String>) -> Vec<Found> {
    block.select(matchers, TimeRange::ALL, warnings)
}

/// Reads everything back as a model.
fn contents(block: &Block, warnings: &mut Vec<String>) -> Model {
    let mut model = Model::new();
    for found in select(block, &[], warnings) {
        let Ok(labels) = block.labels(found.index) else {
            warnings.push("labels".to_owned());
            continue;
        };
        let mut samples = Samples::default();
        block.read(found.index, TimeRange::ALL, &mut samples);
        warnings.append(&mut samples.warnings);
        assert!(samples.times.is_sorted_by(|a, b| a < b));
        let pairs = samples.times.iter().zip(&samples.values);
        let entry: &mut BTreeMap<i64, u64> = model.entry(labels).or_default();
        entry.extend(pairs.map(|(at, value)| (at.0, value.to_bits())));
    }
    model
}

fn matchers() -> Vec<Vec<Matcher>> {
    let m = |op: MatchOp, name: &str, value: &str| Matcher::new(op, name, value).unwrap();
    let single = [
        m(Equal, "__name__", "metric_1"),
        m(Equal, "job", "node"),
        m(NotEqual, "job", "node"),
        m(Regex, "index", "1.*|3"),
        m(NotRegex, "index", "1.*"),
        m(Regex, "__name__", "metric_[0-2]"),
        m(Equal, "device", ""),
        m(NotEqual, "device", ""),
        m(Regex, "device", ".*"),
        m(Regex, "device", ".+"),
        m(Regex, "device", "|d\u{e9}v1"),
        m(NotRegex, "device", "d\u{e9}v[01]"),
        m(Equal, "nothing", ""),
        m(NotEqual, "nothing", "x"),
        m(Equal, "nothing", "x"),
        m(Equal, "index", "no such value"),
    ];
    let mut all: Vec<Vec<Matcher>> = single.iter().map(|m| vec![m.clone()]).collect();
    all.push(Vec::new());
    for (index, one) in single.iter().enumerate() {
        for two in &single[index + 1..] {
            all.push(vec![one.clone(), two.clone()]);
            all.push(vec![two.clone(), one.clone(), single[1].clone()]);
        }
    }
    all
}

#[test]
fn gives_back_what_was_written() {
    let fs = SimFs::new(1);
    let chunks = small_chunks();
    let meta = write(&fs, "b", &chunks);
    let block = open(&fs, "b");
    let model = model(&chunks);
    assert_eq!(block.meta(), meta);
    assert_eq!(meta.series as usize, model.len());
    assert_eq!(meta.times, TimeRange::new(Timestamp(1000), Timestamp(511_002)));
    assert_eq!(fs.file_len("b").unwrap(), meta.bytes);
    assert!(!fs.list("").unwrap().contains(&"b.tmp".to_owned()));
    // What the parts take leaves no more than the alignment of two footers.
    let sizes = block.sizes().unwrap();
    assert_eq!(sizes.total(), meta.bytes);
    assert!(sizes.padding < 2 * format::FOOTER_ALIGN, "{sizes:?}");
    let mut warnings = Vec::new();
    assert_eq!(contents(&block, &mut warnings), model);
    assert_eq!(warnings, Vec::<String>::new());
    assert!(block.verify().is_empty());
}

#[test]
fn reads_any_range() {
    let fs = SimFs::new(1);
    let chunks = small_chunks();
    write(&fs, "b", &chunks);
    let block = open(&fs, "b");
    let model = model(&chunks);
    let all = select(&block, &[], &mut Vec::new());
    for start in (0..600_000).step_by(37_777) {
        for len in [0, 1, 14_999, 100_000, 1_000_000] {
            let range = TimeRange::new(Timestamp(start), Timestamp(start + len));
            for found in &all {
                let want = &model[&block.labels(found.index).unwrap()];
                let mut samples = Samples::default();
                block.read(found.index, range, &mut samples);
                let got: Vec<(i64, u64)> = samples
                    .times
                    .iter()
                    .map(|t| t.0)
                    .zip(samples.values.iter().map(|v| v.to_bits()))
                    .collect();
                let want: Vec<(i64, u64)> =
                    want.range(start..=start + len).map(|(&t, &v)| (t, v)).collect();
                assert_eq!(got, want);
            }
        }
    }
}

#[test]
fn selects_as_a_naive_search_does() {
    let fs = SimFs::new(1);
    let chunks = small_chunks();
    write(&fs, "b", &chunks);
    let block = open(&fs, "b");
    let model = model(&chunks);
    for matchers in matchers() {
        let mut warnings = Vec::new();
        let found = select(&block, &matchers, &mut warnings);
        let got: Vec<Labels> = found.iter().map(|f| block.labels(f.index).unwrap()).collect();
        let want: Vec<Labels> = model
            .keys()
            .filter(|labels| matchers.iter().all(|m| m.matches_labels(labels)))
            .cloned()
            .collect();
        assert_eq!(got, want, "{matchers:?}");
        for found in found {
            let labels = block.labels(found.index).unwrap();
            assert_eq!(
                found.series.get() - 1,
                labels.get("index").unwrap().parse::<u32>().unwrap()
            );
        }
        let (mut names, mut values) = (BTreeSet::new(), BTreeSet::new());
        block.label_names(&matchers, TimeRange::ALL, &mut names, &mut warnings);
        block.label_values("device", &matchers, TimeRange::ALL, &mut values, &mut warnings);
        let want_names: BTreeSet<String> =
            want.iter().flat_map(|l| l.iter().map(|(name, _)| name.to_owned())).collect();
        let want_values: BTreeSet<String> =
            want.iter().filter_map(|l| l.get("device").map(str::to_owned)).collect();
        assert_eq!((names, values), (want_names, want_values), "{matchers:?}");
        assert!(warnings.is_empty());
    }
}

#[test]
fn leaves_out_series_without_a_chunk_in_the_range() {
    let fs = SimFs::new(1);
    let chunks = small_chunks();
    write(&fs, "b", &chunks);
    let block = open(&fs, "b");
    let found = |start, end| {
        let range = TimeRange::new(Timestamp(start), Timestamp(end));
        block.select(&[], range, &mut Vec::new()).len()
    };
    let all = found(0, 1_000_000);
    assert!(found(0, 2000) < all);
    assert!(found(0, 2000) > 10);
    assert_eq!(found(600_000, 700_000), 0);
    assert_eq!(found(-5, -1), 0);
}

#[test]
fn keeps_rows_for_consumers() {
    let fs = SimFs::new(1);
    let chunks = small_chunks();
    write(&fs, "b", &chunks);
    let block = open(&fs, "b");
    let infos: Vec<ChunkInfo> = block.chunks().collect();
    assert_eq!(infos.len(), 3);
    let mut seen = Vec::new();
    for (number, info) in (0..).zip(&infos) {
        let (mut times, mut seqs) = (Vec::new(), Vec::new());
        block.chunk_rows(number, &mut times, &mut seqs).unwrap();
        assert_eq!(times.first(), Some(&info.times.start));
        assert_eq!((seqs.first(), seqs.last()), (Some(&info.seqs.0), Some(&info.seqs.1)));
        seen.extend(seqs);
        let columns = block.layout_columns(info.layout).unwrap();
        let chunk = chunks.iter().find(|c| c.times[0] == info.times.start.0).unwrap();
        for (column, &wanted) in chunk.columns.iter().enumerate() {
            let mut values = Vec::new();
            let mut scratch = Scratch::default();
            block.chunk_column(number, column as u32, &mut scratch, &mut values).unwrap();
            assert_eq!(columns[column], series(wanted));
            for (row, value) in values.iter().enumerate() {
                assert_eq!(value.to_bits(), chunk.value(column, row).to_bits());
            }
        }
    }
    seen.sort();
    assert_eq!(seen, (1..=65).map(RowSeq).collect::<Vec<_>>());
}

#[test]
fn holds_wide_layouts() {
    let fs = SimFs::new(1);
    let chunks = vec![Chunk {
        layout: 1,
        columns: (0..9001).collect(),
        times: vec![5, 10, 15, 16],
        seed: 4,
    }];
    let meta = write(&fs, "b", &chunks);
    assert_eq!(meta.chunks, 3);
    let mut warnings = Vec::new();
    assert_eq!(contents(&open(&fs, "b"), &mut warnings), model(&chunks));
    assert!(warnings.is_empty());
}

#[test]
fn an_empty_block_opens() {
    let fs = SimFs::new(1);
    let meta = write(&fs, "b", &[]);
    assert_eq!(meta.series, 0);
    let block = open(&fs, "b");
    assert!(select(&block, &[], &mut Vec::new()).is_empty());
    assert!(block.verify().is_empty());
}

#[test]
fn what_is_not_finished_is_removed() {
    let fs = SimFs::new(1);
    let writer = Writer::new(Arc::new(fs.clone()), "x.tmp").unwrap();
    assert!(fs.list("").unwrap().contains(&"x.tmp".to_owned()));
    drop(writer);
    assert!(fs.list("").unwrap().is_empty());
}

#[test]
fn survives_a_crash_at_every_call() {
    let calls = {
        let fs = SimFs::new(7);
        write(&fs, "b", &small_chunks());
        fs.calls()
    };
    for call in 1..=calls {
        let fs = SimFs::new(call);
        fs.stop_at(call);
        let chunks = small_chunks();
        let result =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| write(&fs, "b", &chunks)));
        let after = fs.crash();
        if after.list("").unwrap().contains(&"b".to_owned()) {
            let mut warnings = Vec::new();
            assert_eq!(contents(&open(&after, "b"), &mut warnings), model(&chunks));
            assert!(warnings.is_empty());
        } else {
            assert!(result.is_err(), "a finished block is durable");
        }
    }
}

/// A series over five minutes of a day is read with all bytes damaged but the index, one head and
/// the groups of its own column and of those it refers to.
#[test]
fn a_short_read_needs_its_own_pages_only() {
    let fs = SimFs::new(1);
    let columns = 90u32;
    let chunks: Vec<Chunk> = (0..12i64)
        .map(|window| Chunk {
            layout: 1,
            columns: (0..columns).collect(),
            times: (0..480).map(|row| window * 7_200_000 + row * 15_000).collect(),
            seed: window as u64,
        })
        .collect();
    write(&fs, "b", &chunks);
    let bytes = fs.read("b").unwrap();
    let block = open(&fs, "b");
    let start = 7 * 7_200_000 + 3_000_000;
    let range = TimeRange::new(Timestamp(start), Timestamp(start + 299_999));
    let mut most = 0;
    for found in select(&block, &[], &mut Vec::new()).into_iter().step_by(3) {
        let column = found.series.get() as usize - 1;
        let needed = block.needed(7, column);
        most = most.max(needed.iter().map(|(_, len)| len).sum::<u64>());
        let end = usize::try_from(block.chunks_end()).unwrap();
        let mut damaged = bytes.clone();
        damaged[..end].iter_mut().for_each(|byte| *byte ^= 0xff);
        for &(at, len) in &needed {
            let stretch = at as usize..(at + len) as usize;
            damaged[stretch.clone()].copy_from_slice(&bytes[stretch]);
        }
        let other = Block::open("damaged", FileView::owned(damaged)).unwrap();
        let (mut want, mut got) = (Samples::default(), Samples::default());
        block.read(found.index, range, &mut want);
        other.read(found.index, range, &mut got);
        assert_eq!(got.warnings, Vec::<String>::new(), "column {column}");
        assert_eq!(got.times, want.times);
        let bits = |samples: &Samples| samples.values.iter().map(|v| v.to_bits()).collect();
        let (got, want): (Vec<u64>, Vec<u64>) = (bits(&got), bits(&want));
        assert_eq!(got, want);
        assert!(want.len() <= 20);
    }
    // The largest columns here are noise of eight bytes a value.
    assert!(most < 20_000 && most * 50 < bytes.len() as u64, "{most} of {}", bytes.len());
}

#[test]
fn merges_adjacent_blocks() {
    let fs = SimFs::new(1);
    let mut all = Vec::new();
    let mut names = Vec::new();
    for window in 0..4i64 {
        let mut chunks = small_chunks();
        for chunk in &mut chunks {
            chunk.times.iter_mut().for_each(|at| *at += window * 7_200_000);
            chunk.seed += window as u64 * 10;
            // Layouts grow from window to window, in one a new one appears.
            if chunk.layout == 3 {
                chunk.columns = (0..chunk.columns.len() as u32 + 5 * window as u32).collect();
            } else if window == 2 {
                chunk.layout = 9;
            }
        }
        let name = format!("b{window}");
        write(&fs, &name, &chunks);
        names.push(name);
        all.extend(chunks);
    }
    let blocks: Vec<Block> = names.iter().map(|name| open(&fs, name)).collect();
    let blocks: Vec<&Block> = blocks.iter().collect();
    let writer = Writer::new(Arc::new(fs.clone()), "m.tmp").unwrap();
    let meta = merge(&blocks, &Tombstones::default(), writer, "m").unwrap();
    let merged = open(&fs, "m");
    assert_eq!(meta.samples, blocks.iter().map(|b| b.meta().samples).sum::<u64>());
    assert_eq!(meta.chunks, 12);
    let mut warnings = Vec::new();
    assert_eq!(contents(&merged, &mut warnings), model(&all));
    assert!(warnings.is_empty() && merged.verify().is_empty());
    assert!(meta.bytes < blocks.iter().map(|b| b.meta().bytes).sum::<u64>());
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 20,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Blocks of which some are taken as they are, behind chunks that were written before, and of
    /// one of which something is deleted.
    #[test]
    fn what_is_merged_is_found_as_if_written_at_once(
        seeds in prop::collection::vec((any::<u64>(), 1usize..60), 2..6),
        gone in prop::option::of(0u32..80),
    ) {
        let fs = SimFs::new(1);
        let mut deleted = Tombstones::default();
        if let Some(gone) = gone {
            deleted.add(series(gone), TimeRange::ALL).unwrap();
        }
        let mut chunks: Vec<Chunk> = (0i64..).zip(&seeds).map(|(window, &(seed, columns))| {
            // Every third layout is that of another block, with more or fewer columns.
            let layout = (window % 3) as u32;
            let first = if layout == 0 { 0 } else { (mix(seed) % 60) as u32 + layout * 3 };
            let times = (0..12).map(|row| window * 7_200_000 + row * 15_000).collect();
            let columns = (first..first + columns as u32).collect();
            Chunk { layout: if layout == 0 { 0 } else { window as u32 }, columns, times, seed }
        }).collect();
        for (number, chunk) in chunks.iter().enumerate().skip(1) {
            write(&fs, &format!("b{number}"), std::slice::from_ref(chunk));
        }
        let blocks: Vec<Block> =
            (1..chunks.len()).map(|number| open(&fs, &format!("b{number}"))).collect();
        let blocks: Vec<&Block> = blocks.iter().collect();
        let mut writer = Writer::new(Arc::new(fs.clone()), "m.tmp").unwrap();
        fill(&mut writer, &chunks[..1], &mut 0);
        let window = TimeRange::new(Timestamp(0), Timestamp(7_199_999));
        let finish = Finish { window, first_seq: RowSeq(1), last_seq: RowSeq(12) };
        let mut merger = Merger::behind(writer, finish);
        while !merger.advance(&blocks, &deleted, 4000).unwrap() {}
        merger.finish(&blocks, "m").unwrap();
        let merged = open(&fs, "m");
        let mut warnings = Vec::new();
        let found = contents(&merged, &mut warnings);
        let first = model(&chunks[..1]);
        let mut wanted = model(&chunks.split_off(1));
        if let Some(gone) = gone {
            wanted.remove(&labels_of(gone));
        }
        for (labels, samples) in first {
            wanted.entry(labels).or_default().extend(samples);
        }
        prop_assert_eq!(found, wanted);
        for matchers in matchers() {
            let labels = |index| merged.labels(index).unwrap();
            let found = select(&merged, &matchers, &mut warnings);
            let found: Vec<Labels> = found.iter().map(|found| labels(found.index)).collect();
            let all = (0..merged.series_count()).map(|index| labels(SeriesIndex(index)));
            let matching = all.filter(|labels| matchers.iter().all(|m| m.matches_labels(labels)));
            prop_assert_eq!(found, matching.collect::<Vec<_>>());
        }
        prop_assert!(warnings.is_empty() && merged.verify().is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_blocks_come_back(
        seeds in prop::collection::vec((any::<u64>(), 1usize..60, 1usize..70), 1..5),
    ) {
        let fs = SimFs::new(1);
        let chunks: Vec<Chunk> = (0..).zip(&seeds).map(|(layout, &(seed, columns, rows))| {
            let first = (mix(seed) % 60) as u32;
            let mut at = (mix(seed ^ 1) % 100_000) as i64;
            let times = (0..rows as u64)
                .map(|row| { at += 1 + (mix(seed ^ row << 8) % 20_000) as i64; at })
                .collect();
            Chunk { layout, columns: (first..first + columns as u32).collect(), times, seed }
        }).collect();
        write(&fs, "b", &chunks);
        let mut warnings = Vec::new();
        prop_assert_eq!(contents(&open(&fs, "b"), &mut warnings), model(&chunks));
        prop_assert!(warnings.is_empty());
    }
}
