//! Reading and writing relabelling rules; what they do is in the model.

use narthex_model::regex::Pattern;
use narthex_model::relabel::{Action, NameScheme, REGEX_DEFAULT, Rule, RuleError};

use crate::node::{Node, Yaml};
use crate::read::{Context, Fields, Value};
use crate::write::Out;

impl Value for Action {
    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let Yaml::Scalar { text, .. } = &node.value else {
            cx.expected(node, "a relabel action");
            return None;
        };
        text.parse().inspect_err(|error: &RuleError| cx.report(node.place, error)).ok()
    }

    fn write(&self) -> Out {
        Out::Plain(self.as_str().to_owned())
    }
}

impl Value for Pattern {
    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let text = String::read(node, cx)?;
        Self::new(&text).inspect_err(|error| cx.report(node.place, error)).ok()
    }

    fn write(&self) -> Out {
        Out::Text(self.as_str().to_owned())
    }

    fn is_zero(&self) -> bool {
        self.as_str() == REGEX_DEFAULT
    }
}

impl Value for Rule {
    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        if node.is_null() {
            cx.report(node.place, "empty or null relabeling rule");
            return None;
        }
        let mut fields = Fields::open(node, "relabel.plain", cx)?;
        let issues_before = cx.issue_count();
        let mut rule =
            Self::new(Action::default()).inspect_err(|error| cx.report(node.place, error)).ok()?;
        fields.set("source_labels", &mut rule.source_labels, cx);
        fields.set("separator", &mut rule.separator, cx);
        fields.set("regex", &mut rule.regex, cx);
        fields.set("modulus", &mut rule.modulus, cx);
        fields.set("target_label", &mut rule.target_label, cx);
        fields.set("replacement", &mut rule.replacement, cx);
        fields.set("action", &mut rule.action, cx);
        fields.finish(cx);
        if rule.source_labels.iter().any(String::is_empty) {
            cx.report_key(node, "source_labels", "\"\" is not a valid label name");
        }
        if cx.issue_count() > issues_before {
            return None;
        }
        rule.validate().inspect_err(|error| cx.report(node.place, error)).ok()?;
        Some(rule)
    }

    fn write(&self) -> Out {
        let mut out = Vec::new();
        let mut put = |key: &str, value: Out| out.push((key.to_owned(), value));
        if !self.source_labels.is_empty() {
            put("source_labels", Out::Flow(self.source_labels.clone()));
        }
        if !self.separator.is_empty() {
            put("separator", self.separator.write());
        }
        if !self.regex.is_zero() {
            put("regex", self.regex.write());
        }
        if self.modulus != 0 {
            put("modulus", self.modulus.write());
        }
        if !self.target_label.is_empty() {
            put("target_label", self.target_label.write());
        }
        if !self.replacement.is_empty() {
            put("replacement", self.replacement.write());
        }
        put("action", self.action.write());
        Out::Map(out)
    }
}

/// Sets which names the rules of a job may make, and checks them again where that is fewer.
pub(crate) fn restrict(
    rules: &mut [Rule],
    scheme: NameScheme,
    key: &str,
    node: &Node,
    cx: &mut Context<'_>,
) {
    for (index, rule) in rules.iter_mut().enumerate() {
        rule.name_scheme = scheme;
        if scheme == NameScheme::Utf8 {
            continue;
        }
        if let Err(error) = rule.validate() {
            let place = node
                .get(key)
                .and_then(|list| list.items().get(index))
                .map_or(node.place, |item| item.place);
            cx.within_key(key, |cx| cx.within_index(index, |cx| cx.report(place, error)));
        }
    }
}
