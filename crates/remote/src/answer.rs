//! What an answer asks for: to go on, to try again, to send less, or to give samples up.

use std::time::Duration;

use narthex_model::Timestamp;
use narthex_net::{HeaderMap, StatusCode, header};

/// Longest wait that a receiver can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// How much of an answer is searched for its reason, in bytes.
const SEARCHED_BYTES: usize = 4096;

/// Why a receiver refused samples for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Older than a sample of the same series that the receiver has.
    OutOfOrder,
    /// Older than the receiver's window.
    TooOld,
    /// Another value at the same time.
    Duplicate,
    /// A conflict that the receiver did not explain.
    Conflict,
    /// Not acceptable as it is: labels, limits, or what the receiver did not explain.
    Invalid,
    /// One sample makes a request larger than the receiver takes.
    TooLarge,
    /// The receiver said yes, but also that it has not written it.
    NotWritten,
}

impl Reason {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::OutOfOrder,
        Self::TooOld,
        Self::Duplicate,
        Self::Conflict,
        Self::Invalid,
        Self::TooLarge,
        Self::NotWritten,
    ];

    /// The reason as `/metrics` and people read it.
    pub fn name(self) -> &'static str {
        match self {
            Self::OutOfOrder => "out_of_order",
            Self::TooOld => "too_old",
            Self::Duplicate => "duplicate",
            Self::Conflict => "conflict",
            Self::Invalid => "invalid",
            Self::TooLarge => "too_large",
            Self::NotWritten => "not_written",
        }
    }

    /// What helps against it.
    pub(crate) fn remedy(self) -> &'static str {
        match self {
            Self::OutOfOrder | Self::TooOld | Self::Conflict => {
                "widen the receiver's window (Thanos: --tsdb.out-of-order.time-window) and run \
                 `narthex ctl remote resend`, or hand over these hours with \
                 `narthex ctl export prometheus-blocks`"
            }
            Self::NotWritten => {
                "look into the receiver's log, then run `narthex ctl remote resend`"
            }
            Self::Duplicate | Self::Invalid | Self::TooLarge => {
                "`narthex ctl remote status` shows what was refused; see the receiver's limits"
            }
        }
    }

    /// The number that stands for it on disk and in tables; it never changes.
    pub(crate) fn number(self) -> u8 {
        self as u8
    }

    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Whether it is about the samples' time, not about the series.
    pub(crate) fn is_about_time(self) -> bool {
        matches!(self, Self::OutOfOrder | Self::TooOld | Self::Duplicate | Self::Conflict)
    }
}

/// What is to be done about an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is stored.
    Done,
    /// Try again, after this long if the receiver said so.
    Retry(Option<Duration>),
    /// Somebody has to mend something first: try again, but seldom.
    Mend,
    /// The request is too large.
    TooLarge,
    /// The receiver does not speak this version of the protocol.
    OtherVersion,
    /// Something in the request is not acceptable, the rest may be, by itself.
    Split(Reason),
    /// Something in the request is not acceptable; the rest is stored.
    Refused(Reason),
}

/// Judges an answer by its status, as the specification and the receivers mean it. Nothing is
/// given up that the receiver did not refuse for what it is.
pub(crate) fn judge(
    status: StatusCode,
    headers: &HeaderMap,
    text: &[u8],
    now: Timestamp,
) -> Verdict {
    match status.as_u16() {
        200..=299 => Verdict::Done,
        // Too many requests, or too early or too slow for the receiver.
        408 | 425 | 429 | 500..=599 => Verdict::Retry(retry_after(headers, now)),
        400 | 422 => Verdict::Split(reason(text).unwrap_or(Reason::Invalid)),
        // Thanos stores what is good in such a request.
        409 => Verdict::Refused(reason(text).unwrap_or(Reason::Conflict)),
        413 => Verdict::TooLarge,
        415 => Verdict::OtherVersion,
        // Credentials, address, proxy: the samples are not at fault.
        _ => Verdict::Mend,
    }
}

