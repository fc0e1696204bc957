//! Keeps what catching up costs within a share of one core.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use narthex_model::Clock;

/// Of the time of one core, how much catching up may take, in percent.
const SHARE_PERCENT: u32 = 15;

/// Longest rest at once.
const REST_MAX: Duration = Duration::from_secs(1);

/// Counts the time that this task computes, and tells how long it is to rest for it.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    busy: Duration,
}

impl Pace {
    /// Runs `f` and counts its time.
    pub(crate) fn spend<T>(&mut self, clock: &dyn Clock, f: impl FnOnce() -> T) -> T {
        let began = clock.monotonic();
        let result = f();
        self.busy += clock.monotonic().saturating_sub(began);
        result
    }

    /// Runs `future` and counts the time that it computes, not the time that it waits.
    pub(crate) async fn spend_async<F: Future>(
        &mut self,
        clock: &dyn Clock,
        future: F,
    ) -> F::Output {
        let metered = Metered { inner: Box::pin(future), clock, busy: &mut self.busy };
        metered.await
    }

    /// How long to rest for what was counted since the last rest.
    pub(crate) fn rest(&mut self) -> Duration {
        let busy = std::mem::take(&mut self.busy);
        (busy * (100 - SHARE_PERCENT) / SHARE_PERCENT).min(REST_MAX)
    }

    /// Forgets what was counted: there was a rest anyway.
    pub(crate) fn rested(&mut self) {
        self.busy = Duration::ZERO;
    }
}

struct Metered<'a, F> {
    inner: Pin<Box<F>>,
    clock: &'a dyn Clock,
    busy: &'a mut Duration,
}

impl<F: Future> Future for Metered<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let began = self.clock.monotonic();
        let polled = self.inner.as_mut().poll(cx);
        let took = self.clock.monotonic().saturating_sub(began);
        *self.busy += took;
        polled
    }
}

#[cfg(test)]
mod tests {
    use narthex_model::Timestamp;
    use narthex_store::testing::HandClock;

    use super::*;

    #[test]
    fn rests_for_what_it_has_done() {
        let clock = HandClock::new(Timestamp(0));
        let mut pace = Pace::default();
        pace.spend(&clock, || clock.set(Timestamp(15)));
        assert_eq!(pace.rest(), Duration::from_millis(85));
        assert_eq!(pace.rest(), Duration::ZERO);
        pace.spend(&clock, || clock.set(Timestamp(5_000)));
        assert_eq!(pace.rest(), REST_MAX);
    }
}
