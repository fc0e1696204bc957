use super::*;
use crate::Labels;
use proptest::prelude::*;

fn rule(action: Action, edit: impl FnOnce(&mut Rule)) -> Rule {
    let mut rule = Rule::new(action).unwrap();
    edit(&mut rule);
    rule
}

fn sources(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn run(rules: &[Rule], labels: &[(&str, &str)]) -> Option<String> {
    for rule in rules {
        rule.validate().unwrap();
    }
    let mut builder = LabelsBuilder::from_labels(&Labels::from_pairs(labels.iter().copied()));
    process(rules, &mut builder).then(|| builder.build().to_string())
}

fn replace(source: &[&str], regex: &str, target: &str, replacement: &str) -> Rule {
    rule(Action::Replace, |rule| {
        rule.source_labels = sources(source);
        rule.regex = Pattern::new(regex).unwrap();
        rule.target_label = target.into();
        rule.replacement = replacement.into();
    })
}

#[test]
fn replaces() {
    let base = [("a", "foo"), ("b", "bar"), ("c", "baz")];
    for (rule, want) in [
        (
            replace(&["a"], "f(.*)", "d", "ch${1}-ch${1}"),
            r#"{a="foo", b="bar", c="baz", d="choo-choo"}"#,
        ),
        (
            replace(&["a", "b"], "f(.*);(.*)r", "a", "b${1}${2}m"),
            r#"{a="boobam", b="bar", c="baz"}"#,
        ),
        (replace(&["a"], "f(.*)r", "d", "$1"), r#"{a="foo", b="bar", c="baz"}"#),
        (replace(&["a"], "foo", "b", ""), r#"{a="foo", c="baz"}"#),
        (replace(&["a"], "(.*)", "${1}_x", "y"), r#"{a="foo", b="bar", c="baz", foo_x="y"}"#),
        (replace(&["gone"], "(.*)", "${1}", "y"), r#"{a="foo", b="bar", c="baz"}"#),
        (replace(&[], "(.*)", "n", "1"), r#"{a="foo", b="bar", c="baz", n="1"}"#),
        (replace(&["a"], "(.*)", "b", "cost: $$5"), r#"{a="foo", b="cost: $5", c="baz"}"#),
    ] {
        assert_eq!(run(&[rule], &base).as_deref(), Some(want));
    }
}

#[test]
fn keeps_and_drops() {
    let base = [("a", "foo"), ("b", "foo"), ("c", "bar")];
    let with = |action: Action, regex: &str, source: &[&str], target: &str| {
        rule(action, |rule| {
            rule.source_labels = sources(source);
            rule.regex = Pattern::new(regex).unwrap();
            rule.target_label = target.into();
        })
    };
    for (action, regex, target, kept) in [
        (Action::Keep, "fo+", "", true),
        (Action::Keep, "o+", "", false),
        (Action::Drop, "fo+", "", false),
        (Action::Drop, "o+", "", true),
        (Action::KeepEqual, REGEX_DEFAULT, "b", true),
        (Action::KeepEqual, REGEX_DEFAULT, "c", false),
        (Action::DropEqual, REGEX_DEFAULT, "b", false),
        (Action::DropEqual, REGEX_DEFAULT, "c", true),
    ] {
        let got = run(&[with(action, regex, &["a"], target)], &base).is_some();
        assert_eq!(got, kept, "{action} {regex} {target}");
    }
}

#[test]
fn hashes_as_prometheus_does() {
    let hashmod = rule(Action::HashMod, |rule| {
        rule.source_labels = sources(&["c"]);
        rule.target_label = "d".into();
        rule.modulus = 1000;
    });
    assert_eq!(run(&[hashmod], &[("c", "baz")]).as_deref(), Some(r#"{c="baz", d="976"}"#));
}

#[test]
fn works_on_names() {
    let base = [("__meta_my_a", "1"), ("__meta_my_b", "2"), ("job", "x")];
    let map = rule(Action::LabelMap, |rule| {
        rule.regex = Pattern::new("__meta_(my.*)").unwrap();
    });
    let drop = rule(Action::LabelDrop, |rule| rule.regex = Pattern::new("__meta.*").unwrap());
    let keep = rule(Action::LabelKeep, |rule| rule.regex = Pattern::new("my_a").unwrap());
    assert_eq!(
        run(&[map.clone(), drop.clone()], &base).as_deref(),
        Some(r#"{job="x", my_a="1", my_b="2"}"#)
    );
    assert_eq!(run(&[map, drop, keep], &base).as_deref(), Some(r#"{my_a="1"}"#));
}

#[test]
fn changes_case() {
    let case = |action| {
        rule(action, |rule| {
            rule.source_labels = sources(&["a"]);
            rule.target_label = "b".into();
        })
    };
    let got = run(&[case(Action::Lowercase)], &[("a", "AbC\u{d6}")]);
    assert_eq!(got.as_deref(), Some("{a=\"AbC\u{d6}\", b=\"abc\u{f6}\"}"));
    let got = run(&[case(Action::Uppercase)], &[("a", "Stra\u{df}e")]);
    assert_eq!(got.as_deref(), Some("{a=\"Stra\u{df}e\", b=\"STRA\u{df}E\"}"));
}

#[test]
fn says_what_does_not_fit() {
    let refused =
        |action, edit: fn(&mut Rule)| rule(action, edit).validate().unwrap_err().to_string();
    assert_eq!(
        refused(Action::Replace, |_| ()),
        "relabel configuration for replace action requires 'target_label' value"
    );
    assert_eq!(
        refused(Action::HashMod, |rule| rule.target_label = "x".into()),
        "relabel configuration for hashmod requires non-zero modulus"
    );
    assert_eq!(
        refused(Action::LabelDrop, |rule| rule.separator = ",".into()),
        "labeldrop action requires only 'regex', and no other fields"
    );
    assert_eq!(
        refused(Action::DropEqual, |rule| {
            rule.target_label = "x".into();
            rule.modulus = 1;
        }),
        "dropequal action requires only 'source_labels' and `target_label`, and no other fields"
    );
    assert_eq!(
        refused(Action::Lowercase, |rule| {
            rule.target_label = "x".into();
            rule.replacement = "y".into();
        }),
        "'replacement' can not be set for lowercase action"
    );
    assert_eq!(
        refused(Action::Replace, |rule| {
            rule.target_label = "a-b".into();
            rule.name_scheme = NameScheme::Legacy;
        }),
        r#""a-b" is invalid 'target_label' for replace action"#
    );
    assert_eq!("KEEP".parse(), Ok(Action::Keep));
    assert_eq!(
        "frob".parse::<Action>().unwrap_err().to_string(),
        r#"unknown relabel action "frob""#
    );
}

#[test]
fn legacy_templates() {
    for (template, valid) in [
        ("a_${1}", true),
        ("$1", true),
        ("${1}${2}", true),
        ("$a1_b", true),
        ("1$a", false),
        ("a-${1}", false),
        ("${}", false),
        ("a$", false),
        ("${a", false),
        ("", false),
    ] {
        assert_eq!(NameScheme::Legacy.allows_template(template), valid, "{template}");
    }
}

proptest! {
    #[test]
    fn never_panics_and_never_leaves_empty_labels(
        regex in "[a-c.*()|]{0,8}",
        target in "[a-c$1{}]{1,5}",
        replacement in "[a-c$1{}]{0,5}",
        value in "[a-c]{0,5}",
        action in proptest::sample::select(&Action::ALL[..]),
    ) {
        let Ok(regex) = Pattern::new(&regex) else { return Ok(()) };
        let rule = rule(action, |rule| {
            rule.source_labels = sources(&["a", "b"]);
            rule.regex = regex;
            rule.target_label = target;
            rule.replacement = replacement;
            rule.modulus = 7;
        });
        let mut labels = LabelsBuilder::from_labels(&Labels::from_pairs([("a", value.as_str()), ("c", "x")]));
        process(&[rule], &mut labels);
        prop_assert!(labels.iter().all(|(name, value)| !name.is_empty() && !value.is_empty()));
    }
}
