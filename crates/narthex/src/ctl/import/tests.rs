use narthex_model::{Matcher, TimeRange};
use narthex_store::Samples;

use super::*;
use crate::ctl::export;

/// The samples of the series with `s` = `series`.
fn samples(data: &str, series: &str) -> Vec<(i64, f64)> {
    let store = export::open(data).unwrap();
    let found = store.snapshot().select(&[Matcher::equal("s", series)], TimeRange::ALL).unwrap();
    let mut samples = Samples::default();
    assert_eq!(found.series.len(), 1);
    found.series[0].read(TimeRange::ALL, &mut samples).unwrap();
    samples.times.iter().zip(&samples.values).map(|(at, &value)| (at.0, value)).collect()
}

fn args<'a>(data: &'a str, folder: &'a [&'a str]) -> Args<'a> {
    let mut words = vec!["--storage.tsdb.path", data];
    words.extend(folder);
    Args::parse(&words, &FLAGS).unwrap()
}

#[test]
fn text_in_any_order_is_imported_with_little_memory() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("text").display().to_string();
    let data = folder.path().join("data").display().to_string();
    let mut text = String::from("# TYPE a gauge\n");
    // Times go to and fro, and every third line comes twice.
    for turn in 0..3000u32 {
        let at = u64::from(turn * 1237 % 3000) * 15 + 1_700_000_000;
        let line = format!("a{{s=\"{}\"}} {turn} {at}\n", turn % 10);
        text.push_str(&line);
        if turn % 3 == 0 {
            text.push_str(&line);
        }
    }
    text.push_str("# EOF\n");
    std::fs::write(&file, &text).unwrap();
    let (mut out, mut notes) = (Vec::new(), Vec::new());
    let mut run = |bytes_max| {
        let spill = spill::Spill::new(&data).unwrap();
        let mut progress = Progress::new(&mut notes, "read", 0);
        let source = openmetrics::read(&[&file], &spill.fs, bytes_max, &mut progress).unwrap();
        out.clear();
        let count = source.parts.len();
        let both: (&mut dyn Write, &mut dyn Write) = (&mut out, &mut Vec::new());
        import(&source.parts, &source.origin, &args(&data, &[]), both).unwrap();
        (count, String::from_utf8(out.clone()).unwrap())
    };
    let (parts, said) = run(30_000);
    assert!(parts > 1, "nothing was put aside");
    assert!(said.starts_with("imported 3000 samples"), "{said}");
    let (_, said) = run(1 << 20);
    assert!(said.starts_with("imported 0 samples"), "the same text again: {said}");
    assert!(!Path::new(&data).join(spill::FOLDER).exists());
    for series in 0..10u32 {
        let mut want: Vec<(i64, f64)> = (series..3000)
            .step_by(10)
            .map(|turn| (i64::from(turn * 1237 % 3000) * 15_000 + 1_700_000_000_000, turn.into()))
            .collect();
        want.sort_by_key(|&(at, _)| at);
        assert_eq!(samples(&data, &series.to_string()), want);
    }
}

#[test]
fn what_is_wrong_with_a_text_is_said_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("text").display().to_string();
    let data = folder.path().join("data").display().to_string();
    for (text, reason) in [
        ("a 1 1\n", "ends without # EOF"),
        ("a 1 1\na 2\n# EOF\n", "line 2: a sample without a timestamp"),
        ("a 1 1\na{ 2 3\n# EOF\n", "line 2: "),
        ("# EOF\na 1 1\n", "line 2: something behind # EOF"),
        ("# EOF\n", "no samples"),
    ] {
        std::fs::write(&file, text).unwrap();
        let words = ["openmetrics", &file, "--storage.tsdb.path", &data];
        let outcome = run(&words, &mut Vec::new(), &mut Vec::new());
        let said = outcome.unwrap_err();
        assert!(said.contains(reason), "{text}: {said}");
    }
}

#[test]
fn samples_of_the_store_are_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("text").display().to_string();
    let data = folder.path().join("data").display().to_string();
    let import = |text: &str, more: &[&str]| {
        std::fs::write(&file, text).unwrap();
        let mut words = vec!["openmetrics", &file, "--storage.tsdb.path", &data];
        words.extend(more);
        let mut out = Vec::new();
        run(&words, &mut out, &mut Vec::new()).map(|()| String::from_utf8(out).unwrap())
    };
    import("a{s=\"1\"} 1 1000\na{s=\"1\"} 2 2000\n# EOF\n", &[]).unwrap();
    let more = "a{s=\"1\"} 8 500\na{s=\"1\"} 9 1500\n# EOF\n";
    let said = import(more, &[]).unwrap_err();
    assert!(said.contains("samples of its own from 1970-01-01T00:16:40.000Z"), "{said}");
    assert!(said.contains("--max-time"), "{said}");
    let said = import(more, &["--max-time", "900"]).unwrap();
    assert!(said.starts_with("imported 1 samples"), "{said}");
    let want = [(500_000, 8.0), (1_000_000, 1.0), (2_000_000, 2.0)];
    assert_eq!(samples(&data, "1"), want);
}
