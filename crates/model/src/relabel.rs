//! Relabelling: the rules of `relabel_configs`, applied one after another.

use std::fmt;
use std::str::FromStr;

use md5::{Digest, Md5};

use crate::LabelsBuilder;
use crate::labels::is_legacy_label_name;
use crate::number::GoQuoted;
use crate::regex::{Pattern, PatternError};

/// The separator when a rule names none.
pub const SEPARATOR_DEFAULT: &str = ";";
/// The pattern when a rule names none.
pub const REGEX_DEFAULT: &str = "(.*)";
/// The replacement when a rule names none.
pub const REPLACEMENT_DEFAULT: &str = "$1";

/// What a rule does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Action {
    /// Sets the target label to the replacement, if the pattern matches.
    #[default]
    Replace,
    /// Drops what does not match.
    Keep,
    /// Drops what matches.
    Drop,
    /// Drops what does not equal the target label.
    KeepEqual,
    /// Drops what equals the target label.
    DropEqual,
    /// Sets the target label to a hash modulo `modulus`.
    HashMod,
    /// Copies labels whose names match to names made from the replacement.
    LabelMap,
    /// Removes labels whose names match.
    LabelDrop,
    /// Removes labels whose names do not match.
    LabelKeep,
    /// Sets the target label to the lower case.
    Lowercase,
    /// Sets the target label to the upper case.
    Uppercase,
}

impl Action {
    const ALL: [Self; 11] = [
        Self::Replace,
        Self::Keep,
        Self::Drop,
        Self::KeepEqual,
        Self::DropEqual,
        Self::HashMod,
        Self::LabelMap,
        Self::LabelDrop,
        Self::LabelKeep,
        Self::Lowercase,
        Self::Uppercase,
    ];

    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Replace => "replace",
            Self::Keep => "keep",
            Self::Drop => "drop",
            Self::KeepEqual => "keepequal",
            Self::DropEqual => "dropequal",
            Self::HashMod => "hashmod",
            Self::LabelMap => "labelmap",
            Self::LabelDrop => "labeldrop",
            Self::LabelKeep => "labelkeep",
            Self::Lowercase => "lowercase",
            Self::Uppercase => "uppercase",
        }
    }

    fn sets_target(self) -> bool {
        use Action::{DropEqual, HashMod, KeepEqual, Lowercase, Replace, Uppercase};
        matches!(self, Replace | HashMod | Lowercase | Uppercase | KeepEqual | DropEqual)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Action {
    type Err = RuleError;

    /// Reads the word of the configuration, in any case.
    fn from_str(word: &str) -> Result<Self, RuleError> {
        let lower = word.to_lowercase();
        let found = Self::ALL.into_iter().find(|action| action.as_str() == lower);
        found.ok_or_else(|| RuleError::UnknownAction(word.to_owned()))
    }
}

/// Why a rule was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// The action is none that there is.
    #[error("unknown relabel action {}", GoQuoted(.0))]
    UnknownAction(String),
    /// The pattern does not compile.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// `hashmod` without a modulus.
    #[error("relabel configuration for hashmod requires non-zero modulus")]
    NoModulus,
    /// The action writes a label and none was named.
    #[error("relabel configuration for {0} action requires 'target_label' value")]
    NoTarget(Action),
    /// The target label is not a label name.
    #[error("{} is invalid 'target_label' for {action} action", GoQuoted(.target))]
    InvalidTarget {
        /// The name.
        target: String,
        /// The rule's action.
        action: Action,
    },
    /// The replacement cannot make a label name.
    #[error("{} is invalid 'replacement' for {action} action", GoQuoted(.replacement))]
    InvalidReplacement {
        /// The replacement.
        replacement: String,
        /// The rule's action.
        action: Action,
    },
    /// A replacement where the action has no use for one.
    #[error("'replacement' can not be set for {0} action")]
    ReplacementSet(Action),
    /// `keepequal` or `dropequal` with more than its two fields.
    #[error("{0} action requires only 'source_labels' and `target_label`, and no other fields")]
    OnlySourceAndTarget(Action),
    /// `labeldrop` or `labelkeep` with more than a pattern.
    #[error("{0} action requires only 'regex', and no other fields")]
    OnlyRegex(Action),
}

