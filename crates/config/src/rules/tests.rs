use super::*;

fn refusal(rule: &str) -> String {
    let text = format!("groups:\n- name: g\n  rules:\n  - {rule}\n");
    Rules::parse(&text, "r.yml").map(|_| "accepted").unwrap_err().to_string()
}

#[test]
fn reads_rules() {
    let text = "groups:\n- name: g\n  interval: 30s\n  labels: {a: b}\n  rules:\n  - record: job:up:sum\n    expr: |\n      sum by (job) (\n        up\n      )\n  - alert: Down\n    expr: up == 0\n    for: 5m\n    labels: {severity: page, n: 1.0}\n    annotations: {summary: '{{ $labels.job }}'}\n";
    let rules = Rules::parse(text, "r.yml").unwrap();
    let group = &rules.groups[0];
    assert_eq!((group.name.as_str(), group.interval), ("g", Duration::from_secs(30)));
    assert_eq!(group.rules[0].expr.text, "sum by (job) (\n  up\n)\n");
    assert_eq!((group.rules[1].expr.line, group.rules[1].expr.column), (12, 11));
    assert_eq!(group.rules[1].r#for, Duration::from_secs(300));
    assert_eq!(group.rules[1].labels["n"], "1.0");
    assert_eq!(Rules::parse("", "r.yml").unwrap(), Rules::default());
}

#[test]
fn points_at_what_is_wrong() {
    for (rule, want) in [
        ("{alert: a, record: b, expr: x}", "only one of 'record' and 'alert' must be set"),
        ("{expr: x}", "one of 'record' or 'alert' must be set"),
        ("{record: x}", "field 'expr' must be set in rule"),
        ("{record: x, expr: y, foo: 1}", "field foo not found in type rulefmt.Rule"),
        ("{record: x, expr: y, labels: {__name__: z}}", "invalid label name: __name__"),
    ] {
        let got = refusal(rule);
        assert!(got.starts_with("r.yml:4:") && got.ends_with(want), "{got}");
    }
    assert_eq!(
        refusal("{record: x, expr: y, for: 5m}"),
        "r.yml:4:31: groups[0].rules[0].for: invalid field 'for' in recording rule"
    );
    let error = Rules::parse("groups:\n- name: a\n- name: a\n", "r.yml").unwrap_err();
    assert_eq!(
        error.to_string(),
        "r.yml:3:9: groups[1].name: groupname: \"a\" is repeated in the same file"
    );
}
