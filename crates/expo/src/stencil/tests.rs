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
    let long = [b"a{b=\"".as_slice(), &vec![b'x'; 1 << 20], b"\xff\"} 1\n"].concat();
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
    // What has too many lines is not read at all, not even where it makes no sense.
    let error = stencil.fit(b"# c 1\n\nb 1\n}\n \tb 1\nb 1\n").unwrap_err();
    assert_eq!((error.kind, error.samples_before), (Kind::TooManySlots, 0));
    assert!(stencil.fit(b"# c 1\n# d 2\n# e 3\n\n\nb 1\nb 2\n").is_ok());
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

#[test]
fn a_body_that_lost_its_beginning_is_walked() {
    let mut stencil = text();
    stencil.fit(&numbered(0..1000)).unwrap();
    for first in (100..2000).step_by(100) {
        let fit = stencil.fit(&numbered(first..first + 1000)).unwrap();
        assert_eq!(fit.samples, 1000);
        assert_eq!(stencil.vanished().len(), 100);
        assert_eq!(stencil.appeared().len(), 100);
        assert_eq!(stencil.changed().len(), 100);
        // The full reading was never needed.
        assert_eq!((stencil.storms, stencil.pause), (0, 0));
    }
}

/// A line of a body as a test makes it.
#[derive(Clone, Debug)]
struct Made {
    meta: u8,
    series: u8,
    value: u8,
    stamp: Option<u8>,
    exemplar: Option<u8>,
}

const SPELLINGS: [(&str, f64); 12] = [
    ("0", 0.0),
    ("1", 1.0),
    ("12", 12.0),
    ("123", 123.0),
    ("-1.5", -1.5),
    ("1e+06", 1e6),
    ("NaN", narthex_model::sample::NORMAL_NAN),
    ("+Inf", f64::INFINITY),
    ("0.30000000000000004", 0.1 + 0.2),
    ("17952347675.39", 17_952_347_675.39),
    ("-0", -0.0),
    ("1.2e-05", 1.2e-5),
];

impl Made {
    fn series(&self, format: Format) -> String {
        let n = self.series;
        match n % 6 {
            0 => format!("plain_{n}"),
            1 => format!("m{{n=\"{n}\",q=\"}} \\\" \"}}"),
            2 => format!("h_bucket{{le=\"{n}\"}}"),
            3 => format!("{{\"quoted {n}\",n=\"\"}}"),
            4 if format == Format::Text => format!("spaced {{ n = \"{n}\n\" }}"),
            _ => format!("node_cpu_seconds_total{{cpu=\"{}\",mode=\"{}\"}}", n / 8, n % 8),
        }
    }

    fn stamp(&self) -> Option<i64> {
        self.stamp.map(|stamp| i64::from(stamp) * 1000)
    }

    /// The value as it stands in the body, and whether nothing stands before it.
    fn value(&self, format: Format) -> (&'static str, f64, bool) {
        let (spelling, value) = SPELLINGS[self.value as usize % SPELLINGS.len()];
        if format == Format::OpenMetrics || self.meta < 0xf8 {
            (spelling, value, false)
        } else if spelling.starts_with(['+', '-']) {
            (spelling, value, true)
        } else {
            ("+1", 1.0, true)
        }
    }

    fn write(&self, format: Format, out: &mut String) {
        use std::fmt::Write;
        let n = self.series;
        match self.meta % 16 {
            1 => writeln!(out, "# TYPE m{n} counter").unwrap(),
            2 => writeln!(out, "# HELP m{n} help of {n}").unwrap(),
            3 => out.push_str("# HELP h other\n# TYPE h histogram\n"),
            4 if format == Format::Text => write!(out, "\n  # just a comment {n}\n \t").unwrap(),
            _ => {}
        }
        out.push_str(&self.series(format));
        let (value, _, joined) = self.value(format);
        if !joined {
            out.push(' ');
        }
        out.push_str(value);
        match (self.stamp(), format) {
            (Some(stamp), Format::Text) => write!(out, " {stamp}").unwrap(),
            (Some(stamp), Format::OpenMetrics) => write!(out, " {}", stamp / 1000).unwrap(),
            (None, _) => {}
        }
        if let (Some(exemplar), Format::OpenMetrics) = (self.exemplar, format) {
            write!(out, " # {{id=\"{exemplar} # \"}} {exemplar} 1.5").unwrap();
        }
        out.push('\n');
    }
}

