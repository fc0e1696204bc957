//! What an answer asks for: to go on, to try again, or to give up.

use std::time::Duration;

use narthex_model::Timestamp;
use narthex_net::{HeaderMap, StatusCode, header};

/// Longest wait that a receiver can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// What is to be done about an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is stored.
    Done,
    /// Try again, after this long if the receiver said so.
    Retry(Option<Duration>),
    /// Something in the request is not acceptable, the rest may be.
    Split,
    /// The request will never be accepted.
    Refused,
}

pub(crate) fn judge(
    status: StatusCode,
    headers: &HeaderMap,
    retry_on_429: bool,
    now: Timestamp,
) -> Verdict {
    match status.as_u16() {
        200..=299 => Verdict::Done,
        500..=599 => Verdict::Retry(retry_after(headers, now)),
        429 if retry_on_429 => Verdict::Retry(retry_after(headers, now)),
        400 | 413 | 422 => Verdict::Split,
        _ => Verdict::Refused,
    }
}

/// The wait in `Retry-After`: seconds, or a date.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if let Ok(seconds) = text.parse() {
        Duration::from_secs(seconds)
    } else {
        let wait_ms = http_date(text)?.millis().saturating_sub(now.millis());
        Duration::from_millis(u64::try_from(wait_ms).unwrap_or(0))
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

/// Reads `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(text: &str) -> Option<Timestamp> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (_, rest) = text.split_once(", ")?;
    let mut words = rest.split(' ');
    let day: i64 = words.next()?.parse().ok()?;
    let month = words.next()?;
    let month = i64::try_from(MONTHS.iter().position(|&name| name == month)?).ok()? + 1;
    let year: i64 = words.next()?.parse().ok()?;
    let mut clock = words.next()?.split(':').map(|part| part.parse::<i64>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    if words.next() != Some("GMT") || !(1970..=9999).contains(&year) || !(1..=31).contains(&day) {
        return None;
    }
    // Days since 1970, counting years from March so that the leap day comes last.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    Some(Timestamp((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000))
}

/// Waits that grow from the least to the most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, next: min }
    }

    /// The next wait, twice the last.
    pub(crate) fn take(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(self.max).max(self.min);
        wait
    }
}

#[cfg(test)]
mod tests {
    use narthex_net::HeaderValue;

    use super::*;

    #[test]
    fn reads_dates_and_seconds() {
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Timestamp(784_111_777_000)));
        assert_eq!(http_date("Thu, 01 Jan 1970 00:00:00 GMT"), Some(Timestamp(0)));
        assert_eq!(http_date("Sat, 29 Feb 2020 00:00:00 GMT"), Some(Timestamp(1_582_934_400_000)));
        assert_eq!(http_date("soon"), None);
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("7"));
        let seven = Verdict::Retry(Some(Duration::from_secs(7)));
        let judge = |code: u16, headers: &HeaderMap, on_429| {
            judge(StatusCode::from_u16(code).unwrap(), headers, on_429, Timestamp(784_111_777_000))
        };
        assert_eq!(judge(503, &headers, false), seven);
        assert_eq!(judge(429, &headers, true), seven);
        assert_eq!(judge(429, &headers, false), Verdict::Refused);
        let date = HeaderValue::from_static("Sun, 06 Nov 1994 08:49:40 GMT");
        headers.insert(header::RETRY_AFTER, date);
        assert_eq!(judge(500, &headers, false), Verdict::Retry(Some(Duration::from_secs(3))));
        assert_eq!(judge(409, &headers, false), Verdict::Refused);
        assert_eq!(judge(400, &headers, false), Verdict::Split);
        assert_eq!(judge(204, &headers, false), Verdict::Done);
    }

    #[test]
    fn waits_longer_and_longer() {
        let mut backoff = Backoff::new(Duration::from_millis(30), Duration::from_millis(100));
        let waits: Vec<_> = (0..4).map(|_| backoff.take().as_millis()).collect();
        assert_eq!(waits, [30, 60, 100, 100]);
    }
}
