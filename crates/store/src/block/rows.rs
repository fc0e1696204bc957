//! Reads rows of a block as they were appended: some rows of one layout at a time.

use narthex_model::{ABSENT, Timestamp};

use super::chunk::ChunkView;
use super::fault::Fault;
use super::reader::Block;
use super::select::SeriesIndex;
use crate::codec::{Decoder, Memory};
use crate::{Error, LayoutRef, RowSeq, SeriesRef, SourceRef};

/// Rows of one layout that a block has in one piece: one chunk, or several side by side where the
/// layout is wide.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Strip {
    /// The layout of the rows.
    pub(crate) layout: LayoutRef,
    /// The lowest place of its rows in the order of all rows.
    pub(crate) first: RowSeq,
    /// The highest place.
    pub(crate) last: RowSeq,
    /// How many rows.
    pub(crate) rows: u32,
    /// How many columns they have.
    pub(crate) columns: u32,
    /// Its first chunk, and how many there are.
    chunks: (u32, u32),
}

/// Some rows of a strip, row after row; buffers to be reused.
#[derive(Debug, Default)]
pub(crate) struct Slice {
    /// Time and place of each row, in order of places.
    pub(crate) keys: Vec<(Timestamp, RowSeq)>,
    /// The rows' values, `columns` each.
    pub(crate) values: Vec<f64>,
    /// Number of columns.
    pub(crate) columns: usize,
    times: Vec<Timestamp>,
    seqs: Vec<RowSeq>,
    column: Vec<f64>,
    memory: Memory,
    /// Which rows of the chunk are wanted.
    rows: Vec<usize>,
}

impl Slice {
    /// The values of a row.
    pub(crate) fn row(&self, row: usize) -> &[f64] {
        let start = row * self.columns;
        self.values.get(start..start + self.columns).unwrap_or(&[])
    }

    /// Chooses the first rows from the place `from` on.
    fn pick(&mut self, from: RowSeq, rows_max: usize) {
        let Self { keys, rows, seqs, times, .. } = self;
        rows.clear();
        rows.extend(seqs.iter().enumerate().filter(|(_, seq)| **seq >= from).map(|(row, _)| row));
        if !seqs.is_sorted() {
            // Late rows stand in order of time, and came in another.
            rows.sort_by_key(|&row| seqs.get(row));
        }
        rows.truncate(rows_max);
        keys.clear();
        keys.extend(rows.iter().filter_map(|&row| Some((*times.get(row)?, *seqs.get(row)?))));
    }
}

impl Block {
    /// All strips whose rows have places, by the place of their first row.
    pub(crate) fn strips(&self) -> Result<Vec<Strip>, Error> {
        let mut strips: Vec<Strip> = Vec::new();
        let mut before = None;
        for number in 0..self.meta().chunks {
            let record = self.record(number).map_err(|fault| self.error(fault))?;
            let same = before == Some((record.layout, record.seqs)) && record.first_column > 0;
            before = Some((record.layout, record.seqs));
            if record.seqs.1 == RowSeq(0) {
                continue;
            }
            if let Some(strip) = strips.last_mut().filter(|_| same) {
                strip.columns = strip.columns.max(record.first_column + record.columns);
                strip.chunks.1 += 1;
                continue;
            }
            let layout = self.layout_record(record.layout).map_err(|fault| self.error(fault))?;
            strips.push(Strip {
                layout: LayoutRef(layout.layout),
                first: record.seqs.0,
                last: record.seqs.1,
                rows: record.rows,
                columns: record.first_column + record.columns,
                chunks: (number, 1),
            });
        }
        strips.sort_by_key(|strip| strip.first);
        Ok(strips)
    }

    /// How many rows of a strip come behind `after`. Where that cannot be read, all of them.
    pub(crate) fn rows_behind(&self, strip: &Strip, after: RowSeq) -> u64 {
        if after < strip.first {
            return u64::from(strip.rows);
        }
        let mut seqs = Vec::new();
        let read = self
            .record(strip.chunks.0)
            .and_then(|record| ChunkView::open(self.bytes(), self.id(), record)?.seqs(&mut seqs));
        match read {
            Ok(()) => seqs.iter().filter(|&&seq| seq > after).count() as u64,
            Err(_) => u64::from(strip.rows),
        }
    }

    /// Reads the rows of a strip from the place `from` on, at most `rows_max`, into `out`. No row
    /// is an end. A damaged column is left out, as if it had no samples, and counted; a damaged
    /// head is an error.
    pub(crate) fn read_strip(
        &self,
        strip: &Strip,
        (from, rows_max): (RowSeq, usize),
        decoder: &mut Decoder,
        out: &mut Slice,
    ) -> Result<(), Error> {
        self.fill(strip, (from, rows_max), decoder, out).map_err(|fault| self.error(fault))
    }

    fn fill(
        &self,
        strip: &Strip,
        (from, rows_max): (RowSeq, usize),
        decoder: &mut Decoder,
        out: &mut Slice,
    ) -> Result<(), Fault> {
        out.keys.clear();
        out.columns = strip.columns as usize;
        let view = ChunkView::open(self.bytes(), self.id(), self.record(strip.chunks.0)?)?;
        view.times(&mut out.times)?;
        view.seqs(&mut out.seqs)?;
        out.pick(from, rows_max);
        out.values.clear();
        out.values.resize(out.keys.len() * out.columns, ABSENT);
        if out.keys.is_empty() {
            return Ok(());
        }
        for number in strip.chunks.0..strip.chunks.0 + strip.chunks.1 {
            let record = self.record(number)?;
            let view = match ChunkView::open(self.bytes(), self.id(), record) {
                Ok(view) => view,
                Err(fault) => {
                    self.note(fault);
                    continue;
                }
            };
            out.memory.clear();
            for column in 0..record.columns as usize {
                out.column.clear();
                let read = view.column(&mut out.memory, column, decoder, &mut out.column);
                if let Err(fault) = read {
                    self.note(fault);
                    continue;
                }
                let wide = record.first_column as usize + column;
                let places = out.values.get_mut(wide..).unwrap_or(&mut []);
                for (place, &row) in places.iter_mut().step_by(out.columns).zip(&out.rows) {
                    *place = out.column.get(row).copied().unwrap_or(ABSENT);
                }
            }
        }
        Ok(())
    }

    /// Tells the places of the rows that stand under `source`, as far as they can be read.
    pub(crate) fn places_of(&self, source: SourceRef, mut tell: impl FnMut(RowSeq)) {
        let mut seqs = Vec::new();
        for number in 0..self.meta().chunks {
            let mut read = || {
                let record = self.record(number)?;
                seqs.clear();
                if self.layout_record(record.layout)?.source == source.0 {
                    ChunkView::open(self.bytes(), self.id(), record)?.seqs(&mut seqs)?;
                }
                Ok(())
            };
            match read() {
                Ok(()) => seqs.iter().for_each(|&seq| tell(seq)),
                Err(fault) => self.note(fault),
            }
        }
    }

    /// Counts damage and tells of it.
    fn note(&self, fault: Fault) {
        let error = self.error(fault);
        tracing::warn!(%error, "samples are left out of rows that are read again");
    }

    /// All series by their name in the whole store, each with its position here.
    pub(crate) fn series_by_ref(&self) -> Vec<(SeriesRef, SeriesIndex)> {
        let all = (0..self.series_count()).map(SeriesIndex);
        let mut found: Vec<_> =
            all.filter_map(|index| Some((self.series_ref(index).ok()?, index))).collect();
        found.sort_unstable();
        found
    }
}