#[derive(Clone, Debug)]
enum Change {
    Values(Vec<(u8, u8)>),
    Delete(u8, u8),
    Insert(u8, Vec<Made>),
    Swap(u8, u8),
    Reverse,
    Meta(u8, u8),
    Stamp(u8, Option<u8>),
    Stamps(u8),
    Exemplars(u8),
    Twice(u8),
    Forget,
    Break(u8),
    CutNewline,
    Idle,
}

fn made(stamps: bool) -> impl Strategy<Value = Made> {
    let stamp = if stamps { proptest::option::of(0u8..4).boxed() } else { Just(None).boxed() };
    let exemplar = proptest::option::of(any::<u8>());
    (any::<u8>(), any::<u8>(), any::<u8>(), stamp, exemplar).prop_map(
        |(meta, series, value, stamp, exemplar)| Made { meta, series, value, stamp, exemplar },
    )
}

fn change(stamps: bool) -> impl Strategy<Value = Change> {
    let often = if stamps { 2 } else { 1 };
    let stamp = if stamps { proptest::option::of(0u8..4).boxed() } else { Just(None).boxed() };
    prop_oneof![
        8 => proptest::collection::vec(any::<(u8, u8)>(), 0..12).prop_map(Change::Values),
        4 => any::<(u8, u8)>().prop_map(|(at, count)| Change::Delete(at, count % 6)),
        4 => (any::<u8>(), proptest::collection::vec(made(stamps), 0..4))
            .prop_map(|(at, lines)| Change::Insert(at, lines)),
        3 => any::<(u8, u8)>().prop_map(|(a, b)| Change::Swap(a, b)),
        1 => Just(Change::Reverse),
        2 => any::<(u8, u8)>().prop_map(|(at, meta)| Change::Meta(at, meta)),
        often => (any::<u8>(), stamp).prop_map(|(at, stamp)| Change::Stamp(at, stamp)),
        often => any::<u8>().prop_map(Change::Stamps),
        2 => any::<u8>().prop_map(Change::Exemplars),
        often => any::<u8>().prop_map(Change::Twice),
        1 => Just(Change::Forget),
        1 => any::<u8>().prop_map(Change::Break),
        1 => Just(Change::CutNewline),
        1 => Just(Change::Idle),
    ]
}

/// What a stencil must say, worked out from the lines as they were made.
#[derive(Debug, Default)]
struct Model {
    slots: BTreeMap<(String, u32), u32>,
    /// Slots whose `le` is spelt anew.
    respelt: BTreeSet<u32>,
    last: BTreeMap<u32, u64>,
    changed: BTreeSet<u32>,
    appeared: BTreeSet<u32>,
    vanished: BTreeSet<u32>,
    timed: Vec<(u32, i64)>,
    duplicates: u32,
}

impl Model {
    fn fit(&mut self, lines: &[Made], format: Format) {
        let mut now = BTreeMap::new();
        let mut seen: BTreeMap<String, Vec<Option<i64>>> = BTreeMap::new();
        (self.timed, self.duplicates) = (Vec::new(), 0);
        self.changed.clear();
        let mut histogram = false;
        for line in lines {
            histogram = match line.meta % 16 {
                1 => false,
                3 => true,
                _ => histogram,
            };
            let text = line.series(format);
            let before = seen.entry(text.clone()).or_default();
            let stamp = line.stamp();
            if (stamp.is_none() && !before.is_empty()) || before.contains(&stamp) {
                self.duplicates += 1;
                continue;
            }
            before.push(stamp);
            let timed = before.iter().flatten().count();
            let variant = if stamp.is_some() { u32::try_from(timed).unwrap() } else { 0 };
            let next = u32::try_from(self.slots.len()).unwrap();
            let slot = *self.slots.entry((text, variant)).or_insert(next);
            if slot == next && histogram && line.series % 6 == 2 {
                self.respelt.insert(slot);
            }
            let bits = line.value(format).1.to_bits();
            now.insert(slot, bits);
            match stamp {
                Some(stamp) => self.timed.push((slot, stamp)),
                None if self.last.get(&slot) == Some(&bits) => {}
                None => {
                    self.changed.insert(slot);
                }
            }
        }
        let new: BTreeSet<_> = now.keys().copied().collect();
        let old: BTreeSet<_> = self.last.keys().copied().collect();
        self.appeared = &new - &old;
        self.vanished = &old - &new;
        self.last = now;
    }

