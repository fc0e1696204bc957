//! The text of a series: its end, its rules, its labels. Both formats share it but for blanks,
//! commas and raw newlines.

use std::borrow::Cow;

use memchr::memchr2;
use narthex_model::{LabelsBuilder, METRIC_NAME};

use crate::fault::{Fault, ParseErrorKind as Kind};
use crate::format::Format;
use crate::number;
use crate::scan;

/// Labels up to which the check for equal names needs no memory.
const FEW_LABELS: usize = 24;

/// Which label of a series is a number that Prometheus spells anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Normalise {
    #[default]
    Nothing,
    Le,
    Quantile,
}

/// What [`check`] found out about a series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Checked {
    /// Length of the series' text in bytes.
    pub(crate) len: usize,
    pub(crate) has_le: bool,
    pub(crate) has_quantile: bool,
}

/// One part of a series, still escaped, without its quotes.
#[derive(Clone, Copy, Debug)]
enum Part<'a> {
    Name(&'a [u8]),
    Label(&'a [u8], &'a [u8]),
    End,
}

const START: u8 = 1;
const INNER: u8 = 2;
const COLON: u8 = 4;

/// What part each byte may have in a bare name.
const CLASSES: [u8; 256] = classes();

#[expect(clippy::indexing_slicing, reason = "computed by the compiler, which checks it")]
#[expect(clippy::cast_possible_truncation, reason = "the index is a byte")]
const fn classes() -> [u8; 256] {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => START | INNER,
            b'0'..=b'9' => INNER,
            b':' => COLON,
            _ => 0,
        };
        byte += 1;
    }
    classes
}

fn is(byte: u8, classes: u8) -> bool {
    CLASSES.get(usize::from(byte)).is_some_and(|class| class & classes != 0)
}

/// The end of a bare name that begins at `at`, of bytes of the class `more` besides the usual
/// ones; `at` itself if there is none.
fn name_end(text: &[u8], at: usize, more: u8) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    if !rest.first().is_some_and(|&byte| is(byte, START | more)) {
        return at;
    }
    at + rest.iter().position(|&byte| !is(byte, INNER | more)).unwrap_or(rest.len())
}

/// The end of a bare metric name that begins at `at`; `at` itself if there is none.
pub(crate) fn metric_name_end(text: &[u8], at: usize) -> usize {
    name_end(text, at, COLON)
}

/// The length of what is most likely the series at the start of `text`, judging nothing. If those
/// bytes are a series that [`check`] accepts, then so would it accept them here.
pub(crate) fn likely_len(text: &[u8], format: Format) -> Option<usize> {
    let name = scan::find_either(text, b'{', b' ')?;
    let brace = if format == Format::Text { scan::skip_blanks(text, name) } else { name };
    if text.get(brace) != Some(&b'{') {
        return Some(name);
    }
    let mut at = brace + 1;
    loop {
        at += scan::find_either(text.get(at..)?, b'"', b'}')? + 1;
        if text.get(at - 1) == Some(&b'}') {
            return Some(at);
        }
        loop {
            at += scan::find_either(text.get(at..)?, b'"', b'\\')? + 1;
            if text.get(at - 1) == Some(&b'"') {
                break;
            }
            at += 1;
        }
    }
}

/// Walks over the parts of the series at the start of `text`.
#[derive(Debug)]
struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    format: Format,
    place: Place,
    named: bool,
    exemplar: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Start,
    AfterBareName,
    AfterBrace,
    /// Also after a quoted metric name.
    AfterLabel,
}

impl<'a> Lexer<'a> {
    fn new(text: &'a [u8], format: Format) -> Self {
        Self { text, at: 0, format, place: Place::Start, named: false, exemplar: false }
    }

    /// For the braces of an exemplar, where a metric name has no place.
    fn exemplar(text: &'a [u8]) -> Self {
        let format = Format::OpenMetrics;
        Self { text, at: 1, format, place: Place::AfterBrace, named: true, exemplar: true }
    }

    fn fault(&self, kind: Kind) -> Fault {
        Fault::new(self.at, kind)
    }

