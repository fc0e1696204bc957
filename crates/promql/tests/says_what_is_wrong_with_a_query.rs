//! Texts and places of parse errors are Prometheus' own.

use narthex_promql::{ErrorKind, parse};

#[test]
fn parse_errors_name_place_and_cause() {
    for (query, wanted) in [
        ("", "unknown position: parse error: no expression found in input"),
        ("# only a comment", "1:1: parse error: no expression found in input"),
        ("1 +", "1:4: parse error: unexpected end of input"),
        ("'\u{fffd}'", "1:1: parse error: invalid UTF-8 rune"),
        ("{a=\\", "1:4: parse error: unexpected character inside braces: '\\\\'"),
        ("(one", "1:5: parse error: unclosed left parenthesis"),
        ("one)", "1:5: parse error: unexpected right parenthesis ')'"),
        ("one\n  one", "2:3: parse error: unexpected identifier \"one\""),
        ("foo(one)", "1:1: parse error: unknown function with name \"foo\""),
        ("1 == 1", "1:3: parse error: comparisons between scalars must use BOOL modifier"),
        (
            "rate(one)",
            "1:6: parse error: expected type range vector in call to function \"rate\", got instant \
             vector",
        ),
        ("{}", "1:1: parse error: vector selector must contain at least one non-empty matcher"),
        ("one{k=~\"(\"}", "1:5: parse error: error parsing regexp: missing closing ): `(`"),
        ("sum(one)[5m]", "1:9: parse error: ranges only allowed for vector selectors"),
        ("one[5m:1m:1m]", "1:10: parse error: unexpected colon ':'"),
        ("\"a\\qb\"", "1:1: parse error: unknown escape sequence U+0071 'q'"),
        ("1__0", "1:1: parse error: bad number or duration syntax: \"1_\""),
    ] {
        let error = parse(query).expect_err(query);
        assert_eq!(error.to_string(), wanted, "{query}");
        assert_eq!(error.kind(), ErrorKind::BadData);
    }
}

#[test]
fn hostile_queries_are_refused_at_once() {
    let deep = 100_000;
    for query in [
        "(".repeat(60_000),
        "-".repeat(60_000),
        format!("{}1", "1+".repeat(30_000)),
        format!("{}1", "1^".repeat(30_000)),
        format!("{}x", "abs(".repeat(15_000)),
        format!("x[{}1m", "(".repeat(60_000)),
        "x[".repeat(deep),
        "a".repeat(deep),
    ] {
        parse(&query).expect_err("a hostile query");
    }
}

#[test]
fn what_prometheus_reads_is_read() {
    for query in [
        "0x1F + 0755 + 08 + 1_000 + .5 + 5. + 1e3 + 1h30m",
        "{\"a.b\", \"l.x\"=~\"y|z\"}",
        "sum by (job, \"a.b\") (rate(x[5m:])) / on() group_left(z) count(up) > bool 1",
        "sum(x) without (by, on,)",
        "x offset -5m @ end()",
        "x[5m] @ 1.5 offset 1h",
        "start + end + sum + offset",
        "a and b or c unless on(x) d",
        "`raw \\n` # comment",
    ] {
        let plan = parse(query);
        assert!(plan.is_ok(), "{query}: {plan:?}");
    }
}
