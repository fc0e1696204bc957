//! A condition on one label.

use std::fmt;

use crate::Labels;
use crate::number::GoQuoted;
use crate::regex::{Pattern, PatternError};

/// How a matcher compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Regex,
    /// `!~`
    NotRegex,
}

impl MatchOp {
    /// The operator's text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Regex => "=~",
            Self::NotRegex => "!~",
        }
    }
}

/// A condition on the value of one label. A label that is not there has the empty value.
#[derive(Clone, Debug)]
pub struct Matcher {
    name: String,
    op: MatchOp,
    value: String,
    pattern: Option<Pattern>,
}

impl Matcher {
    /// Builds a matcher; compiles the pattern where `op` needs one.
    pub fn new(op: MatchOp, name: &str, value: &str) -> Result<Self, PatternError> {
        let pattern = match op {
            MatchOp::Regex | MatchOp::NotRegex => Some(Pattern::new(value)?),
            MatchOp::Equal | MatchOp::NotEqual => None,
        };
        Ok(Self { name: name.to_owned(), op, value: value.to_owned(), pattern })
    }

    /// `name="value"`, which cannot fail.
    pub fn equal(name: &str, value: &str) -> Self {
        let (name, value) = (name.to_owned(), value.to_owned());
        Self { name, op: MatchOp::Equal, value, pattern: None }
    }

    /// The label's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it compares.
    pub fn op(&self) -> MatchOp {
        self.op
    }

    /// The value or the pattern's text.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// The compiled pattern of a regex matcher.
    pub fn pattern(&self) -> Option<&Pattern> {
        self.pattern.as_ref()
    }

    /// Whether `value` satisfies the condition.
    pub fn matches(&self, value: &str) -> bool {
        match (&self.pattern, self.op) {
            (Some(pattern), MatchOp::Regex) => pattern.matches(value),
            (Some(pattern), MatchOp::NotRegex) => !pattern.matches(value),
            (_, MatchOp::NotEqual) => self.value != value,
            _ => self.value == value,
        }
    }

    /// Whether `labels` satisfy the condition.
    pub fn matches_labels(&self, labels: &Labels) -> bool {
        self.matches(labels.get(&self.name).unwrap_or(""))
    }

    /// Whether a series without the label satisfies the condition.
    pub fn matches_empty(&self) -> bool {
        self.matches("")
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.name, self.op.as_str(), GoQuoted(&self.value))
    }
}
