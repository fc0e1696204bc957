//! Looking at every block once a week, so that damage is known before somebody needs the samples.
//!
//! What is looked at comes through the map, so it is what reads would be given: pages that are in
//! memory are not read from the disk again. How far the scrubber has come is kept in a small file
//! over restarts; without it, it begins anew.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use narthex_model::Timestamp;

use super::{Chores, add};
use crate::block::Block;
use crate::{Error, Store, view};

/// In which time all blocks are looked at.
const PASS: Duration = Duration::from_secs(7 * 86_400);
/// Of the time that goes by, scrubbing takes at most this part.
const TIME_SHARE: u32 = 1000;
/// Bytes that may be made up for at once, after a pause.
const CREDIT_BYTES_MAX: i64 = 64 << 20;
/// Damaged places that are remembered, so that each is told once.
const KNOWN_MAX: usize = 10_000;
/// The file that tells how far it has come.
const PATH: &str = "scrub";

/// What is being looked at.
#[derive(Debug, Default)]
pub(super) struct Scrub {
    started: bool,
    /// All blocks up to this number were looked at in this pass.
    passed: u64,
    /// When the pass began; `None` between two.
    began: Option<Timestamp>,
    /// The block that comes next, and its next piece.
    current: Option<(u64, u32)>,
    /// Bytes that may be looked at now; less than nothing after a large piece.
    credit: i64,
    last_round: Option<Duration>,
    known: BTreeSet<String>,
}

/// What the scrubber did since the store was opened.
#[derive(Debug, Default)]
pub(crate) struct ScrubCounters {
    pub(crate) bytes: AtomicU64,
    pub(crate) blocks: AtomicU64,
    pub(crate) damaged: AtomicU64,
    /// When the last pass ended, in milliseconds; 0: never yet.
    pub(crate) pass_ended_ms: AtomicI64,
}

impl Store {
    /// Looks at some pieces of blocks: as many as are due, and for a thousandth of the time since
    /// the last round at most.
    pub(super) fn scrub(&self, chores: &mut Chores) {
        let scrub = &mut chores.scrub;
        let now = self.clock.monotonic();
        let before = scrub.last_round.replace(now);
        let elapsed = now.saturating_sub(before.unwrap_or(now));
        if !scrub.started {
            scrub.started = true;
            self.resume(scrub);
        }
        let view = Arc::clone(&self.view.read());
        scrub.earn(view.bytes(), elapsed);
        let until = now.saturating_add(elapsed / TIME_SHARE);
        while scrub.credit > 0 && self.clock.monotonic() <= until {
            let Some(block) = scrub.next_block(&view.blocks, self.clock.now()) else { return };
            self.scrub_piece(scrub, &block);
        }
    }

    fn scrub_piece(&self, scrub: &mut Scrub, block: &Block) {
        let counters = &self.upkeep_counters.scrub;
        let Some((number, piece)) = scrub.current else { return };
        let (bytes, faults) = block.verify_piece(piece);
        scrub.credit = scrub.credit.saturating_sub_unsigned(bytes.max(1));
        add(&counters.bytes, bytes);
        for fault in faults {
            block.wear();
            if scrub.is_new(&fault) {
                add(&counters.damaged, 1);
                tracing::warn!(%fault, "damage found in a block");
            }
        }
        if piece + 1 < block.pieces() {
            scrub.current = Some((number, piece + 1));
            return;
        }
        (scrub.current, scrub.passed) = (None, number);
        add(&counters.blocks, 1);
        let is_last = |block: &Arc<Block>| number_of(block) <= number;
        if self.view.read().blocks.iter().all(is_last) {
            counters.pass_ended_ms.store(self.clock.now().0, Ordering::Relaxed);
        }
        self.save(scrub);
    }

    /// Goes on where the last process was.
    fn resume(&self, scrub: &mut Scrub) {
        let Ok(bytes) = self.fs.read(PATH) else { return };
        if let Some((began, passed, ended)) = parse(&bytes) {
            (scrub.began, scrub.passed) = (Some(Timestamp(began)), passed);
            self.upkeep_counters.scrub.pass_ended_ms.store(ended, Ordering::Relaxed);
        }
    }

    /// Writes how far it has come. Not synced: if it is lost, the pass begins anew.
    fn save(&self, scrub: &Scrub) {
        let began = scrub.began.unwrap_or(Timestamp(0)).0;
        let ended = self.upkeep_counters.scrub.pass_ended_ms.load(Ordering::Relaxed);
        let line = format!("scrub {began} {} {ended}", scrub.passed);
        let line = format!("{:08x} {line}\n", crc32c::crc32c(line.as_bytes()));
        let written = self.fs.create(PATH).and_then(|mut file| file.write(line.as_bytes()));
        if let Err(error) = written {
            tracing::debug!(%error, "how far the scrubber has come is not written");
        }
    }
}

impl Scrub {
    /// What is due for a time gone by: all bytes in a week.
    fn earn(&mut self, total: u64, elapsed: Duration) {
        let due = u128::from(total) * elapsed.as_millis() / PASS.as_millis();
        let due = i64::try_from(due).unwrap_or(i64::MAX).saturating_add(1);
        self.credit = self.credit.saturating_add(due).min(CREDIT_BYTES_MAX);
    }

