//! OpenMetrics 1.0 text, as strictly as Prometheus reads it: one space between the parts of a line,
//! no blank lines, no comments but metadata, `# EOF` at the end.

use narthex_model::{MetricKind, Timestamp};

use crate::exemplar::Exemplar;
use crate::fault::{Fault, ParseErrorKind as Kind};
use crate::format::{Step, Suffix};
use crate::metadata::Meta;
use crate::{number, scan, series, text};

/// Skips metadata lines; at the end of the body there must be `# EOF`, but for a body without any
/// byte, which Prometheus takes for one without samples.
pub(crate) fn skip_meta<'a>(
    body: &'a [u8],
    mut at: usize,
    line_bytes_max: usize,
    seen: &mut impl FnMut(Meta<'a>),
) -> Result<Step, Fault> {
    loop {
        match body.get(at) {
            None if body.is_empty() => return Ok(Step::End(at)),
            None => return Err(Fault::new(at, Kind::EofMissing)),
            Some(b'#') => {}
            Some(_) => return Ok(Step::Sample(at)),
        }
        let end = scan::line_end(body, at);
        let line = body.get(at..end).unwrap_or_default();
        if line.len() > line_bytes_max {
            return Err(Fault::new(at, Kind::LineTooLong));
        }
        if line.starts_with(b"# EOF") {
            let past = at + 5 + usize::from(line.get(5) == Some(&b'\n'));
            return if past == body.len() {
                Ok(Step::End(past))
            } else {
                Err(Fault::new(past, Kind::DataAfterEof))
            };
        }
        seen(metadata(line).map_err(|f| Fault::new(at + f.at, f.kind))?);
        at = end;
    }
}

fn metadata(line: &[u8]) -> Result<Meta<'_>, Fault> {
    let word = line.get(..7).unwrap_or_default();
    if !matches!(word, b"# HELP " | b"# TYPE " | b"# UNIT ") {
        return Err(Fault::new(0, Kind::ExpectedStart));
    }
    let (name, text_at) = text::family_name(line, 7)?;
    let text = line.get(text_at..).unwrap_or_default();
    let text = text.strip_prefix(b" ").and_then(|text| text.strip_suffix(b"\n"));
    let text = text.ok_or(Fault::new(text_at, Kind::ExpectedMetadataText))?;
    match word {
        b"# HELP " if std::str::from_utf8(text).is_err() => {
            Err(Fault::new(text_at, Kind::HelpNotUtf8))
        }
        b"# HELP " => Ok(Meta::Help(name, text)),
        b"# UNIT " => {
            let stem = name.strip_suffix(text).unwrap_or_default();
            if !text.is_empty() && stem.last() != Some(&b'_') {
                return Err(Fault::new(text_at, Kind::BadUnit));
            }
            Ok(Meta::Unit(name, text))
        }
        _ => {
            let word = std::str::from_utf8(text).ok().filter(|&word| word != "untyped");
            let kind = word.and_then(MetricKind::parse);
            Ok(Meta::Kind(name, kind.ok_or(Fault::new(text_at, Kind::BadType))?))
        }
    }
}

/// Where the value begins: after exactly one space.
pub(crate) fn value_start(body: &[u8], series_end: usize) -> Result<usize, Fault> {
    let fault = Fault::new(series_end, Kind::ExpectedValue);
    if body.get(series_end) != Some(&b' ') {
        return Err(fault);
    }
    match body.get(series_end + 1) {
        None | Some(b' ' | b'\n') => Err(fault),
        Some(_) => Ok(series_end + 1),
    }
}

/// The number at `at`, which a space, a newline or the end of the body ends.
fn token(body: &[u8], at: usize, kind: Kind) -> Result<(f64, usize), Fault> {
    let rest = body.get(at..).unwrap_or_default();
    let len = rest.iter().position(|byte| matches!(byte, b' ' | b'\n')).unwrap_or(rest.len());
    let token = rest.get(..len).unwrap_or_default();
    let value = number::value(token).ok_or(Fault::new(at, kind))?;
    Ok((value, at + len))
}

/// Reads timestamp, exemplar and the end of the line.
pub(crate) fn after_value(body: &[u8], mut at: usize, value: f64) -> Result<Suffix, Fault> {
    let mut stamp = None;
    if body.get(at) == Some(&b' ') && !at_exemplar(body, at) {
        let (seconds, end) = timestamp(body, at + 1)?;
        stamp = Some(seconds);
        at = end;
    }
    if at_exemplar(body, at) {
        at = exemplar(body, at + 3)?.1;
    }
    match body.get(at) {
        Some(b'\n') => Ok(Suffix { value, at: stamp, end: at + 1 }),
        None => Err(Fault::new(at, Kind::EofMissing)),
        Some(_) if stamp.is_some() => Err(Fault::new(at, Kind::ExpectedLineEnd)),
        Some(_) => Err(Fault::new(at, Kind::ExpectedTimestamp)),
    }
}

fn at_exemplar(body: &[u8], at: usize) -> bool {
    body.get(at..at + 4) == Some(b" # {".as_slice())
}

/// A timestamp in seconds, as milliseconds; beyond what 64 bits hold it is the nearest they do.
fn timestamp(body: &[u8], at: usize) -> Result<(i64, usize), Fault> {
    let (seconds, end) = token(body, at, Kind::BadTimestamp)?;
    if !seconds.is_finite() {
        return Err(Fault::new(at, Kind::BadTimestamp));
    }
    #[expect(clippy::cast_possible_truncation, reason = "the cast saturates, as documented")]
    Ok(((seconds * 1000.0) as i64, end))
}

/// The exemplar whose braces open at `at`, and where it ends.
fn exemplar(body: &[u8], at: usize) -> Result<(Exemplar<'_>, usize), Fault> {
    let braces = body.get(at..).unwrap_or_default();
    let len = series::check_exemplar_labels(braces).map_err(|f| Fault::new(at + f.at, f.kind))?;
    let braces = braces.get(..len).unwrap_or_default();
    let value_at = value_start(body, at + len)?;
    let (value, end) = token(body, value_at, Kind::BadNumber)?;
    if body.get(end) == Some(&b' ') {
        let (at, end) = timestamp(body, end + 1)?;
        return Ok((Exemplar { braces, value, at: Some(Timestamp(at)) }, end));
    }
    Ok((Exemplar { braces, value, at: None }, end))
}

/// The exemplar of a line that was read before, given what the line has from its value on.
pub(crate) fn exemplar_of(rest: &[u8]) -> Option<Exemplar<'_>> {
    // Value and timestamp are numbers, so the first such byte begins the exemplar.
    let at = scan::find(rest, b'#')?.checked_sub(1)?;
    if !at_exemplar(rest, at) {
        return None;
    }
    Some(exemplar(rest, at + 3).ok()?.0)
}
