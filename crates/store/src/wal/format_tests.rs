//! Holds `FORMAT.md` to the code: its examples are what the log writes.

use std::sync::Arc;

use narthex_model::{Labels, Timestamp};

use super::frame::{self, Kind, Place};
use super::player::{Played, Player, Replay};
use super::scan::Found;
use super::{Definitions, NextIds, Wal};
use crate::cursor::Cursors;
use crate::fs::{Fs, SimFs};
use crate::{LayoutRef, Row, RowBuf, RowSeq, SeriesRef, SourceRef};

/// The examples with this word behind `hex`, and what follows the word.
fn examples(word: &str) -> Vec<(String, Vec<u8>)> {
    let page = include_str!("../../FORMAT.md");
    let blocks = page.split("```hex ").skip(1);
    let wanted = blocks.filter_map(|block| {
        let (head, rest) = block.split_once('\n')?;
        let rest_of_head = head.strip_prefix(word)?.trim().to_owned();
        let (hex, _) = rest.split_once("```")?;
        let bytes = hex.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap());
        Some((rest_of_head, bytes.collect()))
    });
    wanted.collect()
}

#[derive(Debug, Default)]
struct Silent;

impl Replay for Silent {
    fn ids(&mut self, ids: NextIds) {
        assert_eq!(ids, NextIds { series: 5, source: 2, layout: 3 });
    }
    fn series(&mut self, series: SeriesRef, labels: Labels) {
        assert_eq!(labels.metric_name(), if series.get() == 5 { "up" } else { "temp" });
    }
    fn layout(&mut self, layout: LayoutRef, source: SourceRef) {
        assert_eq!((layout.0, source.0), (3, 2));
    }
    fn columns(&mut self, _: LayoutRef, _: u32, series: &[SeriesRef]) {
        assert_eq!(series.iter().map(|series| series.get()).collect::<Vec<_>>(), [5, 6]);
    }
    fn drop_layout(&mut self, _: LayoutRef) {}
    fn row(&mut self, _: &RowBuf) {}
}

fn series(number: u32) -> SeriesRef {
    SeriesRef::new(number).unwrap()
}

/// The log that the page shows.
fn example_log() -> SimFs {
    let fs = SimFs::new(1);
    let arc: Arc<dyn Fs> = Arc::new(fs.clone());
    let mut wal = Wal::open(arc, 1 << 20, RowSeq(0), &mut Silent).unwrap();
    let ids = NextIds { series: 5, source: 2, layout: 3 };
    wal.roll(ids, &mut |_, _: &mut Definitions| false).unwrap();
    for (number, name) in [(5, "up"), (6, "temp")] {
        let labels = Labels::from_pairs([("__name__", name), ("job", "node")]);
        wal.define().series(series(number), labels.iter());
    }
    wal.define().layout(LayoutRef(3), SourceRef(2));
    wal.define().columns(LayoutRef(3), 0, &[series(5), series(6)]);
    for (at, values) in [(1_700_000_000_000, [1.0, 12.5]), (1_700_000_015_000, [1.0, 12.7])] {
        let row = Row { layout: LayoutRef(3), at: Timestamp(at), values: &values, changed: None };
        wal.log_row(&row).unwrap();
    }
    wal.close().unwrap();
    fs
}

#[test]
fn the_log_writes_what_the_page_shows() {
    let bytes = example_log().read("wal/0000000001.wal").unwrap();
    let shown = examples("wal");
    assert_eq!(shown.len(), 8);
    for (offset, example) in shown {
        let offset: usize = offset.parse().unwrap();
        assert_eq!(bytes[offset..offset + example.len()], example, "at {offset}");
    }
}

#[test]
fn what_the_page_shows_is_understood() {
    let mut player = Player::default();
    let (mut row, mut rows) = (RowBuf::default(), Vec::new());
    for (offset, example) in examples("wal") {
        let place = Place { segment: 1, offset: offset.parse().unwrap() };
        let (frame, payload) = frame::parse(&example, place).unwrap();
        let found = Found { frame, ordinal: frame.ordinal, payload_at: 0 };
        match player.play(found, payload, &mut row, Some(&mut Silent)) {
            Played::Row => rows.push((row.seq.0, row.at.0, row.values.clone())),
            Played::End(seq) => assert_eq!(seq, RowSeq(3)),
            Played::Late | Played::Other => assert_ne!(frame.kind, Kind::Row),
            Played::Malformed => panic!("malformed at {offset}"),
        }
    }
    let wanted = [(1, 1_700_000_000_000, vec![1.0, 12.5]), (2, 1_700_000_015_000, vec![1.0, 12.7])];
    assert_eq!(rows, wanted);
}

#[test]
fn the_cursors_are_as_the_page_shows() {
    let fs = SimFs::new(1);
    let cursors = Cursors::open(Arc::new(fs.clone()));
    cursors.save("remote/0", RowSeq(2)).unwrap();
    let [(_, example)] = examples("cursors").try_into().unwrap();
    assert_eq!(fs.read("cursors.0").unwrap(), example);
    let fs = SimFs::new(2);
    fs.plant("cursors.1", &example);
    assert_eq!(Cursors::open(Arc::new(fs)).get("remote/0"), Some(RowSeq(2)));
}
