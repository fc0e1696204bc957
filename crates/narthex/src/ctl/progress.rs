//! How far a long command has come.

use std::fmt;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use narthex_model::Clock;

use crate::clock::SystemClock;

/// Between two signs on a terminal, and between two lines elsewhere.
const TERMINAL_EVERY: Duration = Duration::from_millis(200);
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Places of the bar.
const BAR: usize = 30;

/// Shows a bar on a terminal, and a line now and then elsewhere.
pub(super) struct Progress<'a> {
    out: &'a mut dyn Write,
    clock: SystemClock,
    terminal: bool,
    shown: Duration,
    what: &'static str,
    done: u64,
    total: u64,
}

impl fmt::Debug for Progress<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} of {}", self.what, self.done, self.total)
    }
}

impl<'a> Progress<'a> {
    /// Begins at 0 of about `total` samples; 0 if that is not known.
    pub(super) fn new(out: &'a mut dyn Write, what: &'static str, total: u64) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let (clock, shown) = (SystemClock::new(), Duration::ZERO);
        Self { out, clock, terminal, shown, what, done: 0, total }
    }

    /// So many more are done.
    pub(super) fn add(&mut self, samples: u64) {
        self.done += samples;
        let every = if self.terminal { TERMINAL_EVERY } else { LINE_EVERY };
        if self.clock.monotonic() >= self.shown + every {
            self.show();
        }
    }

    /// Something that is to be read.
    pub(super) fn say(&mut self, text: &str) {
        let begin = if self.terminal { "\r\x1b[K" } else { "" };
        let _ = writeln!(self.out, "{begin}{text}");
    }

    /// Takes the bar away.
    pub(super) fn finish(&mut self) {
        if self.terminal {
            let _ = write!(self.out, "\r\x1b[K");
        }
    }

    fn show(&mut self) {
        self.shown = self.clock.monotonic();
        let millions =
            |samples: u64| format!("{}.{:02}", samples / 1_000_000, samples % 1_000_000 / 10_000);
        let percent = (self.done * 100 / self.total.max(1)).min(100);
        let rate = self.done / self.shown.as_secs().max(1);
        let (what, done, rate) = (self.what, millions(self.done), millions(rate));
        let text = match self.total {
            0 => format!("{what} {done} million samples, {rate} million/s"),
            total => format!(
                "{what} {percent:3} %  {done} of about {} million samples, {rate} million/s",
                millions(total.max(self.done)),
            ),
        };
        // A progress that cannot be shown is no reason to stop.
        let _ = if self.terminal {
            let filled = usize::try_from(percent).unwrap_or(0) * BAR / 100;
            let bar = format!("{}{}", "#".repeat(filled), ".".repeat(BAR - filled));
            write!(self.out, "\r\x1b[K[{bar}] {text}").and_then(|()| self.out.flush())
        } else {
            writeln!(self.out, "{text}")
        };
    }
}
