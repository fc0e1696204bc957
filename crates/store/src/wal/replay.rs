//! Reads the whole log at the start.

use std::collections::VecDeque;
use std::io;

use narthex_model::Timestamp;

use super::player::{Played, Player, Replay};
use super::scan::Scanner;
use super::segment::{self, DIR, Segment};
use crate::fs::{Fs, again};
use crate::{RowBuf, RowSeq};

/// What the log was found to be.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) segments: VecDeque<Segment>,
    /// The place after the last row that was found.
    pub(super) seq_reached: RowSeq,
    /// The first place that no lost row can have had.
    pub(super) seq_free: RowSeq,
    pub(super) segment_next: u64,
    /// The time of the last row.
    pub(super) last_at: Timestamp,
    pub(super) corruptions: u64,
    pub(super) rows_lost: u64,
}

/// How one segment ended.
#[derive(Debug, Default)]
struct Ending {
    /// The next place, when the segment was closed in good order.
    clean: Option<RowSeq>,
    len: u64,
}

/// Plays every segment to `replay`. Damage is stepped over, counted and warned about; a segment
/// that cannot be read at all counts as one damage.
pub(super) fn replay(fs: &dyn Fs, replay: &mut dyn Replay) -> io::Result<Outcome> {
    let mut numbers: Vec<u64> =
        fs.list(DIR)?.iter().filter_map(|name| segment::number(name)).collect();
    numbers.sort_unstable();
    let mut player = Player::default();
    let mut outcome = Outcome {
        segments: VecDeque::new(),
        seq_reached: RowSeq(1),
        seq_free: RowSeq(1),
        segment_next: numbers.last().map_or(1, |last| last.saturating_add(1)),
        last_at: Timestamp(0),
        corruptions: 0,
        rows_lost: 0,
    };
    for &number in &numbers {
        let seq_before = player.reached();
        let last = numbers.last() == Some(&number);
        player.begin_segment();
        let ending = match play(fs, number, last, &mut player, replay, &mut outcome.corruptions) {
            Ok(ending) => ending,
            Err(error) => {
                outcome.corruptions += 1;
                tracing::warn!(file = segment::path(number), %error, "segment cannot be read");
                Ending::default()
            }
        };
        let head = player.head();
        let ceiling = head.map_or(RowSeq(0), |head| head.seq_ceiling);
        outcome.seq_free = outcome.seq_free.max(ending.clean.unwrap_or(ceiling));
        outcome.segments.push_back(Segment {
            number,
            seq_reached: head.map_or(seq_before, |head| head.seq_reached),
            seq_first: head.map_or(seq_before, |head| head.seq_first),
            seq_end: player.segment_end(),
            len: ending.len,
            closed: true,
        });
    }
    outcome.last_at = player.last_at();
    outcome.rows_lost = player.lost();
    outcome.seq_reached = player.reached();
    outcome.seq_free = outcome.seq_free.max(outcome.seq_reached);
    Ok(outcome)
}

fn play(
    fs: &dyn Fs,
    number: u64,
    last: bool,
    player: &mut Player,
    replay: &mut dyn Replay,
    corruptions: &mut u64,
) -> io::Result<Ending> {
    let path = segment::path(number);
    let file = again(|| fs.open(&path))?;
    let end = again(|| file.len())?;
    let mut scanner = Scanner::new(number, file);
    let mut row = RowBuf::default();
    let mut ending = Ending { clean: None, len: end };
    while let Some(found) = scanner.next(end)? {
        if let Some(offset) = scanner.take_damage() {
            *corruptions += 1;
            tracing::warn!(file = path, offset, "damaged record stepped over");
        }
        let payload = scanner.payload(found, end)?;
        match player.play(found, payload, &mut row, Some(replay)) {
            Played::Row => replay.row(&row),
            Played::Late => replay.late_row(&row),
            Played::End(seq) => ending.clean = Some(seq),
            Played::Other => {}
            Played::Malformed => {
                *corruptions += 1;
                let offset = found.payload_at;
                tracing::warn!(file = path, offset, "record without meaning stepped over");
            }
        }
    }
    if let Some(tail) = scanner.tail(end) {
        ending.len = tail.start;
        // At the end of the last segment it is what a sudden death leaves, and no damage.
        *corruptions += u64::from(!last);
        tracing::warn!(file = path, offset = tail.start, bytes = tail.end - tail.start, "torn end");
        if last && tail.start > 0 {
            cut(fs, &path, tail.start);
        }
    }
    Ok(ending)
}

/// Cuts a torn end off, so that it is not reported again at the next start. The log is as good
/// without this.
fn cut(fs: &dyn Fs, path: &str, len: u64) {
    if let Err(error) = again(|| fs.append(path)).and_then(|mut file| file.set_len(len)) {
        tracing::warn!(file = path, %error, "torn end cannot be cut off");
    }
}
