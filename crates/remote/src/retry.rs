//! Waits between attempts.

use std::time::Duration;

/// Waits that grow from the least to the most, each up to a quarter longer, so that many senders
/// do not come back at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
}

/// Where the chance in waits comes from; made of a seed, so that tests repeat.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// A number of the next 1024 that are equally likely (xorshift).
    fn per_1024(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 32) as u32 & 1023
    }

    /// `wait`, up to a quarter longer.
    pub(crate) fn stretch(&mut self, wait: Duration) -> Duration {
        wait + wait * self.per_1024() / 4096
    }
}

impl Backoff {
    pub(crate) fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, next: min }
    }

    /// The next wait, twice the last.
    pub(crate) fn take(&mut self, chance: &mut Chance) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(self.max).max(self.min);
        chance.stretch(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_longer_and_longer_and_never_twice_the_same() {
        let mut backoff = Backoff::new(Duration::from_millis(30), Duration::from_millis(100));
        let mut chance = Chance::new(7);
        let waits: Vec<_> = (0..20).map(|_| backoff.take(&mut chance)).collect();
        for (wait, least) in waits.iter().zip([30, 60, 100].into_iter().chain([100; 17])) {
            let least = Duration::from_millis(least);
            assert!((least..least * 5 / 4).contains(wait), "{waits:?}");
        }
        let distinct: std::collections::BTreeSet<_> = waits[2..].iter().collect();
        assert!(distinct.len() > 10, "{waits:?}");
    }
}
