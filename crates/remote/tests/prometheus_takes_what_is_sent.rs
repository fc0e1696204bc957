//! A real Prometheus as the receiver: it takes every sample, from patched requests of several
//! targets too.

#![expect(clippy::unwrap_used, reason = "a test fails where it must")]

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use narthex_config::Config;
use narthex_model::{ABSENT, Labels, Timestamp};
use narthex_net::dial::Tcp;
use narthex_remote::Manager;
use narthex_store::testing::{HandClock, memory_store};
use narthex_store::{LayoutRef, Row, Writer};
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

#[test]
fn prometheus_takes_what_is_sent() {
    let Some(program) = peers::find("prometheus") else { return };
    let dir = tempfile::tempdir().unwrap();
    let port = free_port().unwrap();
    std::fs::write(dir.path().join("prometheus.yml"), "{}").unwrap();
    let mut command = Command::new(program);
    command.current_dir(dir.path()).args(["--config.file=prometheus.yml", "--storage.tsdb.path=d"]);
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    command.arg("--web.enable-remote-write-receiver");
    let process = Process::start(&mut command, &dir.path().join("log")).unwrap();
    let ready = || http::get(port, "/-/ready").is_ok_and(|answer| answer.status == 200);
    assert!(wait_until(Duration::from_secs(30), ready));

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
