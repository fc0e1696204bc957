//! A real Prometheus as the receiver: it takes every sample, from patched requests of several
//! targets too.

#![expect(clippy::unwrap_used, reason = "a test fails where it must")]

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use narthex_config::Config;
use narthex_model::histogram::{Bar, CUSTOM_SCHEMA};
use narthex_model::{ABSENT, Histogram, Labels, Timestamp};
use narthex_net::dial::Tcp;
use narthex_remote::Manager;
use narthex_store::testing::{HandClock, memory_store};
use narthex_store::{LayoutRef, Part, Row, Writer};
use narthex_testkit::background::Background;
use narthex_testkit::process::{Process, free_port, wait_until};
use narthex_testkit::{http, peers};

const AT: i64 = 1_700_000_000_000;
const COLUMNS: u32 = 150;
const ROWS: u32 = 60;

fn layout(writer: &mut Writer, target: u32) -> LayoutRef {
    let source = writer.new_source();
    let layout = writer.new_layout(source).unwrap();
    for column in 0..COLUMNS {
        let (target, column) = (target.to_string(), column.to_string());
        let pairs = [("__name__", "m_total"), ("instance", &target), ("column", &column)];
        let series = writer.resolve(&Labels::from_pairs(pairs)).unwrap();
        writer.add_columns(layout, &[series]).unwrap();
    }
    layout
}

/// A Prometheus that takes both versions of the protocol, and its port; `None` when there is none
/// on this machine.
fn receiver(dir: &Path) -> Option<(Process, u16)> {
    let program = peers::find("prometheus")?;
    let port = free_port().unwrap();
    std::fs::write(dir.join("prometheus.yml"), "{}").unwrap();
    let mut command = Command::new(program);
    command.current_dir(dir).args(["--config.file=prometheus.yml", "--storage.tsdb.path=d"]);
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    command.args(["--web.enable-remote-write-receiver", "--enable-feature=native-histograms"]);
    for message in ["prometheus.WriteRequest", "io.prometheus.write.v2.Request"] {
        command.arg(format!("--web.remote-write-receiver.accepted-protobuf-messages={message}"));
    }
    let process = Process::start(&mut command, &dir.join("log")).unwrap();
    let ready = || http::get(port, "/-/ready").is_ok_and(|answer| answer.status == 200);
    assert!(wait_until(Duration::from_secs(30), ready));
    Some((process, port))
}

#[test]
fn prometheus_takes_what_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let Some((process, port)) = receiver(dir.path()) else { return };
    let (store, mut writer) = memory_store();
    let layouts: Vec<_> = (0..5).map(|target| layout(&mut writer, target)).collect();
    let clock = Arc::new(HandClock::new(Timestamp(AT)));
    let background = Background::start().unwrap();
    let manager = Manager::new(store, clock, Arc::new(Tcp), "/", None);
    let text = format!(
        "remote_write:\n- url: http://127.0.0.1:{port}/api/v1/write\n  queue_config:\n    \
         batch_send_deadline: 50ms\n    max_samples_per_send: 500\n"
    );
    let sections = Config::parse(&text, "test.yml").unwrap().remote_write;
    background.run(async { manager.apply(&sections, &Labels::empty()) }).unwrap();
    for row in 0..ROWS {
        let at = Timestamp(AT + i64::from(row) * 1000);
        for &layout in &layouts {
            let mut values: Vec<f64> = (0..COLUMNS).map(|c| f64::from(c * 1000 + row)).collect();
            if row % 20 == 19 {
                values[7] = ABSENT;
            }
            writer.append(&Row { layout, at, values: &values, changed: None }).unwrap();
        }
    }
    background.run(manager.stop(Duration::from_secs(20)));
    let end = Some(AT + 1000 * i64::from(ROWS));
    let value = |query: &str| {
        http::query(port, query, end).first().map(|result| result["value"][1].clone())
    };
    let want = 5 * COLUMNS * ROWS - 5 * 3;
    assert_eq!(value("sum(count_over_time(m_total[1h]))").unwrap(), want.to_string());
    // The last value of each: the column's number in thousands, and the last row.
    let sum: u32 = (0..COLUMNS).map(|column| column * 1000 + ROWS - 1).sum();
    assert_eq!(
        value("sum(last_over_time(m_total{instance='3'}[1h]))").unwrap(),
        (sum - 1).to_string()
    );
    process.kill();
}

