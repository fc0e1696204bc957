//! The parameters of a request, from the query string and from a form alike.

use std::time::Duration;

use axum::body::HttpBody as _;
use axum::extract::{FromRequest, Request};
use http::Method;
use http::header::CONTENT_TYPE;
use http_body_util::{BodyExt, Limited};
use narthex_model::Timestamp;
use narthex_model::number::GoQuoted;
use narthex_model::time::parse_duration;

use super::error::ApiError;

/// Largest form that is read, in bytes.
pub const FORM_BYTES_MAX: usize = 4 << 20;

/// Most parameters of one request.
const PARAMS_MAX: usize = 10_000;

/// Longest wait for the body of a request.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Times beyond this are cut to it, so that offsets and ranges can be added without overflow.
const TIME_MS_MAX: i64 = i64::MAX / 4;

/// The least and the greatest time as Prometheus prints them; clients send them back.
const TIME_MIN_TEXT: &str = "-292273086-05-16T16:47:06Z";
const TIME_MAX_TEXT: &str = "292277025-08-18T07:12:54.999999999Z";

/// All parameters in order, those of a form before those of the query string.
#[derive(Clone, Debug, Default)]
pub struct Params {
    pairs: Vec<(String, String)>,
}

impl Params {
    /// Reads a form and a query string, either may be empty.
    pub fn parse(form: &[u8], query: &str) -> Result<Self, ApiError> {
        let pieces = [form, query.as_bytes()].into_iter();
        let pieces = pieces.flat_map(|text| text.split(|&byte| byte == b'&'));
        let mut pairs = Vec::new();
        for piece in pieces.filter(|piece| is_readable(piece)) {
            let Some((name, value)) = url::form_urlencoded::parse(piece).next() else { continue };
            if pairs.len() == PARAMS_MAX {
                return Err(ApiError::bad(format!("more than {PARAMS_MAX} parameters")));
            }
            pairs.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self { pairs })
    }