    fn skip_blanks(&mut self) {
        if self.format == Format::Text {
            self.at = scan::skip_blanks(self.text, self.at);
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.text.get(self.at) == Some(&byte);
        self.at += usize::from(there);
        there
    }

    fn next(&mut self) -> Result<Part<'a>, Fault> {
        match self.place {
            Place::Start => {
                let end = metric_name_end(self.text, 0);
                if end > 0 {
                    self.at = end;
                    self.named = true;
                    self.place = Place::AfterBareName;
                    return Ok(Part::Name(self.slice(0, end)));
                }
                if !self.take(b'{') {
                    return Err(self.fault(Kind::ExpectedStart));
                }
            }
            Place::AfterBareName => {
                let end = self.at;
                self.skip_blanks();
                if !self.take(b'{') {
                    self.at = end;
                    return Ok(Part::End);
                }
            }
            Place::AfterBrace => {}
            Place::AfterLabel => {
                self.skip_blanks();
                let comma = self.take(b',');
                let closes = self.text.get(self.at) == Some(&b'}');
                if !comma && !closes && self.format == Format::OpenMetrics {
                    return Err(self.fault(Kind::ExpectedComma));
                }
            }
        }
        self.skip_blanks();
        if !self.take(b'}') {
            return self.label_or_name();
        }
        if self.named { Ok(Part::End) } else { Err(self.fault(Kind::NameMissing)) }
    }

    fn label_or_name(&mut self) -> Result<Part<'a>, Fault> {
        let start = self.at;
        let quoted = self.text.get(start) == Some(&b'"');
        let name = if quoted { self.quoted(true)? } else { self.bare_label_name()? };
        self.skip_blanks();
        if matches!(self.text.get(self.at), Some(b',' | b'}')) && quoted {
            if self.named {
                return Err(Fault::new(start, Kind::NameTwice));
            }
            self.named = true;
            self.place = Place::AfterLabel;
            return Ok(Part::Name(name));
        }
        if !self.take(b'=') {
            return Err(self.fault(Kind::ExpectedEqual));
        }
        self.skip_blanks();
        if self.text.get(self.at) != Some(&b'"') {
            return Err(self.fault(Kind::ExpectedLabelValue));
        }
        let value = self.quoted(false)?;
        self.place = Place::AfterLabel;
        Ok(Part::Label(name, value))
    }

    fn bare_label_name(&mut self) -> Result<&'a [u8], Fault> {
        let start = self.at;
        self.at = name_end(self.text, start, 0);
        if self.at == start {
            return Err(self.fault(Kind::ExpectedLabelName));
        }
        Ok(self.slice(start, self.at))
    }

    /// Reads a quoted string; the result is without the quotes and still escaped.
    fn quoted(&mut self, is_name: bool) -> Result<&'a [u8], Fault> {
        let kind = if is_name { Kind::ExpectedLabelName } else { Kind::ExpectedLabelValue };
        // Prometheus takes raw newlines in label values of the text format, and in quoted names.
        let one_line = self.exemplar || (self.format == Format::OpenMetrics && !is_name);
        let start = self.at + 1;
        let mut at = start;
        loop {
            let rest = self.text.get(at..).unwrap_or_default();
            let found = memchr2(b'"', b'\\', rest);
            let plain = rest.get(..found.unwrap_or(rest.len())).unwrap_or_default();
            let wrong = |byte: u8| (byte == 0 && is_name) || (byte == b'\n' && one_line);
            if (is_name || one_line)
                && let Some(wrong) = plain.iter().position(|&byte| wrong(byte))
            {
                return Err(Fault::new(at + wrong, kind));
            }
            at += plain.len();
            match self.text.get(at) {
                Some(b'"') => break,
                Some(b'\\') if self.text.get(at + 1).is_some_and(|&byte| byte != b'\n') => at += 2,
                _ => return Err(Fault::new(at, kind)),
            }
        }
        self.at = at + 1;
        Ok(self.slice(start, at))
    }

    fn slice(&self, start: usize, end: usize) -> &'a [u8] {
        self.text.get(start..end).unwrap_or_default()
    }
}

/// Holds the series at the start of `text` against the grammar and the rules that Prometheus
/// applies before it stores: names there, not empty, valid UTF-8 and unique; values valid UTF-8.
/// The fault's place counts from the start of `text`.
pub(crate) fn check(text: &[u8], format: Format) -> Result<Checked, Fault> {
    let mut lexer = Lexer::new(text, format);
    let mut checked = Checked::default();
    let mut names = [&[] as &[u8]; FEW_LABELS];
    let mut count = 0;
    let mut escaped = false;
    loop {
        let (name, value) = match lexer.next()? {
            Part::Name(name) => (name, None),
            Part::Label(name, value) => (name, Some(value)),
            Part::End => break,
        };
        if name.is_empty() {
            return Err(lexer.fault(Kind::NameEmpty));
        }
        if std::str::from_utf8(name).is_err() {
            return Err(lexer.fault(Kind::NameNotUtf8));
        }
        let Some(value) = value else { continue };
        if std::str::from_utf8(value).is_err() {
            return Err(lexer.fault(Kind::LabelValueNotUtf8));
        }
        checked.has_le |= name == b"le";
        checked.has_quantile |= name == b"quantile";
        escaped |= name.contains(&b'\\');
        if name == METRIC_NAME.as_bytes() || names.iter().take(count).any(|have| *have == name) {
            return Err(lexer.fault(Kind::LabelTwice));
        }
        if let Some(free) = names.get_mut(count) {
            *free = name;
        }
        count += 1;
    }
    checked.len = lexer.at;
    if escaped || count > FEW_LABELS {
        check_many_names(text, format)?;
    }
    Ok(checked)
}

