//! Sizes and speeds on recorded bodies, where there are any: `NARTHEX_RECORDINGS` names a folder
//! of `*.rec.zst` files, each a chain of `#FRAME <unix ms> <length>\n<body>`. Speeds mean something
//! in release builds only.

use std::collections::HashMap;
use std::hint::black_box;
use std::time::Instant;

use super::super::chunk::ChunkView;
use super::*;
use crate::codec::{Memory, column};

/// Columns of values in text order, and the decimals that each was written with at most.
struct Recording {
    names: Vec<String>,
    columns: Vec<Vec<f64>>,
    decimals: Vec<u32>,
}

fn parse(bytes: &[u8]) -> Recording {
    let (mut names, mut columns, mut decimals) = (Vec::new(), Vec::<Vec<f64>>::new(), Vec::new());
    let mut known: HashMap<String, usize> = HashMap::new();
    let (mut rest, mut row) = (bytes, 0);
    while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
        let head = std::str::from_utf8(&rest[..end]).unwrap();
        let len: usize = head.rsplit(' ').next().unwrap().parse().unwrap();
        let body = std::str::from_utf8(&rest[end + 1..end + 1 + len]).unwrap();
        rest = &rest[end + 1 + len..];
        for line in body.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let column = *known.entry(name.to_owned()).or_insert_with(|| {
                names.push(name.to_owned());
                columns.push(Vec::new());
                decimals.push(0);
                names.len() - 1
            });
            columns[column].resize(row, ABSENT);
            columns[column].push(value.parse().unwrap());
            let digits = value.split_once('.').map_or(0, |(_, tail)| tail.len() as u32);
            let digits = if value.contains('e') { 18 } else { digits };
            decimals[column] = digits.max(decimals[column]);
        }
        row += 1;
        for column in &mut columns {
            column.resize(row, ABSENT);
        }
    }
    Recording { names, columns, decimals }
}

/// A longer recording at a fifteenth of the pace: counters keep the increments they had within
/// fifteen rows, gauges are read every fifteenth row. Only columns without holes are kept.
fn stretch(recording: &Recording, rows: usize) -> Recording {
    let mut out = Recording { names: Vec::new(), columns: Vec::new(), decimals: Vec::new() };
    for (index, column) in recording.columns.iter().enumerate() {
        if column.iter().any(|&value| is_absent(value)) {
            continue;
        }
        let name = &recording.names[index];
        let family = name.split('{').next().unwrap();
        let counter = ["_total", "_count", "_sum", "_bucket"].iter().any(|s| family.ends_with(s));
        let decimals = recording.decimals[index];
        let mut values = Vec::with_capacity(rows);
        let mut sum = column[0];
        'phases: for phase in 0..15 {
            let phase = phase * 7 % 15;
            for row in (phase..column.len() - 15).step_by(15) {
                if counter {
                    sum += column[row + 15] - column[row];
                    if decimals <= 9 {
                        let power = 10f64.powi(decimals.cast_signed());
                        sum = (sum * power).round() / power;
                    }
                    values.push(sum);
                } else {
                    values.push(column[row]);
                }
                if values.len() == rows {
                    break 'phases;
                }
            }
        }
        out.names.push(name.clone());
        out.columns.push(values);
        out.decimals.push(decimals);
    }
    out
}

#[expect(clippy::disallowed_methods, reason = "a measurement")]
fn timed<T>(samples: usize, work: impl Fn() -> T) -> (f64, T) {
    let mut best = f64::MAX;
    let mut result = None;
    for _ in 0..5 {
        let start = Instant::now();
        result = Some(black_box(work()));
        best = best.min(start.elapsed().as_nanos() as f64 / samples as f64);
    }
    (best, result.unwrap())
}

