//! When a target's turn is: a grid of wall-clock instants, the same after a restart.

use std::time::Duration;

use narthex_model::Timestamp;

/// A scrape that begins this late is still stored at its grid point, so that timestamps are
/// regular and compress well; never more than a hundredth of the interval. As Prometheus has it.
const TOLERANCE_MS_MAX: i64 = 2;

/// The grid of one target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    interval_ms: i64,
    offset_ms: i64,
}

impl Schedule {
    /// A grid with a point every `interval`, `offset_ms` after the multiples of it since 1970.
    pub(crate) fn new(interval: Duration, offset_ms: u64) -> Self {
        let interval_ms = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX).max(1);
        let offset_ms = i64::try_from(offset_ms).unwrap_or(0).rem_euclid(interval_ms);
        Self { interval_ms, offset_ms }
    }

    /// The first grid point after `now`.
    pub(crate) fn after(self, now: Timestamp) -> Timestamp {
        let since = (now.0.saturating_sub(self.offset_ms)).rem_euclid(self.interval_ms);
        now.plus_millis(self.interval_ms - since)
    }

    /// The grid point after `due`; when that would be over a whole interval ago, the last one
    /// before `now`: turns that were slept through are not made up for.
    pub(crate) fn next(self, due: Timestamp, now: Timestamp) -> Timestamp {
        let next = due.plus_millis(self.interval_ms);
        let late = now.0.saturating_sub(next.0);
        if late.saturating_abs() < self.interval_ms {
            return next;
        }
        // The clock was set, or the machine slept.
        self.after(now).minus_millis(if late > 0 { self.interval_ms } else { 0 })
    }

    /// The timestamp for a scrape that was due at `due` and begins at `now`.
    pub(crate) fn stamp(self, due: Timestamp, now: Timestamp) -> Timestamp {
        let late = now.0.saturating_sub(due.0);
        let tolerance = TOLERANCE_MS_MAX.min(self.interval_ms / 100);
        if (0..=tolerance).contains(&late) { due } else { now }
    }

    /// How long to sleep at `now` until `due`, at most an interval; `None` when it is time.
    pub(crate) fn wait(self, due: Timestamp, now: Timestamp) -> Option<Duration> {
        let wait_ms = due.0.saturating_sub(now.0);
        // A longer wait means that the clock was set back: the target is asked at once.
        let ms = u64::try_from(wait_ms).ok().filter(|_| wait_ms <= self.interval_ms)?;
        (ms > 0).then(|| Duration::from_millis(ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(interval_ms: u64, offset_ms: u64) -> Schedule {
        Schedule::new(Duration::from_millis(interval_ms), offset_ms)
    }

    #[test]
    fn points_lie_on_the_grid() {
        let schedule = grid(1000, 250);
        assert_eq!(schedule.after(Timestamp(5_000)), Timestamp(5_250));
        assert_eq!(schedule.after(Timestamp(5_250)), Timestamp(6_250));
        assert_eq!(schedule.after(Timestamp(-10)), Timestamp(250));
        assert_eq!(schedule.next(Timestamp(5_250), Timestamp(5_300)), Timestamp(6_250));
    }

    #[test]
    fn slept_turns_are_skipped() {
        let schedule = grid(1000, 250);
        assert_eq!(schedule.next(Timestamp(5_250), Timestamp(7_000)), Timestamp(6_250));
        assert_eq!(schedule.next(Timestamp(5_250), Timestamp(9_900)), Timestamp(9_250));
        assert_eq!(schedule.next(Timestamp(5_250), Timestamp(1_000)), Timestamp(1_250));
    }

    #[test]
    fn a_little_late_is_on_time() {
        let schedule = grid(1000, 0);
        assert_eq!(schedule.stamp(Timestamp(5_000), Timestamp(5_002)), Timestamp(5_000));
        assert_eq!(schedule.stamp(Timestamp(5_000), Timestamp(5_003)), Timestamp(5_003));
        assert_eq!(schedule.stamp(Timestamp(5_000), Timestamp(4_999)), Timestamp(4_999));
        let fast = grid(100, 0);
        assert_eq!(fast.stamp(Timestamp(5_000), Timestamp(5_002)), Timestamp(5_002));
        assert_eq!(fast.stamp(Timestamp(5_000), Timestamp(5_001)), Timestamp(5_000));
    }

    #[test]
    fn waits_are_bounded() {
        let schedule = grid(1000, 0);
        let wait = |now| schedule.wait(Timestamp(5_000), Timestamp(now));
        assert_eq!(wait(4_400), Some(Duration::from_millis(600)));
        assert_eq!(wait(5_000), None);
        assert_eq!(wait(5_100), None);
        assert_eq!(wait(1_000), None, "the clock was set back");
    }
}