/// The reason that the text of an answer gives. Thanos, Mimir, Prometheus and `VictoriaMetrics`
/// pass on the words of Prometheus' storage.
fn reason(text: &[u8]) -> Option<Reason> {
    let text = text.get(..text.len().min(SEARCHED_BYTES)).unwrap_or_default();
    let text = String::from_utf8_lossy(text).to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if has(&["out of order", "out-of-order"]) {
        Some(Reason::OutOfOrder)
    } else if has(&["too old", "too-old", "out of bounds", "out-of-bounds"]) {
        Some(Reason::TooOld)
    } else if has(&["duplicate sample", "duplicate-timestamp", "duplicate timestamp"]) {
        Some(Reason::Duplicate)
    } else {
        None
    }
}

/// How many samples an answer says were refused: Thanos writes `add 3 samples: out of order`.
pub(crate) fn refused_count(text: &[u8]) -> Option<u64> {
    let text = text.get(..text.len().min(SEARCHED_BYTES)).unwrap_or_default();
    let text = String::from_utf8_lossy(text);
    let counts = text.match_indices("add ").filter_map(|(at, word)| {
        let (number, rest) = text.get(at + word.len()..)?.split_once(' ')?;
        rest.starts_with("samples").then(|| number.parse::<u64>().ok())?
    });
    counts.reduce(u64::saturating_add)
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

#[cfg(test)]
mod tests {
    use narthex_net::HeaderValue;

    use super::*;

    fn judged(code: u16, headers: &HeaderMap, text: &str) -> Verdict {
        let status = StatusCode::from_u16(code).unwrap();
        judge(status, headers, text.as_bytes(), Timestamp(784_111_777_000))
    }

    #[test]
    fn reads_dates_and_seconds() {
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Timestamp(784_111_777_000)));
        assert_eq!(http_date("Thu, 01 Jan 1970 00:00:00 GMT"), Some(Timestamp(0)));
        assert_eq!(http_date("Sat, 29 Feb 2020 00:00:00 GMT"), Some(Timestamp(1_582_934_400_000)));
        assert_eq!(http_date("soon"), None);
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("7"));
        let seven = Verdict::Retry(Some(Duration::from_secs(7)));
        assert_eq!(judged(503, &headers, ""), seven);
        assert_eq!(judged(429, &headers, ""), seven);
        let date = HeaderValue::from_static("Sun, 06 Nov 1994 08:49:40 GMT");
        headers.insert(header::RETRY_AFTER, date);
        let three = Verdict::Retry(Some(Duration::from_secs(3)));
        assert_eq!(judged(500, &headers, ""), three);
    }

    #[test]
    fn only_what_the_receiver_refused_is_given_up() {
        let judged = |code, text| judged(code, &HeaderMap::new(), text);
        for code in [200, 204, 299] {
            assert_eq!(judged(code, "whatever"), Verdict::Done);
        }
        for code in [408, 425, 429, 500, 502, 503, 504, 599] {
            assert_eq!(judged(code, "out of order"), Verdict::Retry(None), "{code}");
        }
        for code in [301, 401, 402, 403, 404, 405, 407, 410, 418, 451] {
            assert_eq!(judged(code, "no"), Verdict::Mend, "{code}");
        }
        assert_eq!(judged(413, ""), Verdict::TooLarge);
        assert_eq!(judged(415, ""), Verdict::OtherVersion);
        assert_eq!(judged(400, "bad label"), Verdict::Split(Reason::Invalid));
        assert_eq!(judged(400, "Out of order sample"), Verdict::Split(Reason::OutOfOrder));
        assert_eq!(
            judged(422, "err-mimir-sample-duplicate-timestamp"),
            Verdict::Split(Reason::Duplicate)
        );
        assert_eq!(judged(409, "store locally: conflict"), Verdict::Refused(Reason::Conflict));
        assert_eq!(judged(409, "add 3 samples: out of bounds"), Verdict::Refused(Reason::TooOld));
    }

    #[test]
    fn finds_the_count_that_thanos_gives() {
        assert_eq!(
            refused_count(b"2 errors: add 3 samples: out of order; add 4 samples: too old"),
            Some(7)
        );
        assert_eq!(refused_count(b"conflict"), None);
        assert_eq!(refused_count(b"add x samples, add 5 exemplars"), None);
    }

    #[test]
    fn numbers_of_reasons_stay() {
        for (number, reason) in (0..).zip(Reason::ALL) {
            assert_eq!((reason.number(), Reason::from_number(number)), (number, Some(reason)));
        }
        assert_eq!(Reason::from_number(99), None);
    }
}
