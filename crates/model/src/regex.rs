//! Regular expressions in Go's syntax, always anchored at both ends, the dot matching newlines.

mod shape;
mod template;
mod translate;

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, OnceLock};

use self::shape::Shape;
use self::template::Name;

/// Longest text of one pattern, in bytes.
pub const PATTERN_TEXT_BYTES_MAX: usize = 1 << 20;

/// Largest compiled size of one pattern, in bytes.
pub const PATTERN_BYTES_MAX: usize = 4 << 20;

/// The nesting that a translated pattern can reach: a group adds itself, a concatenation, an
/// alternation and a repetition.
const NEST_MAX: u32 = 5 * translate::GROUPS_NESTED_MAX;

/// The text shown of a refused pattern, in bytes.
const SHOWN_BYTES_MAX: usize = 1024;

/// A pattern in Go's RE2 syntax that matches whole strings only.
///
/// Cloning shares what was compiled. Two patterns are equal when their texts are.
#[derive(Clone)]
pub struct Pattern(Arc<Inner>);

struct Inner {
    text: String,
    translated: String,
    /// Names of the capture groups from 1 on.
    groups: Vec<Option<String>>,
    shape: Shape,
    /// Compiled on first need: patterns whose shape decides a match may never need it.
    program: OnceLock<Option<::regex::Regex>>,
}

/// Why a pattern was refused, in the words of Go's `regexp` package.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("error parsing regexp: {code}: `{text}`")]
pub struct PatternError {
    code: Cow<'static, str>,
    text: String,
}

impl PatternError {
    fn new(code: &str, text: &str) -> Self {
        let mut shown = text.to_owned();
        if shown.len() > SHOWN_BYTES_MAX {
            shown.truncate(shown.floor_char_boundary(SHOWN_BYTES_MAX));
            shown.push_str("...");
        }
        Self { code: Cow::Owned(code.to_owned()), text: shown }
    }
}

impl Pattern {
    /// Reads and checks `text`.
    ///
    /// # Errors
    /// If Go would refuse the pattern, if it is longer than [`PATTERN_TEXT_BYTES_MAX`], nests
    /// groups deeper than 100, or compiles to more than [`PATTERN_BYTES_MAX`].
    pub fn new(text: &str) -> Result<Self, PatternError> {
        if text.len() > PATTERN_TEXT_BYTES_MAX {
            return Err(PatternError::new("expression too large", text));
        }
        if let Some(shape) = Shape::of_words(text) {
            return Ok(Self::from_parts(text, format!("^(?s:{text})$"), Vec::new(), shape));
        }
        let translated = translate::translate(&format!("^(?s:{text})$"))?;
        let hir = regex_syntax::ParserBuilder::new()
            .nest_limit(NEST_MAX)
            .build()
            .parse(&translated.text)
            .map_err(|_| PatternError::new("invalid or unsupported syntax", text))?;
        let shape = Shape::of(&hir);
        let pattern = Self::from_parts(text, translated.text, translated.groups, shape);
        if matches!(pattern.0.shape, Shape::Other { .. }) {
            pattern.check_captures()?;
        }
        Ok(pattern)
    }

    fn from_parts(
        text: &str,
        translated: String,
        groups: Vec<Option<String>>,
        shape: Shape,
    ) -> Self {
        let text = text.to_owned();
        Self(Arc::new(Inner { text, translated, groups, shape, program: OnceLock::new() }))
    }

    /// The text that the pattern was made from.
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// The strings that the pattern matches, sorted and unique, if they are a small known set
    /// (`a|b|c`, `x[12]`). The empty string is one of them where the pattern matches it.
    pub fn literals(&self) -> Option<&[String]> {
        match &self.0.shape {
            Shape::Literals(words) => Some(words),
            _ => None,
        }
    }

    /// The text that everything the pattern matches begins with; empty where nothing is known.
    pub fn prefix(&self) -> &str {
        match &self.0.shape {
            Shape::Affix { prefix, .. } | Shape::Other { prefix } => prefix,
            Shape::Literals(words) if words.len() == 1 => words.first().map_or("", String::as_str),
            Shape::Literals(_) | Shape::Contains(_) => "",
        }
    }

    /// Whether the whole of `value` matches.
    pub fn matches(&self, value: &str) -> bool {
        match &self.0.shape {
            Shape::Literals(words) => match words.as_slice() {
                [only] => only == value,
                _ => words.binary_search_by(|word| word.as_str().cmp(value)).is_ok(),
            },
            Shape::Affix { prefix, gap_bytes_min, suffix } => {
                value.len() >= prefix.len() + gap_bytes_min + suffix.len()
                    && value.starts_with(prefix.as_str())
                    && value.ends_with(suffix.as_str())
            }
            Shape::Contains(text) => value.contains(text.as_str()),
            Shape::Other { prefix } => {
                value.starts_with(prefix.as_str())
                    && self.program().is_some_and(|program| program.is_match(value))
            }
        }
    }

    /// Compiles what [`replace`](Self::replace) needs, so that it cannot fail later.
    ///
    /// # Errors
    /// If the compiled pattern is larger than [`PATTERN_BYTES_MAX`].
    pub fn check_captures(&self) -> Result<(), PatternError> {
        match self.program() {
            Some(_) => Ok(()),
            None => Err(PatternError::new("expression too large", &self.0.text)),
        }
    }

    /// If the whole of `value` matches: `template` with `$1`, `${name}` and `$$` filled in as
    /// Go's `Regexp.Expand` does. `None` if it does not match, or if the pattern is too large for
    /// captures (see [`check_captures`](Self::check_captures)).
    pub fn replace(&self, value: &str, template: &str) -> Option<String> {
        self.replace_each(value, [template]).map(|[text]| text)
    }

    /// As [`replace`](Self::replace), for several templates and one match.
    pub fn replace_each<const N: usize>(
        &self,
        value: &str,
        templates: [&str; N],
    ) -> Option<[String; N]> {
        if !self.matches(value) {
            return None;
        }
        // `(.*)` is the default of every rule, and without groups only `$0` has a value: neither
        // needs the automaton.
        let groups_are_plain = self.0.groups.is_empty() || self.0.text == "(.*)";
        let wants_groups = templates.iter().any(|template| template.contains('$'));
        let captures = if groups_are_plain || !wants_groups {
            None
        } else {
            Some(self.program()?.captures(value)?)
        };
        let group = |name: Name<'_>| match &captures {
            Some(captures) => captures.get(self.group_number(name)?).map(|found| found.as_str()),
            None => (self.group_number(name)? <= self.0.groups.len()).then_some(value),
        };
        Some(templates.map(|template| {
            let mut out = String::new();
            template::expand(template, group, &mut out);
            out
        }))
    }

    fn group_number(&self, name: Name<'_>) -> Option<usize> {
        match name {
            Name::Number(number) => Some(number),
            Name::Word(word) => {
                let at = self.0.groups.iter().position(|group| group.as_deref() == Some(word))?;
                Some(at + 1)
            }
        }
    }

    fn program(&self) -> Option<&::regex::Regex> {
        let compile = || {
            ::regex::RegexBuilder::new(&self.0.translated)
                .size_limit(PATTERN_BYTES_MAX)
                .nest_limit(NEST_MAX)
                .build()
                .ok()
        };
        self.0.program.get_or_init(compile).as_ref()
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.text == other.0.text
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pattern").field(&self.0.text).finish()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

#[cfg(test)]
mod tests;
