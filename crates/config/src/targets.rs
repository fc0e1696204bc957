//! Target files: lists of groups that `file_sd_configs` names.

use std::collections::BTreeMap;

use narthex_model::Labels;
use serde::Deserialize;

use crate::discovery::TargetGroup;
use crate::error::{Error, Issue};
use crate::node::Node;
use crate::read::{Context, Value};

/// How a target file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `.json`
    Json,
    /// `.yml`, `.yaml`
    Yaml,
}

impl Format {
    /// The format that a file's name promises.
    pub fn of_name(name: &str) -> Option<Self> {
        match name.rsplit_once('.')?.1.to_ascii_lowercase().as_str() {
            "json" => Some(Self::Json),
            "yml" | "yaml" => Some(Self::Yaml),
            _ => None,
        }
    }
}

/// Reads a target file. `file_name` is for the messages. An empty YAML file has no groups.
///
/// # Errors
/// All that is wrong, each with its place; of JSON the first.
pub fn parse(text: &str, format: Format, file_name: &str) -> Result<Vec<TargetGroup>, Error> {
    match format {
        Format::Yaml => parse_yaml(text, file_name),
        Format::Json => parse_json(text, file_name),
    }
}

fn parse_yaml(text: &str, file_name: &str) -> Result<Vec<TargetGroup>, Error> {
    let mut cx = Context::new(file_name, &|_| None);
    let node = match Node::parse(text) {
        Ok(node) => node,
        Err(fault) => {
            cx.report(fault.place, fault.message);
            return cx.finish(Vec::new());
        }
    };
    if node.is_null() {
        return Ok(Vec::new());
    }
    let groups = Vec::<TargetGroup>::read(&node, &mut cx);
    cx.finish(groups.unwrap_or_default())
}

/// A group in JSON, whose reader gives lines by itself.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonGroup {
    #[serde(default)]
    targets: Vec<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

fn parse_json(text: &str, file_name: &str) -> Result<Vec<TargetGroup>, Error> {
    let refused = |line: usize, column: usize, message: String| Error {
        issues: vec![Issue {
            file: file_name.to_owned(),
            line: line.max(1) as u64,
            column: column.max(1) as u64,
            field: String::new(),
            message,
        }],
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let groups: Vec<JsonGroup> = serde_json::from_str(text).map_err(|error| {
        let message = error.to_string();
        // The place is said once, by the issue.
        let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(head, _)| head);
        refused(error.line(), error.column(), message.to_owned())
    })?;
    let group = |(index, group): (usize, JsonGroup)| {
        if group.targets.iter().any(String::is_empty) {
            let message = format!("[{index}].targets: expected an address such as host:9100");
            return Err(refused(1, 1, message));
        }
        if group.labels.contains_key("") {
            let message = format!("[{index}].labels: \"\" is not a valid label name");
            return Err(refused(1, 1, message));
        }
        Ok(TargetGroup { targets: group.targets, labels: Labels::from_pairs(group.labels) })
    };
    groups.into_iter().enumerate().map(group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str, format: Format) -> String {
        parse(text, format, "t").map(|_| "accepted").unwrap_err().to_string()
    }

    #[test]
    fn reads_both_formats() {
        let yaml = parse("- targets: [a:1]\n  labels: {v: 1.0}\n", Format::Yaml, "t").unwrap();
        let json = "[\n\t{\"targets\": [\"a:1\"], \"labels\": {\"v\": \"1.0\"}}\n]";
        assert_eq!(parse(json, Format::Json, "t").unwrap(), yaml);
        assert_eq!(parse("", Format::Yaml, "t").unwrap(), []);
        assert_eq!(Format::of_name("a/b.YAML"), Some(Format::Yaml));
        assert_eq!(Format::of_name("a/json"), None);
    }

    #[test]
    fn points_at_what_is_wrong() {
        assert_eq!(
            refusal("- target: [a]\n", Format::Yaml),
            "t:1:3: [0]: field target not found in type targetgroup.Group"
        );
        assert!(refusal("[{\"target\": []}]", Format::Json).starts_with("t:1:10: unknown field"));
        assert!(refusal("", Format::Json).starts_with("t:1:1: EOF"));
        assert!(refusal("[{\"targets\": [\"\"]}]", Format::Json).contains("[0].targets"));
    }
}
