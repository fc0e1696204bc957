//! Fills the block of one window of time, target by target, with bounded memory.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;
use std::ops::Range;

use narthex_model::{ABSENT, Hashing, Labels, TimeRange, Timestamp};
use narthex_prometheus_tsdb::index::ChunkMeta;
use narthex_store::{ImportBlock, LayoutRef, SeriesRef};

use super::part::{LeftOut, Part, Slot, read};
use super::rows::{Rows, Sorter};
use crate::ctl::progress::Progress;

/// Series that are looked at together at most.
const SERIES_MAX: usize = 4096;

/// Samples that are held at once at most, by the estimate of [`CHUNK_SAMPLES`].
const SAMPLES_MAX: usize = 2 << 20;

/// What a chunk of Prometheus holds, as a rule.
const CHUNK_SAMPLES: usize = 120;

/// Rows of a piece, as a rule, and of a chunk at most.
const ROWS_BEST: usize = 480;
const ROWS_MAX: usize = 960;

/// All series of all parts by their target, which is made once.
#[derive(Debug)]
pub(super) struct Targets {
    /// Hash of the target, part, the part's name for the series; sorted.
    series: Vec<(u64, u32, u64)>,
}

impl Targets {
    /// Sorts the series of `parts` by target: what has the same `job` and `instance`.
    pub(super) fn new(parts: &[Box<dyn Part>], left_out: &mut LeftOut) -> Self {
        let hashing = Hashing::default();
        let (mut series, mut chunks) = (Vec::new(), Vec::new());
        for (number, part) in (0..).zip(parts) {
            let handles = part.handles().unwrap_or_else(|error| {
                left_out.damaged(error);
                Vec::new()
            });
            for handle in handles {
                match part.series(handle, &mut chunks) {
                    Ok(labels) => {
                        let target = (labels.get("job"), labels.get("instance"));
                        series.push((hashing.hash_one(target), number, handle));
                    }
                    Err(error) => left_out.damaged(error),
                }
            }
        }
        series.sort_unstable();
        Self { series }
    }

    fn each(&self) -> impl Iterator<Item = &[(u64, u32, u64)]> {
        self.series.chunk_by(|a, b| a.0 == b.0)
    }
}

/// Puts the samples of all `parts` in `window` into a block; gives how many.
pub(super) fn fill(
    parts: &[Box<dyn Part>],
    targets: &Targets,
    window: TimeRange,
    block: &mut ImportBlock<'_>,
    (left_out, progress): (&mut LeftOut, &mut Progress<'_>),
) -> Result<(), String> {
    let covered: Vec<bool> = parts.iter().map(|part| part.times().overlaps(window)).collect();
    for target in targets.each() {
        let mut found: BTreeMap<Labels, Vec<Slot<'_>>> = BTreeMap::new();
        for &(_, number, handle) in target {
            let number = number as usize;
            let part = parts.get(number).filter(|_| covered.get(number) == Some(&true));
            let Some(part) = part else { continue };
            let mut chunks = Vec::new();
            // What is damaged was counted when the targets were made.
            let Ok(labels) = part.series(handle, &mut chunks) else { continue };
            chunks.retain(|chunk: &ChunkMeta| {
                chunk.times.0 <= window.end.0 && chunk.times.1 >= window.start.0
            });
            if !chunks.is_empty() {
                let slot = Slot { part: &**part, handle, chunks };
                found.entry(labels).or_default().push(slot);
            }
        }
        let found: Vec<_> = found.into_iter().collect();
        for series in found.chunks(SERIES_MAX) {
            Target { series, layouts: Layouts::default() }.fill(
                window,
                block,
                (left_out, progress),
            )?;
        }
    }
    Ok(())
}

/// The series of a target, or some of them.
struct Target<'a> {
    series: &'a [(Labels, Vec<Slot<'a>>)],
    layouts: Layouts,
}