/// The columns and values of histograms by name.
fn columns(named: &[(&str, Histogram)]) -> Vec<(Labels, f64)> {
    let mut columns = Vec::new();
    for (name, histogram) in named {
        let whole = Labels::from_pairs([("__name__", *name), ("job", "j")]);
        narthex_store::histogram::parts(histogram, true, |part: Part, value| {
            columns.push((part.labels(&whole), value));
        });
    }
    columns
}

fn histograms() -> (Histogram, Histogram) {
    let bar = |index, count| Bar { index, count };
    let exponential = Histogram {
        schema: 1,
        zero_threshold: 0.25,
        zero_count: 2.0,
        count: 12.0,
        sum: 1.5,
        positive: vec![bar(-1, 4.0), bar(0, 1.0), bar(5, 2.0)],
        negative: vec![bar(0, 3.0)],
        ..Histogram::default()
    };
    let custom = Histogram {
        schema: CUSTOM_SCHEMA,
        count: 3.0,
        sum: 7.0,
        positive: vec![bar(0, 1.0), bar(1, 2.0)],
        bounds: Arc::from([2.5, 5.0]),
        ..Histogram::default()
    };
    (exponential, custom)
}

#[test]
fn prometheus_takes_native_histograms() {
    let dir = tempfile::tempdir().unwrap();
    let Some((process, port)) = receiver(dir.path()) else { return };
    let (store, mut writer) = memory_store();
    let clock = Arc::new(HandClock::new(Timestamp(AT)));
    let background = Background::start().unwrap();
    let manager = Manager::new(store, clock, Arc::new(Tcp), "/", None);
    let mut text = String::from("remote_write:\n");
    for (via, message) in
        [("one", "prometheus.WriteRequest"), ("two", "io.prometheus.write.v2.Request")]
    {
        let _ = write!(
            text,
            "- url: http://127.0.0.1:{port}/api/v1/write\n  name: {via}\n  \
             protobuf_message: {message}\n  send_native_histograms: true\n  \
             write_relabel_configs: [{{target_label: via, replacement: {via}}}]\n  \
             queue_config: {{batch_send_deadline: 50ms}}\n"
        );
    }
    let sections = Config::parse(&text, "test.yml").unwrap().remote_write;
    background.run(async { manager.apply(&sections, &Labels::empty()) }).unwrap();

    let (exponential, custom) = histograms();
    let columns = columns(&[("exponential", exponential), ("custom", custom)]);
    let source = writer.new_source();
    let layout = writer.new_layout(source).unwrap();
    for (labels, _) in &columns {
        let series = writer.resolve(labels).unwrap();
        writer.add_columns(layout, &[series]).unwrap();
    }
    let values: Vec<f64> = columns.iter().map(|&(_, value)| value).collect();
    for row in 0..5 {
        let at = Timestamp(AT + row * 1000);
        writer.append(&Row { layout, at, values: &values, changed: None }).unwrap();
    }
    background.run(manager.stop(Duration::from_secs(20)));

    let ask = |query: &str| http::query(port, query, Some(AT + 4000));
    let all = ask("{__name__=~\"exponential|custom\"}");
    let of = |name: &str, via: &str| {
        let is = |it: &&serde_json::Value| {
            it["metric"]["__name__"] == name && it["metric"]["via"] == via
        };
        all.iter().find(is).map(|it| it["histogram"][1].clone())
    };
    let expected = serde_json::json!({"count": "12", "sum": "1.5", "buckets": [
        [1, "-1", "-0.7071067811865475", "3"],
        [3, "-0.25", "0.25", "2"],
        [0, "0.5", "0.7071067811865475", "4"],
        [0, "0.7071067811865475", "1", "1"],
        [0, "4", "5.65685424949238", "2"],
    ]});
    assert_eq!(of("exponential", "one").unwrap(), expected);
    assert_eq!(of("exponential", "two").unwrap(), expected);
    assert_eq!(of("custom", "one"), None);
    assert_eq!(of("custom", "two").unwrap()["count"], "3", "{all:?}");
    let counted = ask("sum(count_over_time(exponential[1m]))");
    assert_eq!(counted[0]["value"][1], "10");
    process.kill();
}