    /// The block to look at, by number; begins the next pass when it is time.
    fn next_block(&mut self, blocks: &[Arc<Block>], now: Timestamp) -> Option<Arc<Block>> {
        let next = |after: u64| {
            let behind = blocks.iter().filter(|block| number_of(block) > after);
            behind.min_by_key(|block| number_of(block)).map(Arc::clone)
        };
        // The block that it was in may be gone, merged into another.
        let current = self.current.map(|(number, _)| number);
        let here = current.and_then(|n| blocks.iter().find(|block| number_of(block) == n));
        if let Some(block) = here {
            return Some(Arc::clone(block));
        }
        let mut found = next(self.passed);
        if found.is_none() {
            let week = i64::try_from(PASS.as_millis()).unwrap_or(i64::MAX);
            if self.began.is_some_and(|began| now < began.plus_millis(week)) {
                return None;
            }
            (self.began, self.passed) = (None, 0);
            found = next(0);
        }
        let found = found?;
        self.began.get_or_insert(now);
        self.current = Some((number_of(&found), 0));
        Some(found)
    }

    /// Whether this damage was not told before.
    fn is_new(&mut self, fault: &Error) -> bool {
        self.known.len() < KNOWN_MAX && self.known.insert(fault.to_string())
    }
}

fn number_of(block: &Block) -> u64 {
    let name = block.name().rsplit('/').next().unwrap_or_default();
    view::block_number(name).unwrap_or(0)
}

/// When the pass began, up to which block it has come, when the last pass ended.
fn parse(bytes: &[u8]) -> Option<(i64, u64, i64)> {
    let (sum, line) = std::str::from_utf8(bytes).ok()?.trim_end().split_once(' ')?;
    if u32::from_str_radix(sum, 16).ok()? != crc32c::crc32c(line.as_bytes()) {
        return None;
    }
    let mut words = line.strip_prefix("scrub ")?.split(' ');
    let mut next = || words.next();
    Some((next()?.parse().ok()?, next()?.parse().ok()?, next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use narthex_model::{Labels, TimeRange};

    use super::*;
    use crate::fs::{Fs, SimFs};
    use crate::testing::HandClock;
    use crate::{Import, Options};

    const HOUR_MS: i64 = 3_600_000;

    /// Blocks of 18 h are not merged.
    fn options() -> Options {
        Options { merge_windows: 3, ..Options::default() }
    }

    /// A store of three blocks.
    fn fill(fs: &SimFs, clock: &Arc<HandClock>) {
        let options = options();
        let (_store, writer) = crate::open(Arc::new(fs.clone()), clock.clone(), options).unwrap();
        let mut import = Import::begin(writer, "test").unwrap();
        for start in (0..3).map(|n| n * 18 * HOUR_MS) {
            let times: Vec<_> = (0..500).map(|n| Timestamp(start + n * 15_000)).collect();
            let window = TimeRange::new(times[0], times[499]);
            let mut block = import.block(window).unwrap();
            let series = block.series(&Labels::from_pairs([("__name__", "a")])).unwrap();
            let layout = block.layout().unwrap();
            block.chunk(layout, &[series], &times).unwrap();
            let value = |at: &Timestamp| f64::from_bits(crc32c::crc32c(&at.0.to_le_bytes()).into());
            block.column(&times.iter().map(value).collect::<Vec<_>>()).unwrap();
            block.finish().unwrap();
        }
    }

    #[test]
    fn every_block_is_looked_at_once_a_week_and_damage_told_once() {
        let fs = SimFs::new(1);
        let clock = Arc::new(HandClock::new(Timestamp(100 * HOUR_MS)));
        fill(&fs, &clock);
        let len = fs.file_len("blocks/00000002.block").unwrap();
        fs.flip("blocks/00000002.block", 100, 1);
        let options = options();
        let mut passes = Vec::new();
        let mut now = 100 * HOUR_MS;
        let (mut blocks, mut bytes) = (0, 0);
        // Restarts do not make it begin anew.
        for life in 0..6 {
            let opened = crate::open(Arc::new(fs.clone()), clock.clone(), options.clone());
            let (store, _writer) = opened.unwrap();
            for _ in 0..(4 * 24) {
                now += HOUR_MS;
                clock.set(Timestamp(now));
                store.upkeep().unwrap();
                let ended = store.stats().scrub_pass_ended;
                if ended.is_some() && passes.last() != ended.as_ref() {
                    passes.extend(ended);
                }
            }
            let stats = store.stats();
            blocks += stats.scrub_blocks;
            bytes += stats.scrub_bytes;
            assert!(stats.scrub_damaged <= 1, "told twice in life {life}");
        }
        // 24 days.
        assert_eq!(passes.len(), 3, "{passes:?}");
        assert!((9..=12).contains(&blocks), "{blocks} blocks");
        assert!(bytes > 8 * len && bytes < 13 * len, "{bytes} of {len} each");
    }

    #[test]
    fn every_byte_that_has_a_checksum_is_looked_at() {
        let fs = SimFs::new(1);
        let clock = Arc::new(HandClock::new(Timestamp(100 * HOUR_MS)));
        fill(&fs, &clock);
        let path = "blocks/00000001.block";
        let bytes = fs.read(path).unwrap();
        let whole = Block::open(path, fs.map(path).unwrap()).unwrap();
        assert_eq!(whole.verify().len(), 0);
        let mut unseen = Vec::new();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            let view = crate::fs::FileView::owned(damaged);
            let found = Block::open(path, view).map(|block| block.verify());
            if found.is_ok_and(|faults| faults.is_empty()) {
                unseen.push(at);
            }
        }
        // Only padding has none.
        assert!(unseen.iter().all(|&at| bytes[at] == 0), "{unseen:?}");
        assert!(unseen.len() < 1200, "{} bytes are not looked at", unseen.len());
    }
}