    /// The first value of a parameter; empty when it is not given.
    pub fn get(&self, name: &str) -> &str {
        let found = self.pairs.iter().find(|(have, _)| have == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    /// All values of a parameter.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs.iter().filter(move |(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    /// An optional time.
    pub fn time(&self, name: &str) -> Result<Option<Timestamp>, ApiError> {
        let text = self.get(name);
        if text.is_empty() {
            return Ok(None);
        }
        time(text).map(Some).map_err(|reason| {
            ApiError::parameter(name, format!("invalid time value for '{name}': {reason}"))
        })
    }

    /// A time that must be there.
    pub fn time_required(&self, name: &str) -> Result<Timestamp, ApiError> {
        time(self.get(name)).map_err(|reason| ApiError::parameter(name, reason))
    }

    /// The greatest number of items that is asked for; `None`: all.
    pub fn limit(&self) -> Result<Option<usize>, ApiError> {
        let text = self.get("limit");
        if text.is_empty() {
            return Ok(None);
        }
        let limit: i64 = text.parse().map_err(|_| {
            let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
            let large = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            let what = if large { "value out of range" } else { "invalid syntax" };
            ApiError::parameter(
                "limit",
                format!("strconv.Atoi: parsing {}: {what}", GoQuoted(text)),
            )
        })?;
        let limit = usize::try_from(limit)
            .map_err(|_| ApiError::parameter("limit", "limit must be non-negative"))?;
        Ok(Some(limit).filter(|&limit| limit > 0))
    }
}

impl<S: Sync> FromRequest<S> for Params {
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, ApiError> {
        let (head, body) = request.into_parts();
        let query = head.uri.query().unwrap_or("");
        let kind = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let kind = kind.and_then(|value| value.split(';').next()).unwrap_or("").trim();
        let is_form = matches!(head.method, Method::POST | Method::PUT | Method::PATCH)
            && kind.eq_ignore_ascii_case("application/x-www-form-urlencoded");
        if !is_form {
            return Self::parse(b"", query);
        }
        // What says itself that it is too large is not waited for.
        if body.size_hint().lower() > FORM_BYTES_MAX as u64 {
            let text = format!("error parsing form values: larger than {FORM_BYTES_MAX} bytes");
            return Err(ApiError::bad(text));
        }
        let read = Limited::new(body, FORM_BYTES_MAX).collect();
        let form = tokio::time::timeout(BODY_TIMEOUT, read)
            .await
            .map_err(|_| ApiError::bad("error parsing form values: the body did not come in time"))?
            .map_err(|e| ApiError::bad(format!("error parsing form values: {e}")))?;
        Self::parse(&form.to_bytes(), query)
    }
}

/// Whether a pair can be read; as in Go, what cannot is as if it were not there.
fn is_readable(piece: &[u8]) -> bool {
    is_whole(piece) && !piece.contains(&b';')
}

/// Whether every `%` has its two digits.
pub(super) fn is_whole(piece: &[u8]) -> bool {
    let mut rest = piece;
    while let Some(at) = rest.iter().position(|&byte| byte == b'%') {
        let escape = rest.get(at + 1..at + 3).unwrap_or(&[]);
        if escape.len() < 2 || !escape.iter().all(u8::is_ascii_hexdigit) {
            return false;
        }
        rest = rest.get(at + 3..).unwrap_or(&[]);
    }
    true
}

/// Reads a number as Go does, underscores between digits included.
fn float(text: &str) -> Option<f64> {
    let bytes = text.as_bytes();
    let digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
    let apart = bytes
        .iter()
        .enumerate()
        .all(|(at, &byte)| byte != b'_' || digit(at.checked_sub(1)) && digit(Some(at + 1)));
    if apart { text.replace('_', "").parse().ok() } else { None }
}

/// Reads seconds since 1970, or RFC 3339.
pub fn time(text: &str) -> Result<Timestamp, String> {
    if let Some(seconds) = float(text) {
        if !seconds.is_finite() {
            return Err(format!("cannot parse {} to a valid timestamp", GoQuoted(text)));
        }
        let whole = seconds.trunc();
        let ms = whole * 1000.0 + ((seconds - whole) * 1000.0).round();
        #[expect(clippy::cast_possible_truncation, reason = "a float that is too large saturates")]
        let ms = ms as i64;
        return Ok(Timestamp(ms.clamp(-TIME_MS_MAX, TIME_MS_MAX)));
    }
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        let ms = time.as_nanosecond().div_euclid(1_000_000);
        return Ok(Timestamp(i64::try_from(ms).unwrap_or(TIME_MS_MAX)));
    }
    match text {
        TIME_MIN_TEXT => Ok(Timestamp(-TIME_MS_MAX)),
        TIME_MAX_TEXT => Ok(Timestamp(TIME_MS_MAX)),
        _ => Err(format!("cannot parse {} to a valid timestamp", GoQuoted(text))),
    }
}

/// Reads a number of seconds, or a duration such as `1h30m`; `None` when it is not positive.
pub fn duration(text: &str) -> Result<Option<Duration>, String> {
    let invalid = || format!("cannot parse {} to a valid duration", GoQuoted(text));
    if let Some(seconds) = float(text) {
        // To Go the least number.
        if seconds.is_nan() {
            return Ok(None);
        }
        if seconds.abs() * 1e9 >= 9.223_372_036_854_775e18 {
            return Err(format!("{}. It overflows int64", invalid()));
        }
        let duration = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        return Ok(Some(duration).filter(|duration| !duration.is_zero()));
    }
    let duration = parse_duration(text).map_err(|_| invalid())?;
    Ok(Some(duration).filter(|duration| !duration.is_zero()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_in_prometheus() {
        let ms = |text| time(text).map(Timestamp::millis);
        assert_eq!(ms("1435781451.781"), Ok(1_435_781_451_781));
        assert_eq!(ms("-1.5"), Ok(-1500));
        assert_eq!(ms("1e300"), Ok(TIME_MS_MAX));
        assert_eq!(ms("2015-06-03T13:21:58.555Z"), Ok(1_433_337_718_555));
        assert_eq!(ms("2015-06-03T14:21:58.555+01:00"), Ok(1_433_337_718_555));
        assert_eq!(ms(TIME_MIN_TEXT), Ok(-TIME_MS_MAX));
        for bad in ["", "abc", "NaN", "Inf", "2015-06-56T13:21:58.555Z"] {
            let want = format!("cannot parse \"{bad}\" to a valid timestamp");
            assert_eq!(time(bad), Err(want), "{bad}");
        }
    }

    #[test]
    fn durations_read_as_in_prometheus() {
        assert_eq!(duration("5m"), Ok(Some(Duration::from_secs(300))));
        assert_eq!(duration("0.5"), Ok(Some(Duration::from_millis(500))));
        assert_eq!(duration("-3"), Ok(None));
        assert_eq!(duration("0"), Ok(None));
        assert!(duration("1e300").unwrap_err().ends_with("It overflows int64"));
        assert_eq!(duration("NaN"), Ok(None));
        for bad in ["", "x", "1__0", "-1m"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_form_goes_before_the_query_string() {
        let params = Params::parse(b"query=a%2Bb&match[]=x", "query=z&match%5B%5D=y+z").unwrap();
        assert_eq!(params.get("query"), "a+b");
        assert_eq!(params.all("match[]").collect::<Vec<_>>(), ["x", "y z"]);
        assert_eq!(params.get("none"), "");
        assert_eq!(params.limit().unwrap(), None);
        let negative = Params::parse(b"limit=-1", "").unwrap().limit().unwrap_err();
        assert_eq!(negative.text, "invalid parameter \"limit\": limit must be non-negative");
    }
}
