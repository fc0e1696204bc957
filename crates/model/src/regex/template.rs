//! Templates of replacements, as Go's `Regexp.Expand` reads them.

/// Appends `template` to `out`, with `$1`, `${1}`, `$name` and `${name}` replaced by what `group`
/// says of that name (a number or a word), and `$$` by a dollar sign. An unbraced name is as long
/// as it can be: `$1x` is `${1x}`. A dollar sign before anything else stands for itself.
pub(super) fn expand<'v>(
    template: &str,
    group: impl Fn(Name<'_>) -> Option<&'v str>,
    out: &mut String,
) {
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = split_name(after) {
            out.push_str(group(name).unwrap_or(""));
            rest = after;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
}

/// What a template names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name<'a> {
    /// A group by its number; 0 is the whole match.
    Number(usize),
    /// A group by its name.
    Word(&'a str),
}

fn split_name(text: &str) -> Option<(Name<'_>, &str)> {
    let inner = text.strip_prefix('{');
    let start = inner.unwrap_or(text);
    let len = start
        .find(|c: char| !(c.is_alphabetic() || c.is_numeric() || c == '_'))
        .unwrap_or(start.len());
    let (name, mut rest) = start.split_at(len);
    if name.is_empty() {
        return None;
    }
    if inner.is_some() {
        rest = rest.strip_prefix('}')?;
    }
    let number = name.bytes().all(|byte| byte.is_ascii_digit())
        && (name.len() == 1 || !name.starts_with('0'))
        && name.len() <= 8;
    let number = number.then(|| name.parse().ok()).flatten();
    Some((number.map_or(Name::Word(name), Name::Number), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(template: &str) -> String {
        let mut out = String::new();
        let group = |name: Name<'_>| match name {
            Name::Number(1) => Some("one"),
            Name::Number(12) => Some("twelve"),
            Name::Word("name") => Some("word"),
            _ => None,
        };
        expand(template, group, &mut out);
        out
    }

    #[test]
    fn reads_templates_as_go_does() {
        for (template, want) in [
            ("$1", "one"),
            ("a${1}b", "aoneb"),
            ("$12", "twelve"),
            ("$1x", ""),
            ("${1}x", "onex"),
            ("$name-$name", "word-word"),
            ("${name", "${name"),
            ("$$1", "$1"),
            ("$", "$"),
            ("$-", "$-"),
            ("${}", "${}"),
            ("$01", ""),
            ("$9", ""),
            ("cost: 5$ each", "cost: 5$ each"),
        ] {
            assert_eq!(filled(template), want, "{template}");
        }
    }
}
