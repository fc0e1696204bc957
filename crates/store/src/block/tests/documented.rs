//! The examples of `FORMAT.md` are what the code writes, and the code reads them.

use super::*;
use crate::codec::column;

const DOCUMENT: &str = include_str!("../../../FORMAT.md");

/// The lines of the fenced example with this name.
fn example(name: &str) -> Vec<&'static str> {
    let fence = format!("```text {name}\n");
    let start = DOCUMENT.find(&fence).unwrap_or_else(|| panic!("no example {name}"));
    let rest = &DOCUMENT[start + fence.len()..];
    rest[..rest.find("```").unwrap()].lines().collect()
}

fn hex(text: &str) -> Vec<u8> {
    text.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

fn value(text: &str) -> f64 {
    match text {
        "absent" => ABSENT,
        "stale" => STALE,
        number => number.parse().unwrap(),
    }
}

#[test]
fn blobs_are_as_documented() {
    let lines = example("blobs");
    assert!(lines.len() >= 8);
    for line in lines {
        let (bytes, values) = line.split_once('|').unwrap();
        let values: Vec<f64> = values.split_whitespace().map(value).collect();
        let bits: Vec<u64> = values.iter().map(|v| v.to_bits()).collect();
        let mut blob = Vec::new();
        column::encode_best(&values, &mut blob);
        assert_eq!(format!("{blob:02x?}"), format!("{:02x?}", hex(bytes)), "{line}");
        let mut back = Vec::new();
        column::decode(&hex(bytes), values.len(), &mut back).unwrap();
        assert_eq!(back.iter().map(|v| v.to_bits()).collect::<Vec<_>>(), bits, "{line}");
    }
}

/// The block of the document: two series, three rows.
fn documented_block() -> Vec<u8> {
    let fs = SimFs::new(1);
    let mut writer = Writer::new(Arc::new(fs.clone()), "example.tmp").unwrap();
    let columns = [series(6), series(7)];
    writer.add_series(columns[0], &Labels::from_pairs([("__name__", "up"), ("job", "n")]));
    writer.add_series(columns[1], &Labels::from_pairs([("__name__", "load"), ("job", "n")]));
    let times = [Timestamp(1000), Timestamp(16_000), Timestamp(31_000)];
    let seqs = [RowSeq(1), RowSeq(2), RowSeq(3)];
    let (layout, source) = (LayoutRef(2), SourceRef(1));
    let head = ChunkHead { layout, source, columns: &columns, times: &times, seqs: &seqs };
    writer.begin_chunk(&head).unwrap();
    writer.column(&[1.0; 3]).unwrap();
    writer.column(&[0.25, 0.5, 0.25]).unwrap();
    let window = TimeRange::new(Timestamp(0), Timestamp(7_199_999));
    let finish = Finish { window, first_seq: RowSeq(1), last_seq: RowSeq(3) };
    writer.finish(&finish, "example").unwrap();
    fs.read("example").unwrap()
}

#[test]
fn a_block_is_as_documented() {
    let bytes = documented_block();
    let mut documented = Vec::new();
    for line in example("block") {
        let (place, rest) = line.split_once(' ').unwrap();
        let at = usize::from_str_radix(place, 16).unwrap();
        let piece = hex(rest.split('|').next().unwrap());
        documented.resize(at, 0);
        documented.extend(piece);
    }
    let mut at = 0;
    for (line, piece) in (0..).zip(bytes.chunks(16)) {
        let have = documented.get(at..(at + 16).min(documented.len())).unwrap_or(&[]);
        assert_eq!(format!("{have:02x?}"), format!("{piece:02x?}"), "line {line} at {at:04x}");
        at += 16;
    }
    assert_eq!(documented.len(), bytes.len());
    let block = Block::open("example", FileView::owned(documented)).unwrap();
    let mut warnings = Vec::new();
    let contents = contents(&block, &mut warnings);
    assert!(warnings.is_empty());
    let load = &contents[&Labels::from_pairs([("__name__", "load"), ("job", "n")])];
    assert_eq!(load[&16_000], 0.5f64.to_bits());
}

/// Blocks of every version that was ever released open for ever.
#[test]
fn released_blocks_open() {
    let bytes: &[u8] = include_bytes!("../../../../../testdata/store/block-1");
    let block = Block::open("block-1", FileView::owned(bytes)).unwrap();
    let mut warnings = Vec::new();
    let contents = contents(&block, &mut warnings);
    assert!(warnings.is_empty() && block.verify().is_empty());
    assert_eq!(contents, model(&small_chunks()));
}

/// Writes the sample of this version, once, when the version is new.
#[test]
#[ignore = "writes a sample of the format"]
fn write_sample() {
    let fs = SimFs::new(1);
    write(&fs, "block-1", &small_chunks());
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/store/block-1");
    std::fs::write(path, fs.read("block-1").unwrap()).unwrap();
}

/// Prints the example, for whoever changes the format.
#[test]
#[ignore = "prints, tests nothing"]
fn print_documented_block() {
    let bytes = documented_block();
    for (line, piece) in bytes.chunks(16).enumerate() {
        if piece.iter().any(|&byte| byte != 0) {
            let text: Vec<String> = piece.iter().map(|byte| format!("{byte:02x}")).collect();
            println!("{:04x} {}", line * 16, text.join(" "));
        }
    }
    let examples: [&[f64]; 9] = [
        &[42.0; 3],
        &[0.25; 2],
        &[STALE],
        &[ABSENT, ABSENT],
        &[ABSENT, 7.0, 7.0],
        &[10.0, 20.0, 30.0, 40.0],
        &[1.5, 2.5, 2.0, 1.5, 2.5],
        &[5.0, 6.0, 8.0, STALE],
        &[1e300, -1e300],
    ];
    for values in examples {
        let mut blob = Vec::new();
        column::encode_best(values, &mut blob);
        let text: Vec<String> = blob.iter().map(|byte| format!("{byte:02x}")).collect();
        println!("{} | {values:?}", text.join(" "));
    }
}