/// Which names a label may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum NameScheme {
    /// Any UTF-8 text that is not empty.
    #[default]
    Utf8,
    /// The classic alphabet only.
    Legacy,
}

impl NameScheme {
    /// Whether a label may be called `name`.
    pub fn allows_label(self, name: &str) -> bool {
        match self {
            Self::Utf8 => !name.is_empty(),
            Self::Legacy => is_legacy_label_name(name),
        }
    }

    /// Whether a template can make a label name: in the classic alphabet its own text is checked
    /// and the variables are taken on trust.
    fn allows_template(self, template: &str) -> bool {
        match self {
            Self::Utf8 => !template.is_empty(),
            Self::Legacy => is_legacy_template(template),
        }
    }
}

/// Letters, digits, `_`, `$word` and `${word}`; no digit first.
fn is_legacy_template(template: &str) -> bool {
    let is_word = |c: char| c == '_' || c.is_ascii_alphanumeric();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('$') {
        let first = rest.len() == template.len();
        let head_ok = before.chars().all(is_word)
            && !(first && before.starts_with(|c: char| c.is_ascii_digit()));
        let tail = match after.strip_prefix('{') {
            Some(inner) => inner
                .split_once('}')
                .filter(|(name, _)| !name.is_empty() && name.chars().all(is_word)),
            None => {
                after.chars().next().filter(|&c| is_word(c)).map(|c| after.split_at(c.len_utf8()))
            }
        };
        let (true, Some((_, tail))) = (head_ok, tail) else { return false };
        rest = tail;
    }
    let untouched = rest.len() == template.len();
    !template.is_empty()
        && rest.chars().all(is_word)
        && !(untouched && rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// One entry of `relabel_configs`, with the defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The labels whose values are joined.
    pub source_labels: Vec<String>,
    /// What stands between the joined values.
    pub separator: String,
    /// What the joined value (or each label's name) is matched with.
    pub regex: Pattern,
    /// Divisor for `hashmod`; 0 when not set.
    pub modulus: u64,
    /// The label that is written; a template for `replace`. Empty when not set.
    pub target_label: String,
    /// The template of the value (of the name, for `labelmap`).
    pub replacement: String,
    /// What is done.
    pub action: Action,
    /// Which names may come out.
    pub name_scheme: NameScheme,
}

impl Rule {
    /// A rule with every field at its default: `replace`, without a target, so not yet valid.
    ///
    /// # Errors
    /// Never in practice: the default pattern compiles.
    pub fn new(action: Action) -> Result<Self, RuleError> {
        Ok(Self {
            source_labels: Vec::new(),
            separator: SEPARATOR_DEFAULT.to_owned(),
            regex: Pattern::new(REGEX_DEFAULT)?,
            modulus: 0,
            target_label: String::new(),
            replacement: REPLACEMENT_DEFAULT.to_owned(),
            action,
            name_scheme: NameScheme::Utf8,
        })
    }

    /// Checks that the fields fit the action.
    ///
    /// # Errors
    /// The first thing that does not fit, in Prometheus' words.
    pub fn validate(&self) -> Result<(), RuleError> {
        let action = self.action;
        if action == Action::HashMod && self.modulus == 0 {
            return Err(RuleError::NoModulus);
        }
        if action.sets_target() {
            self.validate_target()?;
        }
        if action == Action::LabelMap && !self.name_scheme.allows_template(&self.replacement) {
            let replacement = self.replacement.clone();
            return Err(RuleError::InvalidReplacement { replacement, action });
        }
        let plain_rest = self.modulus == 0
            && self.separator == SEPARATOR_DEFAULT
            && self.replacement == REPLACEMENT_DEFAULT;
        match action {
            Action::KeepEqual | Action::DropEqual
                if !plain_rest || self.regex.as_str() != REGEX_DEFAULT =>
            {
                return Err(RuleError::OnlySourceAndTarget(action));
            }
            Action::LabelDrop | Action::LabelKeep => {
                let bare = self.source_labels.is_empty() && self.target_label.is_empty();
                if !plain_rest || !bare {
                    return Err(RuleError::OnlyRegex(action));
                }
            }
            Action::Replace | Action::LabelMap => self.regex.check_captures()?,
            _ => {}
        }
        Ok(())
    }

    fn validate_target(&self) -> Result<(), RuleError> {
        let (action, target) = (self.action, &self.target_label);
        if target.is_empty() {
            return Err(RuleError::NoTarget(action));
        }
        let valid = if action == Action::Replace && target.contains('$') {
            self.name_scheme.allows_template(target)
        } else {
            self.name_scheme.allows_label(target)
        };
        if !valid {
            return Err(RuleError::InvalidTarget { target: target.clone(), action });
        }
        let takes_replacement = matches!(action, Action::Replace | Action::HashMod);
        if !takes_replacement && self.replacement != REPLACEMENT_DEFAULT {
            return Err(RuleError::ReplacementSet(action));
        }
        Ok(())
    }

    /// Applies the rule to `labels`; `false` means that the whole set is to be dropped.
    pub fn apply(&self, labels: &mut LabelsBuilder) -> bool {
        match self.action {
            Action::Keep => return self.regex.matches(&self.joined(labels)),
            Action::Drop => return !self.regex.matches(&self.joined(labels)),
            Action::KeepEqual => return self.equals_target(labels),
            Action::DropEqual => return !self.equals_target(labels),
            Action::Replace => self.replace(labels),
            Action::HashMod => {
                let value = hash(&self.joined(labels)).checked_rem(self.modulus).unwrap_or(0);
                labels.set(&self.target_label, &value.to_string());
            }
            Action::LabelMap => self.map(labels),
            Action::LabelDrop => labels.retain(|name, _| !self.regex.matches(name)),
            Action::LabelKeep => labels.retain(|name, _| self.regex.matches(name)),
            Action::Lowercase => {
                let value = go_lowercase(&self.joined(labels));
                labels.set(&self.target_label, &value);
            }
            Action::Uppercase => {
                let value = go_uppercase(&self.joined(labels));
                labels.set(&self.target_label, &value);
            }
        }
        true
    }

    fn joined(&self, labels: &LabelsBuilder) -> String {
        let mut out = String::new();
        for (index, name) in self.source_labels.iter().enumerate() {
            if index > 0 {
                out.push_str(&self.separator);
            }
            out.push_str(labels.get(name).unwrap_or(""));
        }
        out
    }

    fn equals_target(&self, labels: &LabelsBuilder) -> bool {
        self.joined(labels) == labels.get(&self.target_label).unwrap_or("")
    }

    fn replace(&self, labels: &mut LabelsBuilder) {
        let joined = self.joined(labels);
        let templates = [self.target_label.as_str(), self.replacement.as_str()];
        let Some([target, value]) = self.regex.replace_each(&joined, templates) else { return };
        if self.name_scheme.allows_label(&target) {
            labels.set(&target, &value);
        }
    }

    fn map(&self, labels: &mut LabelsBuilder) {
        // The names are taken first: labels made here are not mapped again.
        let mapped: Vec<(String, String)> = labels
            .iter()
            .filter_map(|(name, value)| {
                Some((self.regex.replace(name, &self.replacement)?, value.to_owned()))
            })
            .collect();
        for (name, value) in mapped {
            labels.set(&name, &value);
        }
    }
}

/// Applies `rules` in order. `false`: a rule dropped the whole set, and what is left in `labels`
/// has no meaning.
pub fn process(rules: &[Rule], labels: &mut LabelsBuilder) -> bool {
    rules.iter().all(|rule| rule.apply(labels))
}

/// The hash of `hashmod`: the last eight bytes of the MD5 sum, the first of them the highest.
fn hash(text: &str) -> u64 {
    let digest = Md5::digest(text.as_bytes());
    digest.iter().skip(8).fold(0, |hash, &byte| hash << 8 | u64::from(byte))
}

/// Lower case one character for one, as Go has it (no special sigma at the end of a word).
fn go_lowercase(text: &str) -> String {
    text.chars().map(|c| c.to_lowercase().next().unwrap_or(c)).collect()
}

/// Upper case one character for one, as Go has it (`ss` for a sharp s is not made).
fn go_uppercase(text: &str) -> String {
    text.chars()
        .map(|c| {
            let mut upper = c.to_uppercase();
            match (upper.next(), upper.next()) {
                (Some(one), None) => one,
                _ => c,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests;
