use std::collections::{BTreeMap, BTreeSet};

use narthex_model::{ABSENT, LabelsBuilder, MetricKind, is_absent};
use proptest::prelude::*;

use super::*;
use crate::fault::ParseErrorKind as Kind;

fn text() -> Stencil {
    Stencil::new(Format::Text, Limits::default())
}

fn open() -> Stencil {
    Stencil::new(Format::OpenMetrics, Limits::default())
}

fn labels(stencil: &Stencil, slot: u32) -> String {
    let mut out = LabelsBuilder::default();
    stencil.labels(Slot(slot), &mut out);
    out.build().to_string()
}

/// All labels of a body with their values, in slot order; or the error.
fn read(mut stencil: Stencil, body: &[u8]) -> Result<Vec<(String, f64)>, Kind> {
    stencil.fit(body).map_err(|error| error.kind)?;
    let slots = 0..u32::try_from(stencil.slot_count()).unwrap();
    Ok(slots.map(|slot| (labels(&stencil, slot), stencil.values()[slot as usize])).collect())
}

#[test]
fn text_is_read_as_prometheus_reads_it() {
    for (body, want) in [
        (&b"foo 1\n"[..], Ok(r#"{__name__="foo"}"#)),
        (b"foo 1", Ok(r#"{__name__="foo"}"#)),
        (b"  # TYPE foo counter\n\n \t\nfoo 1\n", Ok(r#"{__name__="foo"}"#)),
        (b"foo 1 \t \n", Ok(r#"{__name__="foo"}"#)),
        (b"foo+1\n", Ok(r#"{__name__="foo"}"#)),
        (b"foo{}1\n", Ok(r#"{__name__="foo"}"#)),
        (b"a:b_9 1\n", Ok(r#"{__name__="a:b_9"}"#)),
        (b"foo { a = \"b\" , c = \"d\" } 1\n", Ok(r#"{__name__="foo", a="b", c="d"}"#)),
        (b"foo{a=\"1\" b=\"2\"} 1\n", Ok(r#"{__name__="foo", a="1", b="2"}"#)),
        (b"foo{a=\"1\",} 1\n", Ok(r#"{__name__="foo", a="1"}"#)),
        (b"foo{a=\"}\",b=\"\"} 1\n", Ok(r#"{__name__="foo", a="}"}"#)),
        (b"foo{a=\"x\ny\\n\\\"\\\\\\q\"} 1\n", Ok(r#"{__name__="foo", a="x\ny\n\"\\\\q"}"#)),
        (b"foo{a=\"x\0y\"} 1\n", Ok(r#"{__name__="foo", a="x\x00y"}"#)),
        (b"{\"foo.x\",a=\"b\"} 1\n", Ok(r#"{__name__="foo.x", a="b"}"#)),
        (b"{a=\"b\",\"foo.x\"} 1\n", Ok(r#"{__name__="foo.x", a="b"}"#)),
        (b"{\"foo\",\"l.x\"=\"b\"} 1\n", Ok(r#"{__name__="foo", "l.x"="b"}"#)),
        (b"{\"fo\\\"o\\\\\"} 1\n", Ok(r#"{__name__="fo\"o\\"}"#)),
        (b"# HELP\nfoo 1\n", Ok(r#"{__name__="foo"}"#)),
        (b"# zz \xff\n#HELP\nfoo 1\n", Ok(r#"{__name__="foo"}"#)),
        (b"# UNIT foo\nfoo 1\n# EOF\n", Ok(r#"{__name__="foo"}"#)),
        (b"foo\0 1\n", Err(Kind::BadNumber)),
        (b"\0\nbar 2\n", Err(Kind::ExpectedStart)),
        (b"9foo 1\n", Err(Kind::ExpectedStart)),
        (b"{foo} 1\n", Err(Kind::ExpectedEqual)),
        (b"{\"\",a=\"b\"} 1\n", Err(Kind::NameEmpty)),
        (b"{\"foo\",\"\"=\"b\"} 1\n", Err(Kind::NameEmpty)),
        (b"{\"foo\xff\"} 1\n", Err(Kind::NameNotUtf8)),
        (b"foo{\"a\xff\"=\"b\"} 1\n", Err(Kind::NameNotUtf8)),
        (b"foo{a=\"\xff\"} 1\n", Err(Kind::LabelValueNotUtf8)),
        (b"foo{\"bar\"} 1\n", Err(Kind::NameTwice)),
        (b"{__name__=\"x\"} 1\n", Err(Kind::LabelTwice)),
        (b"{a=\"x\"} 1\n", Err(Kind::NameMissing)),
        (b"{} 1\n", Err(Kind::NameMissing)),
        (b"foo{__name__=\"x\"} 1\n", Err(Kind::LabelTwice)),
        (b"foo{a=\"1\",a=\"2\"} 1\n", Err(Kind::LabelTwice)),
        (b"foo{\"a\"=\"1\",a=\"2\"} 1\n", Err(Kind::LabelTwice)),
        (b"foo{\"a\\\\q\"=\"1\",\"a\\q\"=\"2\"} 1\n", Err(Kind::LabelTwice)),
        (b"foo{a=\"1\",,b=\"2\"} 1\n", Err(Kind::ExpectedLabelName)),
        (b"foo{,} 1\n", Err(Kind::ExpectedLabelName)),
        (b"foo{a} 1\n", Err(Kind::ExpectedEqual)),
        (b"foo{a=b} 1\n", Err(Kind::ExpectedLabelValue)),
        (b"foo{a=\"b} 1\n", Err(Kind::ExpectedLabelValue)),
        (b"foo{a=\"b\\\n\"} 1\n", Err(Kind::ExpectedLabelValue)),
        (b"foo{a=\"b\"", Err(Kind::ExpectedLabelName)),
        (b"foo\n", Err(Kind::ExpectedValue)),
        (b"foo", Err(Kind::ExpectedValue)),
        (b"foo{a=\"b\"} \n", Err(Kind::ExpectedValue)),
        (b"foo 1\r\n", Err(Kind::BadNumber)),
        (b"foo 1_000\n", Err(Kind::BadNumber)),
        (b"foo 0x10\n", Err(Kind::BadNumber)),
        (b"foo 1 x\n", Err(Kind::ExpectedTimestamp)),
        (b"foo 1 -5\n", Err(Kind::ExpectedTimestamp)),
        (b"foo 1 # {a=\"b\"} 1\n", Err(Kind::ExpectedTimestamp)),
        (b"foo 1 5 6\n", Err(Kind::ExpectedLineEnd)),
        (b"foo 1 9223372036854775808\n", Err(Kind::BadTimestamp)),
        (b"# HELP \nfoo 1\n", Err(Kind::ExpectedMetadataName)),
        (b"# HELP foo \xff\nfoo 1\n", Err(Kind::HelpNotUtf8)),
        (b"# TYPE foo  counter\nfoo 1\n", Err(Kind::BadType)),
        (b"# TYPE foo counter \nfoo 1\n", Err(Kind::BadType)),
        (b"# TYPE foo info\nfoo 1\n", Err(Kind::BadType)),
        (b"# TYPE foo\nfoo 1\n", Err(Kind::BadType)),
    ] {
        let want = want.map(|labels| vec![(labels.to_owned(), 1.0)]);
        assert_eq!(read(text(), body), want, "{}", body.escape_ascii());
    }
}

#[test]
fn openmetrics_is_read_as_prometheus_reads_it() {
    let foo = r#"{__name__="foo"}"#;
    for (body, want) in [
        (&b"foo 1\n# EOF\n"[..], Ok(foo)),
        (b"foo 1\n# EOF", Ok(foo)),
        (b"# HELP foo \n# TYPE foo stateset\nfoo 1 1.5\n# EOF\n", Ok(foo)),
        (b"foo 1 -1.5 # {} 2\n# EOF\n", Ok(foo)),
        (b"foo 1 # {a=\"b\",c=\"#\"} 2 1.5\n# EOF\n", Ok(foo)),
        (b"foo 1 # {a=\"b\",} NaN\n# EOF\n", Ok(foo)),
        (b"# UNIT foo_s s\n# UNIT foo \nfoo 1\n# EOF\n", Ok(foo)),
        (b"foo{a=\"b\",} 1\n# EOF\n", Ok(r#"{__name__="foo", a="b"}"#)),
        (b"{\"foo\",a=\"b\"} 1\n# EOF\n", Ok(r#"{__name__="foo", a="b"}"#)),
        (b"foo 1\n", Err(Kind::EofMissing)),
        (b"foo 1", Err(Kind::EofMissing)),
        (b"foo 1\n# EOF\nbar 1\n", Err(Kind::DataAfterEof)),
        (b"foo 1\n# EOF\n\n", Err(Kind::DataAfterEof)),
        (b"foo 1\n# EOFx", Err(Kind::DataAfterEof)),
        (b"\nfoo 1\n# EOF\n", Err(Kind::ExpectedStart)),
        (b" foo 1\n# EOF\n", Err(Kind::ExpectedStart)),
        (b"# hello\nfoo 1\n# EOF\n", Err(Kind::ExpectedStart)),
        (b"foo{a=\"b\", c=\"d\"} 1\n# EOF\n", Err(Kind::ExpectedLabelName)),
        (b"foo{a=\"b\"c=\"d\"} 1\n# EOF\n", Err(Kind::ExpectedComma)),
        (b"foo{a=\"b\nc\"} 1\n# EOF\n", Err(Kind::ExpectedLabelValue)),
        (b"foo  1\n# EOF\n", Err(Kind::ExpectedValue)),
        (b"foo\t1\n# EOF\n", Err(Kind::ExpectedValue)),
        (b"foo {a=\"b\"} 1\n# EOF\n", Err(Kind::BadNumber)),
        (b"foo 1 \n# EOF\n", Err(Kind::BadTimestamp)),
        (b"foo 1 NaN\n# EOF\n", Err(Kind::BadTimestamp)),
        (b"foo 1 # {a=\"b\"}\n# EOF\n", Err(Kind::ExpectedValue)),
        (b"foo 1 # {a=\"b\"} x\n# EOF\n", Err(Kind::BadNumber)),
        (b"foo 1 # {a=\"b\"} 1 \n# EOF\n", Err(Kind::BadTimestamp)),
        (b"foo 1 # {\"a\"} 1\n# EOF\n", Err(Kind::NameTwice)),
        (b"foo 1 # {a=\"\xff\"} 1\n# EOF\n", Err(Kind::LabelValueNotUtf8)),
        (b"# UNIT foo_s m\nfoo_s 1\n# EOF\n", Err(Kind::BadUnit)),
        (b"# UNIT s s\nfoo_s 1\n# EOF\n", Err(Kind::BadUnit)),
        (b"# TYPE foo untyped\nfoo 1\n# EOF\n", Err(Kind::BadType)),
        (b"# HELP foo\nfoo 1\n# EOF\n", Err(Kind::ExpectedMetadataText)),
    ] {
        let want = want.map(|labels| vec![(labels.to_owned(), 1.0)]);
        assert_eq!(read(open(), body), want, "{}", body.escape_ascii());
    }
    assert_eq!(read(open(), b""), Ok(vec![]));
    assert_eq!(read(open(), b"# EOF\n"), Ok(vec![]));
    let created = b"# TYPE foo counter\nfoo_total 1\nfoo_created 5\n# EOF\n";
    assert_eq!(read(open(), created).unwrap().len(), 2);
}

#[test]
fn bounds_are_respelt_for_the_kind_last_named() {
    let body = b"h{le=\"7\"} 0\n# TYPE h histogram\nh{le=\"1\"} 1\nother{le=\"5\"} 1\n\
        # TYPE s summary\ns{quantile=\"1\",le=\"2\"} 1\n";
    let found: Vec<_> = read(text(), body).unwrap().into_iter().map(|(labels, _)| labels).collect();
    let want = [
        r#"{__name__="h", le="7"}"#,
        r#"{__name__="h", le="1.0"}"#,
        r#"{__name__="other", le="5.0"}"#,
        r#"{__name__="s", le="2", quantile="1.0"}"#,
    ];
    assert_eq!(found, want);
}

#[test]
fn an_error_names_its_line_and_escapes_its_bytes() {
    let mut stencil = text();
    let error = stencil.fit(b"a 1\nb{x=\"\n\"} 1\n# c\nd{e=\"\xff\x1b\"} 1\n").unwrap_err();
    assert_eq!((error.line, error.samples_before), (5, 2));
    assert_eq!(
        error.to_string(),
        r#"line 5: label value is not valid UTF-8 near "d{e=\"\xff\x1b\"} 1""#
    );
    let long = [b"a{b=\"".as_slice(), &[b'x'; 1 << 20], b"\xff\"} 1\n"].concat();
    let error = stencil.fit(&long).unwrap_err();
    assert_eq!(error.kind, Kind::LineTooLong);
    assert!(error.to_string().len() < 400);
    assert_eq!(stencil.slot_count(), 0);
}

#[test]
fn limits_hold() {
    let mut stencil = Stencil::new(Format::Text, Limits { line_bytes_max: 10, slots_max: 2 });
    assert!(stencil.fit(b"abcdefg 1\n").is_ok());
    for body in [&b"abcdefgh 1\n"[..], b"#234567890\n", b"a{b=\"12345678\"} 1\n"] {
        assert_eq!(stencil.fit(body).unwrap_err().kind, Kind::LineTooLong);
    }
    assert_eq!(stencil.fit(b"b 1\nc 1\n").unwrap_err().kind, Kind::TooManySlots);
    assert_eq!(stencil.slot_count(), 1);
    assert!(stencil.fit(b"b 1\n").is_ok());
    assert_eq!(stencil.series_text(Slot(1)), b"b");
}

#[test]
fn metadata_is_read_when_asked_for() {
    let mut stencil = text();
    assert_eq!(stencil.metadata().count(), 0);
    stencil.fit(b"# HELP a b\\\\c\\n\\\"\n# TYPE a counter\na 1\n# TYPE b gauge\n").unwrap();
    let version = stencil.metadata_version();
    let found: Vec<_> = stencil.metadata().collect();
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].0, "a");
    assert_eq!(found[0].1.help, "b\\c\n\\\"");
    assert_eq!(found[0].1.kind, MetricKind::Counter);
    stencil.fit(b"# HELP a b\\\\c\\n\\\"\n# TYPE a counter\na 2\n# TYPE b gauge\n").unwrap();
    assert_eq!(stencil.metadata_version(), version);
    assert!(stencil.fit(b"!").is_err());
    assert_eq!(stencil.metadata().count(), 2);
    stencil.fit(b"# TYPE a gauge\na 2\n").unwrap();
    assert!(stencil.metadata_version() > version);
    assert_eq!(stencil.metadata().next().unwrap().1.kind, MetricKind::Gauge);
}

#[test]
fn blank_labels_are_named() {
    let mut stencil = text();
    stencil.fit(b"foo{a=\"\",b=\"x\",\"c.d\"=\"\"} 1\n").unwrap();
    assert_eq!(stencil.blank_labels(Slot(0)), ["a", "c.d"]);
    assert_eq!(labels(&stencil, 0), r#"{__name__="foo", b="x"}"#);
    assert!(stencil.blank_labels(Slot(7)).is_empty());
    assert_eq!(labels(&stencil, 7), "{}");
}

#[test]
fn the_first_of_equal_samples_wins_and_other_times_survive() {
    let mut stencil = text();
    let fit = stencil.fit(b"a 1\na 2\na 3 5\na 4 5\na 5 6\nb 6 7\nb 7\nb 8 7\n").unwrap();
    assert_eq!(fit, Fit { samples: 8, duplicates: 4 });
    assert_eq!(stencil.values(), [1.0, 3.0, 5.0, 6.0]);
    assert_eq!(stencil.timed(), [Slot(1), Slot(2), Slot(3)]);
    assert_eq!(stencil.changed(), [Slot(0)]);
    let stamps: Vec<_> = (0..4).map(|slot| stencil.timestamp(Slot(slot)).map(|t| t.0)).collect();
    assert_eq!(stamps, [None, Some(5), Some(6), Some(7)]);
    assert_eq!(stencil.series_text(Slot(2)), b"a");

    let fit = stencil.fit(b"a 3 9\na 5 9\nb 7\n").unwrap();
    assert_eq!(fit, Fit { samples: 3, duplicates: 1 });
    assert_eq!(stencil.timed(), [Slot(1)]);
    assert_eq!(stencil.appeared(), [Slot(4)]);
    assert_eq!(stencil.vanished(), [Slot(0), Slot(2), Slot(3)]);
    assert_eq!(stencil.timestamp(Slot(3)), None);
}

#[test]
fn slots_survive_forgetting_and_failure() {
    let mut stencil = text();
    stencil.fit(b"a 1\nb 2\n").unwrap();
    stencil.fit(b"b 2\na 1\n").unwrap();
    assert!(stencil.changed().is_empty() && stencil.vanished().is_empty());
    let error = stencil.fit(b"c 1\nb x\n").unwrap_err();
    assert_eq!((error.line, error.samples_before, error.kind), (2, 1, Kind::BadNumber));
    assert_eq!(stencil.slot_count(), 2);
    assert!(stencil.values().iter().all(|&value| is_absent(value)));
    assert_eq!(stencil.series_text(Slot(0)), b"a");
    stencil.fit(b"d 1\nb 2\n").unwrap();
    assert_eq!(stencil.appeared(), [Slot(1), Slot(2)]);
    assert_eq!(stencil.changed().len(), 2);
    assert!(stencil.vanished().is_empty());
    stencil.forget();
    assert!(stencil.appeared().is_empty() && stencil.timed().is_empty());
    stencil.fit(b"d 1\nb 2\n").unwrap();
    assert_eq!(stencil.appeared(), [Slot(1), Slot(2)]);
}

fn numbered(range: std::ops::Range<u32>) -> Vec<u8> {
    use std::io::Write;
    let mut body = Vec::new();
    for number in range {
        writeln!(body, "m{{n=\"{number}\"}} {number}").unwrap();
    }
    body
}

#[test]
fn dead_slots_are_dropped_when_they_are_many() {
    let mut stencil = text();
    stencil.fit(&numbered(0..400)).unwrap();
    assert_eq!(stencil.compact(), None);
    stencil.fit(&numbered(390..500)).unwrap();
    let map = stencil.compact().unwrap();
    assert_eq!(map.len(), 500);
    assert_eq!(map[389], None);
    assert_eq!(map[390], Some(Slot(0)));
    assert_eq!(map[499], Some(Slot(109)));
    assert_eq!(stencil.slot_count(), 110);
    assert!(stencil.vanished().is_empty());
    assert_eq!(stencil.appeared().len(), 100);
    assert_eq!(stencil.series_text(Slot(109)), b"m{n=\"499\"}");
    stencil.fit(&numbered(391..501)).unwrap();
    assert_eq!(stencil.vanished(), [Slot(0)]);
    assert_eq!(stencil.appeared(), [Slot(110)]);
    assert_eq!(stencil.changed(), [Slot(110)]);
}