impl Target<'_> {
    fn fill(
        mut self,
        window: TimeRange,
        block: &mut ImportBlock<'_>,
        (left_out, progress): (&mut LeftOut, &mut Progress<'_>),
    ) -> Result<(), String> {
        let names = self.series.iter().map(|(labels, _)| block.series(labels));
        let names: Vec<SeriesRef> = names.collect::<Result<_, _>>().map_err(|e| e.to_string())?;
        let mut samples = Vec::new();
        for piece in self.pieces(window) {
            let mut sorter = Sorter::default();
            let mut count = 0;
            for (number, (_, slots)) in self.series.iter().enumerate() {
                read(slots, piece, left_out, &mut samples);
                if !samples.is_empty() {
                    count += samples.len();
                    sorter.add(number, &samples);
                }
            }
            self.layouts.begin_piece();
            for rows in sorter.finish() {
                self.layouts.write(&rows, &names, block)?;
            }
            progress.add(count as u64);
        }
        Ok(())
    }

    /// Cuts the time that the series have samples in, so that no piece is too long for a chunk
    /// or too large for the memory.
    fn pieces(&self, window: TimeRange) -> Vec<TimeRange> {
        let chunks = || self.series.iter().flat_map(|(_, slots)| slots).flat_map(|s| &s.chunks);
        let start = chunks().map(|chunk| chunk.times.0).min().unwrap_or(0).max(window.start.0);
        let end = chunks().map(|chunk| chunk.times.1).max().unwrap_or(0).min(window.end.0);
        let of_one = |slots: &[Slot<'_>]| slots.iter().map(|slot| slot.chunks.len()).sum::<usize>();
        let most = self.series.iter().map(|(_, slots)| of_one(slots)).max().unwrap_or(0);
        let by_rows = (most * CHUNK_SAMPLES).div_ceil(ROWS_BEST);
        let by_samples = (chunks().count() * CHUNK_SAMPLES).div_ceil(SAMPLES_MAX);
        let count = i64::try_from(by_rows.max(by_samples).max(1)).unwrap_or(i64::MAX);
        let step = ((end - start).max(0) / count + 1).max(1);
        let mut pieces = Vec::new();
        let mut from = start;
        while from <= end {
            let to = from.saturating_add(step - 1).min(end);
            pieces.push(TimeRange::new(Timestamp(from), Timestamp(to)));
            from = to.saturating_add(1);
        }
        pieces
    }
}

/// The layouts of a target in one block.
#[derive(Debug, Default)]
struct Layouts {
    layouts: Vec<Layout>,
    /// Where each series stood last: its layout and column.
    places: HashMap<usize, (usize, usize), Hashing>,
}

#[derive(Debug)]
struct Layout {
    name: LayoutRef,
    columns: Vec<SeriesRef>,
    used: bool,
}

impl Layouts {
    fn begin_piece(&mut self) {
        self.layouts.iter_mut().for_each(|layout| layout.used = false);
    }

    /// Writes rows as chunks of the layout that most likely fits.
    fn write(
        &mut self,
        rows: &Rows,
        names: &[SeriesRef],
        block: &mut ImportBlock<'_>,
    ) -> Result<(), String> {
        let position = self.choose(rows, block)?;
        let Some(layout) = self.layouts.get_mut(position) else { return Ok(()) };
        layout.used = true;
        let mut by_column: Vec<Option<usize>> = vec![None; layout.columns.len()];
        for (member, found) in rows.members.iter().enumerate() {
            let place = self.places.get(&found.series).filter(|&&(at, _)| at == position);
            if let Some(slot) = place.and_then(|&(_, column)| by_column.get_mut(column)) {
                *slot = Some(member);
            } else if let Some(&name) = names.get(found.series) {
                self.places.insert(found.series, (position, layout.columns.len()));
                layout.columns.push(name);
                by_column.push(Some(member));
            }
        }
        let count = rows.times.len();
        let length = count.div_ceil(count.div_ceil(ROWS_MAX));
        for from in (0..count).step_by(length) {
            let range = from..(from + length).min(count);
            write_chunk(rows, &range, layout, &by_column, block).map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    /// The layout that the first member stood in last, if most of its columns will be used.
    fn choose(&mut self, rows: &Rows, block: &mut ImportBlock<'_>) -> Result<usize, String> {
        let mut known = rows.members.iter().filter_map(|member| self.places.get(&member.series));
        if let Some(&(position, _)) = known.next()
            && let Some(layout) = self.layouts.get(position)
        {
            let same = 1 + known.filter(|&&(at, _)| at == position).count();
            if !layout.used && same * 2 > layout.columns.len() {
                return Ok(position);
            }
        }
        let name = block.layout().map_err(|e| e.to_string())?;
        self.layouts.push(Layout { name, columns: Vec::new(), used: false });
        Ok(self.layouts.len() - 1)
    }
}

fn write_chunk(
    rows: &Rows,
    range: &Range<usize>,
    layout: &Layout,
    by_column: &[Option<usize>],
    block: &mut ImportBlock<'_>,
) -> Result<(), narthex_store::Error> {
    let times = rows.times.get(range.clone()).unwrap_or_default();
    let stamps: Vec<Timestamp> = times.iter().map(|&at| Timestamp(at)).collect();
    block.chunk(layout.name, &layout.columns, &stamps)?;
    let mut column = vec![ABSENT; times.len()];
    for member in by_column {
        column.fill(ABSENT);
        if let Some(member) = member.and_then(|member| rows.members.get(member)) {
            member.fill(times, range.start, &mut column);
        }
        block.column(&column)?;
    }
    Ok(())
}
