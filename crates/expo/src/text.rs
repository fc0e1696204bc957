//! The Prometheus text format.

use narthex_model::MetricKind;

use crate::fault::{Fault, ParseErrorKind as Kind};
use crate::format::{Step, Suffix};
use crate::metadata::Meta;
use crate::{scan, series};

/// Skips blank lines and comments.
pub(crate) fn skip_meta<'a>(
    body: &'a [u8],
    mut at: usize,
    line_bytes_max: usize,
    seen: &mut impl FnMut(Meta<'a>),
) -> Result<Step, Fault> {
    loop {
        at = scan::skip_blanks(body, at);
        match body.get(at) {
            None => return Ok(Step::End(at)),
            Some(b'\n') => at += 1,
            Some(b'#') => {
                let end = scan::line_end(body, at);
                let line = body.get(at..end).unwrap_or_default();
                if line.len() > line_bytes_max {
                    return Err(Fault::new(at, Kind::LineTooLong));
                }
                let line = line.strip_suffix(b"\n").unwrap_or(line);
                if let Some(meta) = comment(line).map_err(|f| Fault::new(at + f.at, f.kind))? {
                    seen(meta);
                }
                at = end;
            }
            Some(_) => return Ok(Step::Sample(at)),
        }
    }
}

/// Reads a line that begins with `#`: metadata, or any comment.
fn comment(line: &[u8]) -> Result<Option<Meta<'_>>, Fault> {
    let word_at = scan::skip_blanks(line, 1);
    let word = line.get(word_at..word_at + 4).unwrap_or_default();
    let name_at = scan::skip_blanks(line, word_at + 4);
    let spaced = word_at > 1 && name_at > word_at + 4;
    if !spaced || (word != b"HELP" && word != b"TYPE") {
        return Ok(None);
    }
    let (name, text_at) = family_name(line, name_at)?;
    let text = line.get(text_at..).unwrap_or_default();
    // The byte after the name separates, whatever it is; nothing but blanks is no text.
    let blank = scan::skip_blanks(text, 0) == text.len();
    let text = if blank { &[] } else { text.get(1..).unwrap_or_default() };
    if word == b"HELP" {
        if std::str::from_utf8(text).is_err() {
            return Err(Fault::new(text_at, Kind::HelpNotUtf8));
        }
        return Ok(Some(Meta::Help(name, text)));
    }
    let kind = match text {
        b"counter" => MetricKind::Counter,
        b"gauge" => MetricKind::Gauge,
        b"histogram" => MetricKind::Histogram,
        b"summary" => MetricKind::Summary,
        b"untyped" => MetricKind::Unknown,
        b"\x01gaugehistogram" => MetricKind::GaugeHistogram,
        _ => return Err(Fault::new(text_at, Kind::BadType)),
    };
    Ok(Some(Meta::Kind(name, kind)))
}

/// The name in a metadata line, bare or quoted, and where it ends.
pub(crate) fn family_name(line: &[u8], at: usize) -> Result<(&[u8], usize), Fault> {
    let fault = Fault::new(at, Kind::ExpectedMetadataName);
    if line.get(at) != Some(&b'"') {
        let end = series::metric_name_end(line, at);
        return if end > at {
            Ok((line.get(at..end).unwrap_or_default(), end))
        } else {
            Err(fault)
        };
    }
    let mut end = at + 1;
    loop {
        match line.get(end).ok_or(fault)? {
            b'"' => return Ok((line.get(at + 1..end).unwrap_or_default(), end + 1)),
            b'\\' => end += 2,
            _ => end += 1,
        }
    }
}

/// Where the value begins after a series that ends at `series_end`.
pub(crate) fn value_start(body: &[u8], series_end: usize) -> Result<usize, Fault> {
    let at = scan::skip_blanks(body, series_end);
    match body.get(at) {
        None | Some(b'\n' | b'{') => Err(Fault::new(at, Kind::ExpectedValue)),
        Some(_) => Ok(at),
    }
}

/// Reads timestamp and end of the line.
pub(crate) fn after_value(body: &[u8], value_end: usize, value: f64) -> Result<Suffix, Fault> {
    let mut at = scan::skip_blanks(body, value_end);
    let start = at;
    let mut stamp = 0i64;
    while let Some(digit) = body.get(at).filter(|byte| byte.is_ascii_digit()) {
        let digit = i64::from(digit - b'0');
        let next = stamp.checked_mul(10).and_then(|ten| ten.checked_add(digit));
        stamp = next.ok_or(Fault::new(start, Kind::BadTimestamp))?;
        at += 1;
    }
    let timed = (at > start).then_some(stamp);
    at = scan::skip_blanks(body, at);
    match body.get(at) {
        None => Ok(Suffix { value, at: timed, end: at }),
        Some(b'\n') => Ok(Suffix { value, at: timed, end: at + 1 }),
        Some(_) if timed.is_some() => Err(Fault::new(at, Kind::ExpectedLineEnd)),
        Some(_) => Err(Fault::new(at, Kind::ExpectedTimestamp)),
    }
}
