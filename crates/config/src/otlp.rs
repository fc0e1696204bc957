//! `otlp`: how OTLP metrics become series.

use narthex_model::number::GoQuoted;

use crate::node::{Node, Yaml};
use crate::read::{Context, Value};
use crate::section::section;
use crate::write::Out;

section! {
    /// `otlp`.
    pub struct Otlp as "config.OTLPConfig", check check {
        /// Every resource attribute becomes a label.
        promote_all_resource_attributes: bool,
        /// Resource attributes that become labels.
        promote_resource_attributes: Vec<String>,
        /// Resource attributes that do not.
        ignore_resource_attributes: Vec<String>,
        /// How names are made.
        translation_strategy: TranslationStrategy = TranslationStrategy::UnderscoresAndSuffixes,
        /// Whether `service.*` stay in `target_info`.
        keep_identifying_resource_attributes: bool,
        /// Whether histograms become native ones.
        convert_histograms_to_nhcb: bool,
        /// Whether scopes become labels.
        promote_scope_metadata: bool,
        /// Accepted; labels are named as by Prometheus 3.5.
        label_name_underscore_sanitization: bool,
        /// Accepted; labels are named as by Prometheus 3.5.
        label_name_preserve_multiple_underscores: bool,
    }
}

/// How names of metrics and labels are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TranslationStrategy {
    /// In the classic alphabet, with suffixes for unit and kind.
    UnderscoresAndSuffixes,
    /// In the classic alphabet.
    Underscores,
    /// As they are, with suffixes for unit and kind.
    Suffixes,
    /// As they are.
    Nothing,
}

impl TranslationStrategy {
    const ALL: [Self; 4] =
        [Self::UnderscoresAndSuffixes, Self::Underscores, Self::Suffixes, Self::Nothing];

    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnderscoresAndSuffixes => "UnderscoreEscapingWithSuffixes",
            Self::Underscores => "UnderscoreEscapingWithoutSuffixes",
            Self::Suffixes => "NoUTF8EscapingWithSuffixes",
            Self::Nothing => "NoTranslation",
        }
    }

    /// Whether metrics get suffixes for their unit and kind.
    pub fn has_suffixes(self) -> bool {
        matches!(self, Self::UnderscoresAndSuffixes | Self::Suffixes)
    }

    /// Whether names stay as they are, whatever their alphabet.
    pub fn keeps_names(self) -> bool {
        matches!(self, Self::Suffixes | Self::Nothing)
    }
}

impl Value for TranslationStrategy {
    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let Yaml::Scalar { text, .. } = &node.value else {
            cx.expected_kind(node, "the name of a strategy");
            return None;
        };
        if text.is_empty() {
            return Some(Self::UnderscoresAndSuffixes);
        }
        let known = Self::ALL.into_iter().find(|one| one.as_str() == text);
        if known.is_none() {
            let message = format!("unsupported OTLP translation strategy {}", GoQuoted(text));
            cx.report(node.place, message);
        }
        known
    }

    fn write(&self) -> Out {
        Out::Plain(self.as_str().to_owned())
    }
}

fn check(otlp: &mut Otlp, node: &Node, cx: &mut Context<'_>) {
    if otlp.promote_all_resource_attributes {
        if !otlp.promote_resource_attributes.is_empty() {
            let message = "'promote_all_resource_attributes' and 'promote_resource_attributes' \
                           cannot be configured simultaneously";
            cx.report_key(node, "promote_resource_attributes", message);
        }
    } else if !otlp.ignore_resource_attributes.is_empty() {
        let message = "'ignore_resource_attributes' cannot be configured unless \
                       'promote_all_resource_attributes' is true";
        cx.report_key(node, "ignore_resource_attributes", message);
    }
    for (key, word, names) in [
        ("promote_resource_attributes", "promoted", &mut otlp.promote_resource_attributes),
        ("ignore_resource_attributes", "ignored", &mut otlp.ignore_resource_attributes),
    ] {
        let mut seen: Vec<String> = Vec::with_capacity(names.len());
        for name in names.iter().map(|name| name.trim().to_owned()) {
            let wrong = if name.is_empty() {
                format!("invalid '{key}': empty {word} OTel resource attribute")
            } else if seen.contains(&name) {
                let name = GoQuoted(&name);
                format!("invalid '{key}': duplicated {word} OTel resource attribute {name}")
            } else {
                seen.push(name);
                continue;
            };
            cx.report_key(node, key, wrong);
        }
        *names = seen;
    }
}

#[cfg(test)]
mod tests {
    use crate::Config;

    fn fault(otlp: &str) -> Option<String> {
        let parsed = Config::parse(&format!("otlp: {{{otlp}}}\n"), "p.yml");
        parsed.err().map(|error| error.to_string())
    }

    #[test]
    fn mistakes_are_told_in_the_words_of_prometheus() {
        for (otlp, want) in [
            ("translation_strategy: foo", "unsupported OTLP translation strategy \"foo\""),
            (
                "promote_resource_attributes: [\"\"]",
                "invalid 'promote_resource_attributes': empty promoted OTel resource attribute",
            ),
            (
                "promote_resource_attributes: [\" a\", a]",
                "invalid 'promote_resource_attributes': duplicated promoted OTel resource \
                 attribute \"a\"",
            ),
            (
                "promote_all_resource_attributes: true, ignore_resource_attributes: [a, a]",
                "invalid 'ignore_resource_attributes': duplicated ignored OTel resource \
                 attribute \"a\"",
            ),
            (
                "ignore_resource_attributes: [a]",
                "'ignore_resource_attributes' cannot be configured unless \
                 'promote_all_resource_attributes' is true",
            ),
            (
                "promote_all_resource_attributes: true, promote_resource_attributes: [a]",
                "'promote_all_resource_attributes' and 'promote_resource_attributes' cannot be \
                 configured simultaneously",
            ),
        ] {
            let found = fault(otlp).unwrap_or_default();
            assert!(found.contains(want), "{otlp}: {found}");
        }
        for good in ["translation_strategy: \"\"", "translation_strategy: NoTranslation"] {
            assert_eq!(fault(good), None);
        }
        let legacy = "global: {metric_name_validation_scheme: legacy}\n\
                      otlp: {translation_strategy: NoTranslation}\n";
        let found = Config::parse(legacy, "p.yml").unwrap_err().to_string();
        let want =
            "OTLP translation strategy \"NoTranslation\" is not allowed when UTF8 is disabled";
        assert!(found.contains(want), "{found}");
    }
}