/// The check for equal names where names are many or escaped.
fn check_many_names(text: &[u8], format: Format) -> Result<(), Fault> {
    let mut lexer = Lexer::new(text, format);
    let mut names = vec![Cow::Borrowed(METRIC_NAME)];
    loop {
        match lexer.next()? {
            Part::Name(_) => {}
            Part::Label(name, _) => names.push(unescaped(name)),
            Part::End => break,
        }
    }
    names.sort_unstable();
    if names.is_sorted_by(|a, b| a < b) { Ok(()) } else { Err(lexer.fault(Kind::LabelTwice)) }
}

/// Writes the labels of a checked series to `out`, which is cleared first.
pub(crate) fn labels(text: &[u8], format: Format, normalise: Normalise, out: &mut LabelsBuilder) {
    out.clear();
    let respelt = match normalise {
        Normalise::Nothing => "",
        Normalise::Le => "le",
        Normalise::Quantile => "quantile",
    };
    let mut lexer = Lexer::new(text, format);
    loop {
        match lexer.next() {
            Ok(Part::Name(name)) => {
                out.set(METRIC_NAME, &unescaped(name));
            }
            Ok(Part::Label(name, value)) => {
                let (name, value) = (unescaped(name), unescaped(value));
                let value = if name == respelt { number::normalised(&value) } else { value };
                out.set(&name, &value);
            }
            Ok(Part::End) | Err(_) => return,
        }
    }
}

/// The names of a checked series' labels whose value is empty.
pub(crate) fn blank_labels(text: &[u8], format: Format) -> Vec<String> {
    let mut lexer = Lexer::new(text, format);
    let mut blank = Vec::new();
    loop {
        match lexer.next() {
            Ok(Part::Label(name, b"")) => blank.push(unescaped(name).into_owned()),
            Ok(Part::Label(..) | Part::Name(_)) => {}
            Ok(Part::End) | Err(_) => return blank,
        }
    }
}

/// The length of the braces at the start of `text` that hold an exemplar's labels.
pub(crate) fn check_exemplar_labels(text: &[u8]) -> Result<usize, Fault> {
    let mut lexer = Lexer::exemplar(text);
    loop {
        match lexer.next()? {
            Part::Label(_, value) if std::str::from_utf8(value).is_err() => {
                return Err(lexer.fault(Kind::LabelValueNotUtf8));
            }
            Part::Label(..) | Part::Name(_) => {}
            Part::End => return Ok(lexer.at),
        }
    }
}

/// Calls `each` with the labels in braces that [`check_exemplar_labels`] accepted, as they stand
/// there.
pub(crate) fn each_exemplar_label<'a>(braces: &'a [u8], mut each: impl FnMut(&'a str, &'a str)) {
    let mut lexer = Lexer::exemplar(braces);
    while let Ok(Part::Label(name, value)) = lexer.next() {
        if let (Ok(name), Ok(value)) = (std::str::from_utf8(name), std::str::from_utf8(value)) {
            each(name, value);
        }
    }
}

/// Resolves `\\`, `\"` and `\n`; other escapes stay as they are, as in Prometheus.
pub(crate) fn unescaped(raw: &[u8]) -> Cow<'_, str> {
    unescape(raw, true)
}

/// Resolves `\\` and `\n` (and `\"` where `quotes` says so).
pub(crate) fn unescape(raw: &[u8], quotes: bool) -> Cow<'_, str> {
    // Sound text without escapes is nearly all there is.
    if let Ok(text) = std::str::from_utf8(raw)
        && !raw.contains(&b'\\')
    {
        return Cow::Borrowed(text);
    }
    let text = String::from_utf8_lossy(raw);
    if !text.contains('\\') {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        let rest = chars.as_str();
        let resolved = match rest.chars().next() {
            Some('\\') => '\\',
            Some('n') => '\n',
            Some('"') if quotes => '"',
            _ => {
                out.push('\\');
                continue;
            }
        };
        out.push(resolved);
        chars.next();
    }
    Cow::Owned(out)
}