    fn check(&self, stencil: &Stencil, fit: Fit, lines: usize) {
        assert_eq!((fit.samples as usize, fit.duplicates), (lines, self.duplicates));
        assert_eq!(stencil.slot_count(), self.slots.len());
        for (slot, value) in (0u32..).zip(stencil.values()) {
            let want = self.last.get(&slot).copied().unwrap_or(ABSENT.to_bits());
            assert_eq!(value.to_bits(), want, "{slot}");
        }
        let set = |slots: &[Slot]| slots.iter().map(|slot| slot.0).collect::<BTreeSet<_>>();
        assert_eq!(stencil.changed().len(), self.changed.len());
        assert_eq!(set(stencil.changed()), self.changed);
        assert_eq!(set(stencil.appeared()), self.appeared);
        assert_eq!(set(stencil.vanished()), self.vanished);
        let stamp = |slot: &Slot| (slot.0, stencil.timestamp(*slot).unwrap().0);
        assert_eq!(stencil.timed().iter().map(stamp).collect::<Vec<_>>(), self.timed);
        for ((text, variant), slot) in &self.slots {
            assert_eq!(stencil.series_text(Slot(*slot)), text.as_bytes());
            assert_eq!(stencil.is_timed(Slot(*slot)), *variant > 0);
            assert_eq!(labels(stencil, *slot).contains(".0\""), self.respelt.contains(slot));
        }
    }
}

fn apply(lines: &mut Vec<Made>, change: &Change) {
    let len = lines.len().max(1);
    let at = |at: u8| at as usize % len;
    match change {
        Change::Values(values) => {
            for &(line, value) in values {
                if let Some(line) = lines.get_mut(at(line)) {
                    line.value = value;
                }
            }
        }
        Change::Delete(from, count) => {
            let from = at(*from).min(lines.len());
            lines.drain(from..(from + *count as usize).min(lines.len()));
        }
        Change::Insert(from, new) => {
            let from = at(*from).min(lines.len());
            lines.splice(from..from, new.iter().cloned());
        }
        Change::Swap(a, b) if !lines.is_empty() => lines.swap(at(*a), at(*b)),
        Change::Reverse => lines.reverse(),
        Change::Twice(line) if !lines.is_empty() => lines.push(lines[at(*line)].clone()),
        Change::Meta(line, meta) if !lines.is_empty() => lines[at(*line)].meta = *meta,
        Change::Stamp(line, stamp) if !lines.is_empty() => lines[at(*line)].stamp = *stamp,
        Change::Stamps(add) => {
            for stamp in lines.iter_mut().filter_map(|line| line.stamp.as_mut()) {
                *stamp = stamp.wrapping_add(*add);
            }
        }
        Change::Exemplars(by) => {
            for exemplar in lines.iter_mut().filter_map(|line| line.exemplar.as_mut()) {
                *exemplar = exemplar.wrapping_add(*by);
            }
        }
        _ => {}
    }
}

