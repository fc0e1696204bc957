//! Regular expressions in Go's syntax, always anchored at both ends, the dot matching newlines.

/// A pattern in Go's RE2 syntax that matches whole strings only.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    program: ::regex::Regex,
}

/// Why a pattern was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("error parsing regexp: {0}")]
pub struct PatternError(pub String);

/// Largest compiled size of one pattern, in bytes.
pub const PATTERN_BYTES_MAX: usize = 4 << 20;

impl Pattern {
    /// Compiles `text`.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        let program = ::regex::RegexBuilder::new(&format!("^(?s:{text})$"))
            .size_limit(PATTERN_BYTES_MAX)
            .build()
            .map_err(|e| PatternError(e.to_string()))?;
        Ok(Self { text: text.to_owned(), program })
    }

    /// The text that the pattern was made from.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the whole of `value` matches.
    pub fn matches(&self, value: &str) -> bool {
        self.program.is_match(value)
    }

    /// If the whole of `value` matches: `template` with `$1`, `${name}` and `$$` filled in as
    /// Go's `Regexp.Expand` does.
    pub fn replace(&self, value: &str, template: &str) -> Option<String> {
        let captures = self.program.captures(value)?;
        let mut out = String::new();
        captures.expand(template, &mut out);
        Some(out)
    }
}
