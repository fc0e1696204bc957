use super::*;
use proptest::prelude::*;

fn pattern(text: &str) -> Pattern {
    Pattern::new(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refusal(text: &str) -> String {
    Pattern::new(text).map(|_| "accepted").unwrap_err().to_string()
}

#[test]
fn reads_go_syntax() {
    for (text, yes, no) in [
        ("", &[""][..], &["a"][..]),
        ("abc", &["abc"], &["ab", "abcd", "xabc"]),
        ("a.c", &["abc", "a\nc"], &["ac"]),
        (r"\Qa.b\E+", &["a.b", "a.bbb"], &["axb"]),
        (r"a\Q\E*", &["", "aa"], &["b"]),
        ("a{,2}", &["a{,2}"], &["a", "aa"]),
        ("a{1", &["a{1"], &["a"]),
        ("a{01}", &["a{01}"], &["a"]),
        ("a{2}", &["aa"], &["a", "aaa"]),
        ("a{2,}", &["aa", "aaa"], &["a"]),
        ("[a[b]+", &["a[b"], &["c"]),
        ("[a&&b]", &["a", "&", "b"], &["c"]),
        ("[[a]]", &["a]", "[]"], &["a"]),
        ("[a~~b]", &["~"], &["c"]),
        ("[]a]", &["]", "a"], &["b"]),
        ("[^]a]", &["b", "\n"], &["]", "a"]),
        ("[a-]", &["a", "-"], &["b"]),
        ("[-a]", &["a", "-"], &["b"]),
        (r"[\w-]+", &["a-b"], &["a b"]),
        (r"[\d-z]+", &["1-z"], &["a"]),
        (r"\d+", &["12"], &["\u{661}"]),
        (r"\w", &["a", "_"], &["\u{e9}"]),
        (r"\W", &["\u{e9}", "-"], &["a"]),
        (r"\s", &[" ", "\t"], &["\u{a0}", "\u{b}"]),
        (r"[[:word:]]+", &["a_1"], &["-"]),
        (r"[[:^digit:]]", &["a"], &["1"]),
        (r"\pL+", &["a\u{e9}"], &["1"]),
        (r"\p{Greek}", &["\u{3b1}"], &["a"]),
        (r"\p{^Greek}|\PN", &["a"], &[]),
        (r"\x41\x{42}\103\011", &["ABC\t"], &[]),
        (r"(?i)AbC", &["abc", "ABC"], &["abd"]),
        (r"(?i:a)b", &["Ab", "ab"], &["aB"]),
        (r"a(?i)b|c", &["aB", "C"], &["AB"]),
        (r"(?-s:.)", &["a"], &["\n"]),
        (r"(?P<n>a)(?<m>b)(?:c)", &["abc"], &[]),
        (r"(?P<1x>a)", &["a"], &[]),
        (r"\Aab\z", &["ab"], &["ab\n"]),
        (r"a\b.*", &["a", "a b", "a\u{e9}"], &["ab"]),
        (r"a\Bb", &["ab"], &[]),
        ("^a$", &["a"], &["a\n"]),
        (r"(?m)a$.*", &["a\nb"], &["ab"]),
        (r"a\.b\-c\_\/", &["a.b-c_/"], &[]),
        ("()", &[""], &["a"]),
        ("a||b", &["", "a", "b"], &["ab"]),
        ("^*a", &["a"], &[]),
        ("a]", &["a]"], &[]),
        ("a}", &["a}"], &[]),
        ("}{", &["}{"], &[]),
    ] {
        let pattern = pattern(text);
        for value in yes {
            assert!(pattern.matches(value), "{text} must match {value:?}");
        }
        for value in no {
            assert!(!pattern.matches(value), "{text} must not match {value:?}");
        }
    }
}

#[test]
fn refuses_in_the_words_of_go() {
    for (text, want) in [
        ("(a", "missing closing ): `^(?s:(a)$`"),
        ("a))", "unexpected ): `^(?s:a)))$`"),
        ("[a", "missing closing ]: `[a)$`"),
        ("*", "missing argument to repetition operator: `*`"),
        ("a|*?", "missing argument to repetition operator: `*?`"),
        ("a**", "invalid nested repetition operator: `**`"),
        ("a{2}{3}", "invalid nested repetition operator: `{2}{3}`"),
        ("a{1001}", "invalid repeat count: `{1001}`"),
        ("a{3,2}", "invalid repeat count: `{3,2}`"),
        ("(a{100}){100}", "invalid repeat count: `{100}`"),
        ("[z-a]", "invalid character class range: `z-a`"),
        ("[[:foo:]]", "invalid character class range: `[:foo:]`"),
        (r"\p{Foo}", r"invalid character class range: `\p{Foo}`"),
        (r"\p{Alphabetic}", r"invalid character class range: `\p{Alphabetic}`"),
        (r"\C", r"invalid escape sequence: `\C`"),
        (r"\Z", r"invalid escape sequence: `\Z`"),
        (r"\8", r"invalid escape sequence: `\8`"),
        (r"(a)\1", r"invalid escape sequence: `\1`"),
        (r"\x{110000}", r"invalid escape sequence: `\x{110000`"),
        ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
        // From `a` down to `-`.
        ("[a--b]", "invalid character class range: `a--`"),
        (r"(?ii-s-)?", "invalid or unsupported Perl syntax: `(?ii-s-`"),
        ("(?x)a", "invalid or unsupported Perl syntax: `(?x`"),
        ("(?P<a-b>x)", "invalid named capture: `(?P<a-b>`"),
    ] {
        assert_eq!(refusal(text), format!("error parsing regexp: {want}"), "{text}");
    }
}

#[test]
fn holds_its_limits() {
    let nested = format!("{}a{}", "(".repeat(50_000), ")".repeat(50_000));
    assert!(refusal(&nested).contains("nests too deeply"));
    assert!(refusal(&"a".repeat(PATTERN_TEXT_BYTES_MAX + 1)).contains("too large"));
    assert!(refusal(r"(?i)(\pL{500}x){2}").contains("too large"));
    let deep = format!("{}a{}", "(?:b|".repeat(95), ")*?".repeat(95));
    assert!(Pattern::new(&deep).is_ok());
    let words: Vec<String> = (0..100_000).map(|n| format!("w{n}")).collect();
    let many = pattern(&words.join("|"));
    assert!(many.matches("w77777") && !many.matches("w100000"));
}

#[test]
fn knows_literals_and_prefixes() {
    let literals = |text: &str| pattern(text).literals().map(|words| words.join(","));
    assert_eq!(literals("b|a|b").as_deref(), Some("a,b"));
    assert_eq!(literals("(foo|fob)").as_deref(), Some("fob,foo"));
    assert_eq!(literals("x[12](a|)").as_deref(), Some("x1,x1a,x2,x2a"));
    assert_eq!(literals("ab?c{2}").as_deref(), Some("abcc,acc"));
    assert_eq!(literals(r"10\.0\.0\.1").as_deref(), Some("10.0.0.1"));
    assert_eq!(literals("").as_deref(), Some(""));
    assert_eq!(literals("(?i)ab").as_deref(), Some("AB,Ab,aB,ab"));
    assert_eq!(literals("a.*"), None);
    assert_eq!(literals(".{3}"), None);

    assert_eq!(pattern("abc.*").prefix(), "abc");
    assert_eq!(pattern("(abc).*[0-9]+").prefix(), "abc");
    assert_eq!(pattern("ab(c|d.*)").prefix(), "ab");
    assert_eq!(pattern(".*abc").prefix(), "");
    assert!(!pattern(".+").matches(""));
}

#[test]
fn replaces_as_go_does() {
    let cases = [
        ("(.*)", "host:1", "$1", Some("host:1")),
        ("(.*)", "x", "${1}_$0$2", Some("x_x")),
        ("([^:]+):(\\d+)", "host:1", "$2-$1", Some("1-host")),
        ("([^:]+):(\\d+)", "host", "$2-$1", None),
        ("(?P<h>.+):(?<p>.+)", "a:b", "${p}$h", Some("ba")),
        ("(?P<1h>.+)", "a", "${1h}", Some("a")),
        ("a|b", "a", "is $0", Some("is a")),
        ("a(x)?", "a", "[$1]", Some("[]")),
        ("foo.*", "foobar", "cut", Some("cut")),
    ];
    for (text, value, template, want) in cases {
        assert_eq!(pattern(text).replace(value, template).as_deref(), want, "{text} {template}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_without_panic(text in r"[a-c\\\[\](){}*+?|^$.,:\-&~0-9QEpPxdwsWbBiP<>]{0,24}", value in "[a-c0-9]{0,6}") {
        if let Ok(pattern) = Pattern::new(&text) {
            // What the shape says must be what the automaton says.
            let program = pattern.program();
            if let Some(program) = program {
                prop_assert_eq!(pattern.matches(&value), program.is_match(&value), "{}", text);
            }
            if pattern.matches(&value) {
                prop_assert!(pattern.prefix().is_empty() || value.starts_with(pattern.prefix()));
                if let Some(words) = pattern.literals() {
                    prop_assert!(words.contains(&value));
                }
            }
            let _ = pattern.replace(&value, "$1${n}$$");
        }
    }

    #[test]
    fn shapes_agree_with_the_automaton(
        parts in proptest::collection::vec(prop_oneof![
            Just(".*"), Just(".+"), Just("a"), Just("bc"), Just("(a|b)"), Just("a?"), Just("[ab]"), Just("|"),
        ], 0..6),
        value in "[abc\n]{0,7}",
    ) {
        let pattern = pattern(&parts.concat());
        let program = pattern.program().expect("small");
        prop_assert_eq!(pattern.matches(&value), program.is_match(&value));
        for word in pattern.literals().unwrap_or_default() {
            prop_assert!(program.is_match(word));
        }
    }
}