fn write_block(recording: &Recording, rows: usize, chunk_rows: usize) -> (SimFs, Meta) {
    let fs = SimFs::new(1);
    let mut writer = Writer::new(Arc::new(fs.clone()), "b.tmp").unwrap();
    let columns: Vec<SeriesRef> = (0..recording.names.len() as u32).map(series).collect();
    for (column, name) in (0..).zip(&recording.names) {
        let (family, labels) = name.split_once('{').unwrap_or((name, ""));
        let mut pairs = vec![("__name__", family), ("job", "node"), ("instance", "localhost:9100")];
        let parts = labels.trim_end_matches('}').split("\",");
        let pair =
            |part: &'_ str| part.split_once("=\"").map(|(n, v)| (n.to_owned(), v.to_owned()));
        let parsed: Vec<(String, String)> = parts.filter_map(pair).collect();
        pairs.extend(parsed.iter().map(|(n, v)| (n.as_str(), v.trim_end_matches('"'))));
        writer.add_series(series(column), &Labels::from_pairs(pairs));
    }
    for start in (0..rows).step_by(chunk_rows) {
        let end = (start + chunk_rows).min(rows);
        let times: Vec<Timestamp> = (start..end).map(|r| Timestamp(r as i64 * 15_000)).collect();
        let seqs: Vec<RowSeq> = (start..end).map(|row| RowSeq(row as u64 * 4)).collect();
        let (layout, source) = (LayoutRef(1), SourceRef(1));
        let head = ChunkHead { layout, source, columns: &columns, times: &times, seqs: &seqs };
        writer.begin_chunk(&head).unwrap();
        recording.columns.iter().for_each(|c| writer.column(&c[start..end]).unwrap());
    }
    let window = TimeRange::new(Timestamp(0), Timestamp(7_199_999));
    let finish = Finish { window, first_seq: RowSeq(1), last_seq: RowSeq(9) };
    let meta = writer.finish(&finish, "b").unwrap();
    (fs, meta)
}

fn measure(name: &str, recording: &Recording, rows: usize) {
    let samples = rows * recording.columns.len();
    let (encode, (fs, meta)) = timed(samples, || write_block(recording, rows, 480));
    let block = open(&fs, "b");
    let mut samples_out = Samples::default();
    let found = select(&block, &[], &mut Vec::new());
    let mut scratch = Scratch::default();
    for found in &found {
        samples_out.clear();
        block.read_with(found.index, TimeRange::ALL, &mut scratch, &mut samples_out);
        let want = &recording.columns[found.series.get() as usize - 1][..rows];
        let want: Vec<u64> = want.iter().filter(|v| !is_absent(**v)).map(|v| v.to_bits()).collect();
        let got: Vec<u64> = samples_out.values.iter().map(|v| v.to_bits()).collect();
        assert_eq!(got, want);
    }
    let (decode, _) = timed(samples, || {
        let (mut out, mut scratch) = (Samples::default(), Scratch::default());
        for found in &found {
            out.clear();
            block.read_with(found.index, TimeRange::ALL, &mut scratch, &mut out);
        }
        out.times.len()
    });
    let (labels, _) = timed(found.len(), || {
        found.iter().map(|f| block.labels(f.index).unwrap().len()).sum::<usize>()
    });
    let matchers =
        [Matcher::equal("job", "node"), Matcher::equal("__name__", "node_cpu_seconds_total")];
    let (search, _) = timed(1, || select(&block, &matchers, &mut Vec::new()).len());
    let (fast_encode, fast) = timed(samples, || encode_fast(recording, rows));
    let blobs: Vec<(usize, Vec<u8>)> = encode_fast_apart(recording, rows);
    let (fast_decode, _) = timed(samples, || {
        let (mut out, mut decoder) = (Vec::new(), crate::codec::Decoder::default());
        for (rows, blob) in &blobs {
            out.clear();
            decoder.decode(blob, *rows, 0, &column::NoPeers, &mut out).unwrap();
        }
        out.len()
    });
    let speeds = speeds(&block);
    println!("{name}: {speeds}");
    let data: u64 = block.chunks().enumerate().map(|(n, _)| block.chunk_bytes(n as u32)).sum();
    println!(
        "{name}: {} series x {rows} rows: best {:.3} B/sample all in ({:.3} chunks, index {:.1} \
         B/series), encode {encode:.1} ns, read {decode:.2} ns/sample; labels {labels:.0} ns, \
         search {search:.0} ns; fast {:.3} B/sample, encode {fast_encode:.1} ns, decode \
         {fast_decode:.1} ns",
        found.len(),
        meta.bytes as f64 / meta.samples as f64,
        data as f64 / meta.samples as f64,
        (meta.bytes - data) as f64 / f64::from(meta.series),
        fast as f64 / meta.samples as f64,
    );
}

/// Reads all columns of the block's chunks, or those that are not constant, one after the other.
#[inline(never)]
fn decode_columns(block: &Block, changing: bool, scratch: &mut Scratch, out: &mut Vec<f64>) -> u64 {
    let mut samples = 0;
    for (number, info) in (0..).zip(block.chunks()) {
        let view =
            ChunkView::open(block.bytes(), block.id(), block.record(number).unwrap()).unwrap();
        let mut memory = Memory::default();
        for column in 0..info.columns as usize {
            if changing && view.blob_kind(column) == 0 {
                continue;
            }
            out.clear();
            view.column(&mut memory, column, &mut scratch.decoder, out).unwrap();
            samples += out.len() as u64;
        }
    }
    samples
}

