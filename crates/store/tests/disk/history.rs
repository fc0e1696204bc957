//! A random history of a store, and the model of what it must hold.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use narthex_model::{ABSENT, Labels, STALE, TimeRange, Timestamp, is_absent};
use narthex_store::fs::SimFs;
use narthex_store::testing::HandClock;
use narthex_store::{
    Error, LayoutRef, Options, Row, RowBuf, RowSeq, Samples, SeriesRef, Store, Writer,
};

pub(crate) const WINDOW_MS: i64 = 10_000;

pub(crate) fn options() -> Options {
    Options {
        window_ms: WINDOW_MS,
        wal_segment_bytes_max: 3_000,
        merge_windows: 3,
        chunk_file_bytes_min: 200,
        spill_columns_min: 2,
        ..Options::default()
    }
}

/// A small random number generator, so that a seed tells all.
#[derive(Clone)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// A new layout with these columns, in the place of the layout in this slot.
    Layout(usize, Vec<u8>),
    Columns(usize, Vec<u8>),
    Row(usize, i64, u64),
    Sync,
    Upkeep,
    Cursor,
}

/// Three layouts over disjoint series, replaced now and then, with rows over `windows` windows.
pub(crate) fn history(seed: u64, windows: i64) -> Vec<Action> {
    let mut random = Random(seed);
    let mut actions: Vec<Action> = Vec::new();
    let mut columns: Vec<Vec<u8>> = Vec::new();
    for slot in 0..3u8 {
        columns.push((0..3).map(|n| slot * 20 + n).collect());
        actions.push(Action::Layout(usize::from(slot), columns[usize::from(slot)].clone()));
    }
    let mut at = 0;
    while at < windows * WINDOW_MS {
        at += 50 + i64::try_from(random.below(350)).unwrap();
        let slot = usize::try_from(random.below(3)).unwrap();
        match random.below(40) {
            0 => {
                let have = &mut columns[slot];
                let next = u8::try_from(slot * 20 + have.len() % 20).unwrap();
                if !have.contains(&next) {
                    have.push(next);
                    actions.push(Action::Columns(slot, vec![next]));
                }
            }
            1 => actions.push(Action::Layout(slot, columns[slot].clone())),
            2..5 => actions.push(Action::Sync),
            5..8 => actions.push(Action::Upkeep),
            8 => actions.push(Action::Cursor),
            9 => {
                // At odd times, so that no sample in order is at the same one.
                let back = i64::try_from(random.below(15_000)).unwrap();
                actions.push(Action::Row(slot, (at - back).max(0) | 1, random.below(1 << 30)));
            }
            _ => actions.push(Action::Row(slot, at & !1, random.below(1 << 30))),
        }
    }
    actions.extend([Action::Sync, Action::Upkeep, Action::Upkeep]);
    actions
}

pub(crate) fn labels(number: u8) -> Labels {
    let number = number.to_string();
    Labels::from_pairs([("__name__", "m"), ("n", number.as_str())])
}

