//! Writing YAML as Prometheus writes it.

use std::fmt::Write;

/// A value on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Out {
    Null,
    /// Written as it is: numbers, durations, booleans.
    Plain(String),
    /// Quoted where YAML would take it for something else.
    Text(String),
    List(Vec<Out>),
    /// A list on one line.
    Flow(Vec<String>),
    Map(Vec<(String, Out)>),
}

/// The text of a whole document.
pub(crate) fn document(out: &Out) -> String {
    let mut text = String::new();
    match out {
        Out::Map(entries) if !entries.is_empty() => map(entries, 0, &mut text),
        other => {
            value(other, 0, &mut text);
        }
    }
    text.trim_start_matches([' ', '\n']).to_owned()
}

/// Writes what follows a key's colon or a list's dash, up to the end of the line.
fn value(out: &Out, indent: usize, text: &mut String) {
    match out {
        Out::Null => text.push_str(" null\n"),
        Out::Plain(plain) => {
            text.push(' ');
            text.push_str(plain);
            text.push('\n');
        }
        Out::Text(string) if is_block(string) => block(string, indent, text),
        Out::Text(string) => {
            text.push(' ');
            scalar(string, text);
            text.push('\n');
        }
        Out::Flow(items) => {
            text.push_str(" [");
            for (index, item) in items.iter().enumerate() {
                text.push_str(if index > 0 { ", " } else { "" });
                flow_scalar(item, text);
            }
            text.push_str("]\n");
        }
        Out::List(items) if items.is_empty() => text.push_str(" []\n"),
        Out::Map(entries) if entries.is_empty() => text.push_str(" {}\n"),
        Out::List(items) => {
            text.push('\n');
            list(items, indent, text);
        }
        Out::Map(entries) => {
            text.push('\n');
            map(entries, indent + 2, text);
        }
    }
}

fn list(items: &[Out], indent: usize, text: &mut String) {
    for item in items {
        pad(indent, text);
        text.push('-');
        match item {
            Out::Map(entries) if !entries.is_empty() => {
                // The first key stands on the dash's line.
                let start = text.len();
                map(entries, indent + 2, text);
                text.replace_range(start..start + indent + 2, " ");
            }
            Out::List(inner) if !inner.is_empty() => {
                let start = text.len();
                list(inner, indent + 2, text);
                text.replace_range(start..start + indent + 2, " ");
            }
            other => value(other, indent, text),
        }
    }
}

fn map(entries: &[(String, Out)], indent: usize, text: &mut String) {
    for (key, item) in entries {
        pad(indent, text);
        scalar(key, text);
        text.push(':');
        value(item, indent, text);
    }
}

fn pad(indent: usize, text: &mut String) {
    text.extend(std::iter::repeat_n(' ', indent));
}

fn is_block(string: &str) -> bool {
    string.contains('\n')
        && !string.starts_with([' ', '\n'])
        && string.chars().all(|c| c == '\n' || is_printable(c))
}

/// A literal block (`|`), which keeps line breaks.
fn block(string: &str, indent: usize, text: &mut String) {
    let body = string.trim_end_matches('\n');
    text.push_str(match string.len() - body.len() {
        0 => " |-\n",
        1 => " |\n",
        _ => " |+\n",
    });
    for line in string.strip_suffix('\n').unwrap_or(string).split('\n') {
        if !line.is_empty() {
            pad(indent + 2, text);
            text.push_str(line);
        }
        text.push('\n');
    }
}

fn flow_scalar(string: &str, text: &mut String) {
    if is_plain(string) && string.contains([',', '[', ']', '{', '}', '?']) {
        // What is plain on a line of its own is not between brackets.
        text.push('\'');
        text.push_str(&string.replace('\'', "''"));
        text.push('\'');
    } else {
        scalar(string, text);
    }
}

fn scalar(string: &str, text: &mut String) {
    if is_plain(string) {
        text.push_str(string);
    } else if string.chars().all(is_printable) && !looks_typed(string) {
        text.push('\'');
        text.push_str(&string.replace('\'', "''"));
        text.push('\'');
    } else {
        quoted(string, text);
    }
}

fn quoted(string: &str, text: &mut String) {
    text.push('"');
    for c in string.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\t' => text.push_str("\\t"),
            '\r' => text.push_str("\\r"),
            c if is_printable(c) => text.push(c),
            c => {
                // Writing to a string cannot fail.
                let _ = write!(text, "\\U{:08X}", u32::from(c));
            }
        }
    }
    text.push('"');
}

fn is_printable(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{feff}' | '\u{2028}' | '\u{2029}' | '\u{85}')
}

/// Whether the text, unquoted, reads as itself.
fn is_plain(string: &str) -> bool {
    let Some(first) = string.chars().next() else { return false };
    let dashes = string.starts_with("- ") || matches!(string, "-" | "?" | "---" | "...");
    let special_start = ",[]{}#&*!|>'\"%@`".contains(first)
        || ((first == '?' || first == ':') && !string[1..].starts_with(|c: char| c != ' '));
    !dashes
        && !special_start
        && !string.starts_with("--- ")
        && !string.starts_with(' ')
        && !string.ends_with([' ', ':'])
        && !string.contains(": ")
        && !string.contains(" #")
        && string.chars().all(is_printable)
        && !looks_typed(string)
}

/// Whether YAML 1.1 or 1.2 would read the text as a number, a boolean, a null, a date or a merge.
fn looks_typed(string: &str) -> bool {
    const WORDS: [&str; 12] =
        ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "~", "<<", "="];
    let lower = string.to_ascii_lowercase();
    let digits = lower.trim_start_matches(['+', '-']).replace('_', "");
    let starts_number = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let date = lower.len() >= 8
        && lower.get(4..5) == Some("-")
        && lower.get(..4).is_some_and(|year| year.bytes().all(|byte| byte.is_ascii_digit()));
    WORDS.contains(&lower.as_str())
        || lower.is_empty()
        || date
        || (starts_number && is_number(&digits))
}

fn is_number(digits: &str) -> bool {
    let radix = ["0x", "0o", "0b"].iter().find_map(|prefix| digits.strip_prefix(prefix));
    matches!(digits, ".inf" | ".nan" | ".")
        || radix.is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
        || digits.parse::<f64>().is_ok()
        // Sexagesimal, to YAML 1.1.
        || (digits.contains(':') && digits.bytes().all(|b| b.is_ascii_digit() || b == b':'))
}