/// How fast columns come back: all, those that are not constant, and one alone.
#[expect(clippy::disallowed_methods, reason = "a measurement")]
fn speeds(block: &Block) -> String {
    let (mut scratch, mut out) = (Scratch::default(), Vec::new());
    let mut best = [f64::MAX; 2];
    for _ in 0..7 {
        for (changing, best) in [false, true].into_iter().zip(&mut best) {
            let start = Instant::now();
            let samples = decode_columns(block, changing, &mut scratch, &mut out);
            *best = best.min(start.elapsed().as_nanos() as f64 / samples.max(1) as f64);
        }
    }
    let mut alone = Vec::new();
    let mut samples = Samples::default();
    for found in select(block, &[], &mut Vec::new()) {
        let mut least = u128::MAX;
        for _ in 0..5 {
            // Another block's key makes the scratch forget what it knows of the chunk.
            let mut scratch = Scratch::default();
            samples.clear();
            samples.times.reserve(1000);
            samples.values.reserve(1000);
            let start = Instant::now();
            block.read_with(found.index, TimeRange::ALL, &mut scratch, &mut samples);
            least = least.min(start.elapsed().as_nanos());
        }
        alone.push(least);
    }
    alone.sort_unstable();
    let at = |share: usize| alone.get(alone.len() * share / 100).copied().unwrap_or(0);
    format!(
        "columns {:.2} ns/sample, changing ones {:.2}; one series alone {} ns median, {} p95",
        best[0],
        best[1],
        at(50),
        at(95),
    )
}

fn encode_fast(recording: &Recording, rows: usize) -> usize {
    let mut out = Vec::with_capacity(1 << 22);
    for column in &recording.columns {
        for chunk in column[..rows].chunks(32) {
            column::encode_fast(chunk, &mut out);
        }
    }
    out.len()
}

fn encode_fast_apart(recording: &Recording, rows: usize) -> Vec<(usize, Vec<u8>)> {
    let chunks = recording.columns.iter().flat_map(|column| column[..rows].chunks(32));
    chunks
        .map(|chunk| {
            let mut blob = Vec::new();
            column::encode_fast(chunk, &mut blob);
            (chunk.len(), blob)
        })
        .collect()
}

#[test]
fn recorded_bodies() {
    let Some(folder) = std::env::var_os("NARTHEX_RECORDINGS") else {
        println!("SKIPPED: NARTHEX_RECORDINGS names no folder of recordings");
        return;
    };
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if !path.to_string_lossy().ends_with(".rec.zst") {
            continue;
        }
        let bytes = zstd::decode_all(std::fs::File::open(&path).unwrap()).unwrap();
        let recording = parse(&bytes);
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        measure(&format!("{name}, each second"), &recording, 480);
        let stretched = stretch(&recording, 480);
        measure(&format!("{name}, each 15 s"), &stretched, 480);
        measure(&format!("{name}, 68 rows"), &stretch(&recording, 68), 68);
    }
}

/// Synthetic data: the limits are loose, they catch a codec that stopped working.
#[test]
fn synthetic_sizes() {
    let rows = 480;
    let columns: Vec<Vec<f64>> = (0..200u64)
        .map(|column| {
            let (mut sum, busy) = (column as f64 * 1000.0, column % 5);
            (0..rows as u64)
                .map(|row| {
                    let random = mix(column << 20 ^ row);
                    match busy {
                        0 | 1 => sum,
                        2 => {
                            sum += (random % 4) as f64;
                            sum
                        }
                        3 => ((random % 2000) + 50_000) as f64 * 4096.0,
                        _ => {
                            sum = ((sum * 100.0).round() + (random % 150) as f64) / 100.0;
                            sum
                        }
                    }
                })
                .collect()
        })
        .collect();
    let names = (0..200).map(|column| format!("metric_{column}")).collect();
    let recording = Recording { names, columns, decimals: vec![2; 200] };
    let (_, meta) = write_block(&recording, rows, rows);
    let per_sample = meta.bytes as f64 / meta.samples as f64;
    println!("synthetic: {per_sample:.3} B/sample all in");
    assert!(per_sample < 0.75, "{per_sample}");
}