/// Puts a sequence of bodies through one stencil and compares with the model after each.
fn follow(format: Format, mut lines: Vec<Made>, changes: &[Change]) {
    let mut stencil = Stencil::new(format, Limits::default());
    let mut model = Model::default();
    for change in std::iter::once(&Change::Values(Vec::new())).chain(changes) {
        apply(&mut lines, change);
        let mut body = String::new();
        for line in &lines {
            line.write(format, &mut body);
        }
        if format == Format::OpenMetrics {
            body.push_str("# TYPE last gauge\n# EOF\n");
        } else if lines.len().is_multiple_of(3) {
            body.push_str("# TYPE last gauge\n");
        }
        match change {
            Change::Forget => {
                stencil.forget();
                model.last.clear();
            }
            Change::Break(at) if !body.is_empty() => {
                let broken = [body.as_bytes(), b"new 1\nold !"].concat();
                let broken = if *at % 2 == 0 { &broken[..] } else { b"!" };
                assert!(stencil.fit(broken).is_err());
                model.last.clear();
            }
            Change::CutNewline => {
                body.pop();
            }
            _ => {}
        }
        let times = if matches!(change, Change::Idle) { CACHE_IDLE_FITS + 1 } else { 1 };
        for _ in 0..times {
            let fit = stencil.fit(body.as_bytes()).unwrap();
            model.fit(&lines, format);
            model.check(&stencil, fit, lines.len());
        }
        let mut fresh = Stencil::new(format, Limits::default());
        fresh.fit(body.as_bytes()).unwrap();
        assert!(stencil.metadata().eq(fresh.metadata()));
        let exemplars = exemplars(&stencil);
        assert_eq!(exemplars, self::exemplars(&fresh));
        if format == Format::OpenMetrics && model.duplicates == 0 {
            let there = lines.iter().filter_map(|line| line.exemplar).map(f64::from);
            assert!(there.eq(exemplars.iter().map(|(_, value)| *value)));
        }
    }
}

/// The exemplars of the last body: series and value.
fn exemplars(stencil: &Stencil) -> Vec<(Vec<u8>, f64)> {
    let mut found = Vec::new();
    stencil.each_exemplar(|slot, exemplar| {
        found.push((stencil.series_text(slot).to_vec(), exemplar.value));
    });
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, ..ProptestConfig::default() })]

    #[test]
    fn a_stencil_says_what_reading_anew_says(
        open_metrics: bool,
        lines in proptest::collection::vec(made(false), 0..60),
        changes in proptest::collection::vec(change(false), 0..24),
    ) {
        follow(if open_metrics { Format::OpenMetrics } else { Format::Text }, lines, &changes);
    }

    #[test]
    fn timestamps_and_repeats_are_followed_too(
        open_metrics: bool,
        lines in proptest::collection::vec(made(true), 0..40),
        changes in proptest::collection::vec(change(true), 0..24),
    ) {
        follow(if open_metrics { Format::OpenMetrics } else { Format::Text }, lines, &changes);
    }

    #[test]
    fn all_kinds_of_lines_without_repeats_are_followed(
        open_metrics: bool,
        order in Just((0u8..=255).collect::<Vec<_>>()).prop_shuffle(),
        metas: [u8; 16],
        changes in proptest::collection::vec(change(false), 0..16),
    ) {
        let line = |(index, series): (usize, u8)| Made {
            meta: if index % 9 == 0 { metas[index / 9 % 16] } else { 0 },
            series,
            value: series,
            stamp: None,
            exemplar: (index % 7 == 0).then_some(series),
        };
        let lines: Vec<_> = order.into_iter().filter(|n| n % 12 < 8).enumerate().map(line).collect();
        follow(if open_metrics { Format::OpenMetrics } else { Format::Text }, lines, &changes);
    }

    #[test]
    fn any_bytes_do_no_harm(
        open_metrics: bool,
        bodies in proptest::collection::vec(
            proptest::string::bytes_regex(
                "([#a{}\"=, \t\n\\\\1.0e\x00\\xff]|HELP |TYPE |EOF\n|counter|a 1\n|\\{\"|a=\"b\"){0,60}\n?"
            ).unwrap(),
            1..6,
        ),
        tail in proptest::collection::vec(any::<u8>(), 0..20),
    ) {
        let format = if open_metrics { Format::OpenMetrics } else { Format::Text };
        let mut stencil = Stencil::new(format, Limits { line_bytes_max: 64, slots_max: 20 });
        for mut body in bodies {
            for _ in 0..2 {
                let fitted = stencil.fit(&body);
                let mut fresh = Stencil::new(format, Limits { line_bytes_max: 64, slots_max: 20 });
                if fresh.fit(&body).is_err() {
                    prop_assert!(fitted.is_err());
                }
                if let Ok(fit) = fitted {
                    prop_assert_eq!(fit, fresh.last.fit);
                }
                for slot in 0..u32::try_from(stencil.slot_count()).unwrap() {
                    prop_assert!(labels(&stencil, slot).contains("__name__"));
                }
                stencil.metadata().for_each(drop);
                body.extend_from_slice(&tail);
            }
        }
    }
}