pub(crate) fn value(random: u64, column: u8) -> f64 {
    let random = random.rotate_left(u32::from(column) * 5) ^ u64::from(column);
    match random % 7 {
        0 => ABSENT,
        1 => STALE,
        2 => f64::from_bits(random.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        _ => f64::from(u32::try_from(random % 1000).unwrap()) / 10.0,
    }
}

pub(crate) type Model = BTreeMap<(Labels, i64), u64>;

/// What a history has stored so far.
#[derive(Default)]
pub(crate) struct Run {
    /// Rows that were handed in.
    pub(crate) tried: Model,
    /// Rows that were accepted.
    pub(crate) visible: Model,
    /// Rows that a sync has covered.
    pub(crate) durable: Model,
    pub(crate) last_seq: RowSeq,
    pub(crate) slots: BTreeMap<usize, (LayoutRef, Vec<u8>)>,
    pub(crate) refs: BTreeMap<SeriesRef, Labels>,
    pub(crate) failed: bool,
}

impl Run {
    /// Acts until something fails, if anything does.
    pub(crate) fn act(
        &mut self,
        actions: &[Action],
        store: &Store,
        writer: &mut Writer,
        clock: &HandClock,
    ) {
        for action in actions {
            if let Err(error) = self.step(action, store, writer, clock) {
                assert!(matches!(error, Error::Io { .. }), "{action:?}: {error}");
                self.failed = true;
                return;
            }
        }
    }

    pub(crate) fn step(
        &mut self,
        action: &Action,
        store: &Store,
        writer: &mut Writer,
        clock: &HandClock,
    ) -> Result<(), Error> {
        match action {
            Action::Layout(slot, columns) => {
                if let Some((old, _)) = self.slots.remove(slot) {
                    writer.drop_layout(old);
                }
                let source = writer.new_source();
                let layout = writer.new_layout(source)?;
                self.slots.insert(*slot, (layout, Vec::new()));
                self.add(*slot, columns, writer)
            }
            Action::Columns(slot, columns) => self.add(*slot, columns, writer),
            Action::Row(slot, at, random) => {
                if at % 2 == 0 {
                    clock.set(Timestamp(*at));
                }
                let (layout, columns) = &self.slots[slot];
                let values: Vec<f64> = columns.iter().map(|&c| value(*random, c)).collect();
                let samples = columns.iter().zip(&values).filter(|(_, value)| !is_absent(**value));
                let samples: Vec<_> =
                    samples.map(|(&c, value)| ((labels(c), *at), value.to_bits())).collect();
                if at % 2 == 1
                    && (samples.is_empty()
                        || samples.iter().any(|(at, _)| self.tried.contains_key(at)))
                {
                    return Ok(());
                }
                self.tried.extend(samples.iter().cloned());
                let row =
                    Row { layout: *layout, at: Timestamp(*at), values: &values, changed: None };
                let seq = match writer.append(&row) {
                    // Another late row of the layout, with other samples, had this time.
                    Err(Error::Duplicate { .. }) if at % 2 == 1 => {
                        self.tried.retain(|key, _| samples.iter().all(|(late, _)| late != key));
                        return Ok(());
                    }
                    result => result?,
                };
                assert!(seq > self.last_seq, "{seq} after {}", self.last_seq);
                self.last_seq = seq;
                self.visible.extend(samples);
                Ok(())
            }
            Action::Sync => {
                store.sync()?;
                self.durable = self.visible.clone();
                Ok(())
            }
            Action::Upkeep => store.upkeep().map(drop),
            Action::Cursor => store.save_cursor("r", store.last_seq()),
        }
    }

    fn add(&mut self, slot: usize, columns: &[u8], writer: &mut Writer) -> Result<(), Error> {
        let (layout, have) = self.slots.get_mut(&slot).unwrap();
        let mut refs = Vec::new();
        for &column in columns {
            let series = writer.resolve(&labels(column))?;
            let known = self.refs.insert(series, labels(column));
            assert!(known.is_none_or(|known| known == labels(column)), "{series} was given twice");
            refs.push(series);
        }
        writer.add_columns(*layout, &refs)?;
        have.extend_from_slice(columns);
        Ok(())
    }
}

pub(crate) fn read_all(store: &Store) -> Model {
    let selection = store.snapshot().select(&[], TimeRange::ALL).unwrap();
    assert_eq!(selection.warnings, Vec::<String>::new());
    let mut samples = Samples::default();
    let mut model = Model::new();
    for series in &selection.series {
        series.read(TimeRange::ALL, &mut samples).unwrap();
        assert_eq!(samples.warnings, Vec::<String>::new());
        assert!(samples.times.is_sorted_by(|a, b| a < b), "{:?}", samples.times);
        for (at, value) in samples.times.iter().zip(&samples.values) {
            model.insert((series.labels().clone(), at.0), value.to_bits());
        }
    }
    model
}

pub(crate) fn check(what: &str, found: &Model, must: &Model, may: &Model) {
    for (key, value) in must {
        assert_eq!(found.get(key), Some(value), "{what}: {key:?} was lost");
    }
    for (key, value) in found {
        assert_eq!(may.get(key), Some(value), "{what}: {key:?} was never stored");
    }
}

/// Rows that can be followed from the beginning are those that are there, in order.
pub(crate) fn check_rows(store: &Store) {
    let mut rows = store.rows_after(RowSeq(0)).unwrap();
    let mut row = RowBuf::default();
    let mut last = RowSeq(0);
    while rows.next(&mut row).unwrap() {
        assert!(row.seq > last);
        last = row.seq;
    }
    assert!(last <= store.last_seq());
}

pub(crate) fn open(fs: &SimFs, clock: &Arc<HandClock>) -> Result<(Arc<Store>, Writer), Error> {
    let opened = narthex_store::open(Arc::new(fs.clone()), Arc::clone(clock) as _, options())?;
    let late = Duration::from_millis(16_000);
    opened.0.set_out_of_order_window(late);
    Ok(opened)
}

/// The same history, later.
pub(crate) fn shifted(actions: Vec<Action>, by: i64) -> impl Iterator<Item = Action> {
    actions.into_iter().map(move |action| match action {
        Action::Row(slot, at, random) => Action::Row(slot, at + by, random),
        action => action,
    })
}
