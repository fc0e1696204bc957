//! Rule files.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use narthex_model::METRIC_NAME;

use crate::error::Error;
use crate::node::{Node, Place};
use crate::read::{Context, Value, read_text};
use crate::section::section;
use crate::write::Out;

section! {
    /// A rule file, checked but for the expressions, which are PromQL.
    pub struct Rules as "rulefmt.RuleGroups", check check_groups {
        /// The groups, their names unique.
        groups: Vec<RuleGroup>,
    }
}

section! {
    /// Rules that are evaluated one after another.
    pub struct RuleGroup as "rulefmt.RuleGroup" {
        /// The group's name.
        name: String,
        /// Time between two evaluations; zero: the global one.
        interval: Duration,
        /// How far back in time the rules look; where not set, the global one counts.
        query_offset: Option<Duration>,
        /// Most series or alerts of one rule; 0: no limit.
        limit: u64,
        /// The rules.
        rules: Vec<Rule>,
        /// Labels of every rule's results.
        labels: BTreeMap<String, String>,
    }
}

section! {
    /// A recording rule or an alerting rule.
    pub struct Rule as "rulefmt.Rule", check check_rule {
        /// The name of the recorded metric; empty for an alert.
        record: String,
        /// The name of the alert; empty for a recording rule.
        alert: String,
        /// What is evaluated.
        expr: Expr,
        /// How long an alert must hold before it fires.
        r#for: Duration,
        /// How long an alert fires on after it has ceased.
        keep_firing_for: Duration,
        /// Labels of the results.
        labels: BTreeMap<String, String>,
        /// Texts of the alert.
        annotations: BTreeMap<String, String>,
    }
}

/// A PromQL expression and its place in the file. Two are equal when their texts are.
#[derive(Clone, Debug, Default)]
pub struct Expr {
    /// The expression.
    pub text: String,
    /// The line it begins in, from 1.
    pub line: u64,
    /// The column it begins at, from 1.
    pub column: u64,
}

impl PartialEq for Expr {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Expr {}

impl Value for Expr {
    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let Place { line, column } = node.place;
        Some(Self { text: String::read(node, cx)?, line, column })
    }

    fn write(&self) -> Out {
        Out::Text(self.text.clone())
    }

    fn is_zero(&self) -> bool {
        self.text.is_empty()
    }
}

impl Rules {
    /// Reads a rule file. `file_name` is for the messages.
    ///
    /// # Errors
    /// All that is wrong, each with its place. Expressions are not parsed here.
    pub fn parse(text: &str, file_name: &str) -> Result<Self, Error> {
        read_text(text, file_name, &|_| None)
    }
}

fn check_groups(rules: &mut Rules, node: &Node, cx: &mut Context<'_>) {
    let mut seen = BTreeSet::new();
    let nodes = node.get("groups").map_or(&[][..], Node::items);
    for (index, (group, node)) in rules.groups.iter().zip(nodes).enumerate() {
        cx.within_key("groups", |cx| {
            cx.within_index(index, |cx| {
                if group.name.is_empty() {
                    cx.report(node.place, "Groupname must not be empty");
                } else if !seen.insert(&group.name) {
                    let name = &group.name;
                    let message = format!("groupname: \"{name}\" is repeated in the same file");
                    cx.report_key(node, "name", message);
                }
                check_labels(&group.labels, "labels", "label", node, cx);
            });
        });
    }
}

fn check_rule(rule: &mut Rule, node: &Node, cx: &mut Context<'_>) {
    let (record, alert) = (&rule.record, &rule.alert);
    if !record.is_empty() && !alert.is_empty() {
        cx.report(node.place, "only one of 'record' and 'alert' must be set");
    }
    if record.is_empty() && alert.is_empty() {
        cx.report(node.place, "one of 'record' or 'alert' must be set");
    }
    if rule.expr.text.is_empty() {
        cx.report(node.place, "field 'expr' must be set in rule");
    }
    if !record.is_empty() {
        for (key, set) in [
            ("annotations", !rule.annotations.is_empty()),
            ("for", !rule.r#for.is_zero()),
            ("keep_firing_for", !rule.keep_firing_for.is_zero()),
        ] {
            if set {
                cx.report_key(node, key, format!("invalid field '{key}' in recording rule"));
            }
        }
        if record.contains(['{', '}']) {
            let message = format!(
                "braces present in the recording rule name; should it be in expr?: {record}"
            );
            cx.report_key(node, "record", message);
        }
    }
    check_labels(&rule.labels, "labels", "label", node, cx);
    check_labels(&rule.annotations, "annotations", "annotation", node, cx);
}

fn check_labels(
    labels: &BTreeMap<String, String>,
    key: &str,
    what: &str,
    node: &Node,
    cx: &mut Context<'_>,
) {
    for name in labels.keys() {
        if name.is_empty() || (what == "label" && name == METRIC_NAME) {
            cx.report_key(node, key, format!("invalid {what} name: {name}"));
        }
    }
}

#[cfg(test)]
mod tests;
