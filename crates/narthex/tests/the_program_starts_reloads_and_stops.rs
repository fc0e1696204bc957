//! The real binary, started as a user starts it.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use narthex_testkit::http::{ask, get, query};
use narthex_testkit::process::{Process, free_port, wait_until};

const PATIENCE: Duration = Duration::from_secs(30);

struct Server {
    process: Process,
    port: u16,
}

/// Starts the program in `dir`, on a port of its own.
fn start(dir: &Path, flags: &[&str]) -> Server {
    let port = free_port().unwrap();
    let process = launch(dir, port, flags);
    let ready = || get(port, "/-/ready").is_ok_and(|answer| answer.status == 200);
    assert!(wait_until(PATIENCE, ready), "{}", log(dir));
    Server { process, port }
}

fn launch(dir: &Path, port: u16, flags: &[&str]) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_narthex"));
    command.current_dir(dir).arg(format!("--web.listen-address=127.0.0.1:{port}")).args(flags);
    Process::start(&mut command, &dir.join("log")).unwrap()
}

fn log(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("log")).unwrap_or_default()
}

/// The value of a line of `/metrics` without labels.
fn metric(port: u16, name: &str) -> Option<f64> {
    let text = get(port, "/metrics").unwrap().text();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")))?;
    line.parse().ok()
}

#[test]
fn without_a_configuration_it_watches_itself() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path(), &["--web.enable-lifecycle"]);
    let port = server.port;
    let up = || {
        let result = query(port, "up{job=\"narthex\"}", None);
        result.len() == 1 && result[0]["value"][1] == "1"
    };
    assert!(wait_until(PATIENCE, up), "{}", log(dir.path()));
    assert!(dir.path().join("data").is_dir());
    let targets = get(port, "/api/v1/targets?state=active").unwrap().json();
    let target = &targets["data"]["activeTargets"][0];
    assert_eq!(target["health"], "up", "{targets}");
    assert_eq!(target["scrapePool"], "narthex");
    assert_eq!(target["scrapeUrl"], format!("http://127.0.0.1:{port}/metrics"));
    let flags = get(port, "/api/v1/status/flags").unwrap().json();
    assert_eq!(flags["data"]["web.enable-lifecycle"], "true");
    assert_eq!(flags["data"]["storage.tsdb.retention.time"], "30d");
    let names = get(port, "/api/v1/label/__name__/values").unwrap().json();
    let names = names["data"].as_array().unwrap();
    assert!(names.iter().any(|name| name == "prometheus_build_info"), "{names:?}");
    let form = b"query=count(up)&time=0";
    let kind = "Content-Type: application/x-www-form-urlencoded\r\n";
    let old = ask(port, "POST", "/api/v1/query", kind, form).unwrap().json();
    assert_eq!(old["data"]["result"], serde_json::json!([]), "{old}");
    let url = format!("http://127.0.0.1:{port}");
    let ctl = |args: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_narthex")).arg("ctl").args(args).output().unwrap()
    };
    assert!(ctl(&["healthy", "--url", &url]).status.success());
    assert_eq!(server.process.terminate(PATIENCE), Some(0), "{}", log(dir.path()));
    assert!(!ctl(&["healthy", "--url", &url]).status.success());
}

#[test]
fn what_was_scraped_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let first = start(dir.path(), &[]);
    let count = |port| query(port, "count_over_time(up[1h])", None).len();
    assert!(wait_until(PATIENCE, || count(first.port) == 1), "{}", log(dir.path()));
    let at_ms = query(first.port, "timestamp(up)", None)[0]["value"][1].as_str().unwrap().parse();
    let at_ms: f64 = at_ms.unwrap();
    first.process.kill();
    let second = start(dir.path(), &[]);
    #[expect(clippy::cast_possible_truncation, reason = "a time in milliseconds")]
    let found = query(second.port, "up", Some((at_ms * 1000.0) as i64));
    assert_eq!(found.len(), 1, "{}", log(dir.path()));
}

#[test]
fn a_bad_configuration_ends_it_before_anything_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("bad.yml"), "global:\n  scrape_intervall: 5s\n").unwrap();
    let port = free_port().unwrap();
    let mut process = launch(dir.path(), port, &["--config.file=bad.yml"]);
    let mut code = None;
    assert!(wait_until(PATIENCE, || {
        code = process.ended();
        code.is_some()
    }));
    assert_eq!(code, Some(Some(1)));
    let log = log(dir.path());
    assert!(log.contains("bad.yml") && log.contains("scrape_intervall"), "{log}");
    assert!(!dir.path().join("data").exists());
}

#[test]
fn a_missing_configuration_file_ends_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut process = launch(dir.path(), free_port().unwrap(), &["--config.file=none.yml"]);
    let mut code = None;
    assert!(wait_until(PATIENCE, || {
        code = process.ended();
        code.is_some()
    }));
    assert_eq!(code, Some(Some(1)));
    assert!(log(dir.path()).contains("open none.yml: no such file or directory"));
}

#[test]
fn a_bad_reload_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("prometheus.yml");
    let write = |job: &str| {
        let text = format!(
            "scrape_configs:\n- job_name: {job}\n  scrape_interval: 1s\n  static_configs:\n  \
             - targets: ['127.0.0.1:1']\n"
        );
        std::fs::write(&file, text).unwrap();
    };
    write("first");
    let server = start(dir.path(), &["--web.enable-lifecycle"]);
    let port = server.port;
    let pools = || get(port, "/api/v1/scrape_pools").unwrap().text();
    assert!(pools().contains("[\"first\"]"));
    let successful = || metric(port, "prometheus_config_last_reload_successful");
    assert_eq!(successful(), Some(1.0));

    std::fs::write(&file, "scrape_configs:\n- job_name: x\n  metric_path: /\n").unwrap();
    let refused = ask(port, "POST", "/-/reload", "", b"").unwrap();
    assert_eq!(refused.status, 500);
    assert!(refused.text().contains("metric_path"), "{}", refused.text());
    assert_eq!(successful(), Some(0.0));
    assert!(pools().contains("[\"first\"]"));

    write("second");
    assert_eq!(ask(port, "POST", "/-/reload", "", b"").unwrap().status, 200);
    assert_eq!(successful(), Some(1.0));
    assert!(pools().contains("[\"second\"]"));
    let yaml = get(port, "/api/v1/status/config").unwrap().json();
    assert!(yaml["data"]["yaml"].as_str().unwrap().contains("job_name: second"), "{yaml}");

    write("third");
    server.process.signal("HUP");
    assert!(wait_until(PATIENCE, || pools().contains("[\"third\"]")), "{}", log(dir.path()));

    assert_eq!(ask(port, "PUT", "/-/quit", "", b"").unwrap().status, 200);
    let mut process = server.process;
    assert!(wait_until(PATIENCE, || process.ended() == Some(Some(0))), "{}", log(dir.path()));
}

#[test]
fn an_administrator_deletes_and_copies() {
    let dir = tempfile::tempdir().unwrap();
    let config = "global: {scrape_interval: 1s}\nscrape_configs:\n- job_name: narthex\n  \
                  static_configs: [{targets: ['127.0.0.1:1']}]\n";
    std::fs::write(dir.path().join("prometheus.yml"), config).unwrap();
    let server = start(dir.path(), &["--web.enable-admin-api"]);
    let port = server.port;
    let up = || query(port, "count_over_time(up[1h])", None).len() == 1;
    assert!(wait_until(PATIENCE, up), "{}", log(dir.path()));
    let admin = |what: &str| {
        let answer = ask(port, "POST", &format!("/api/v1/admin/tsdb/{what}"), "", b"").unwrap();
        (answer.status, answer.text())
    };
    let error = |text: &str| {
        let text = text.replace('"', "\\\"");
        (400, format!("{{\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"{text}\"}}"))
    };
    assert_eq!(admin("delete_series"), error("no match[] parameter provided"));
    assert_eq!(
        admin("delete_series?match[]=up&start=x").1,
        error(
            "invalid parameter \"start\": invalid time value for 'start': cannot parse \"x\" to a \
             valid timestamp"
        )
        .1
    );
    assert_eq!(
        admin("snapshot?skip_head=maybe"),
        error(
            "invalid parameter \"skip_head\": unable to parse boolean: strconv.ParseBool: parsing \
             \"maybe\": invalid syntax"
        )
    );
    assert_eq!(admin("delete_series?match[]=scrape_duration_seconds"), (204, String::new()));
    assert_eq!(admin("clean_tombstones"), (204, String::new()));
    let (status, text) = admin("snapshot");
    assert_eq!(status, 200, "{text}");
    let name = text.split('"').nth(9).unwrap().to_owned();
    assert_eq!(text, format!("{{\"status\":\"success\",\"data\":{{\"name\":\"{name}\"}}}}"));
    // A time, and a random number.
    assert_eq!((name.len(), &name[8..9], &name[15..17]), (33, "T", "Z-"), "{name}");
    drop(server);
    std::fs::write(dir.path().join("prometheus.yml"), "{}\n").unwrap();
    let path =
        format!("--storage.tsdb.path={}", dir.path().join("data/snapshots").join(&name).display());
    let copy = start(dir.path(), &[path.as_str()]);
    assert_eq!(query(copy.port, "count_over_time(up[1h])", None).len(), 1);
    let off = ask(copy.port, "POST", "/api/v1/admin/tsdb/snapshot", "", b"").unwrap();
    assert_eq!(off.status, 500);
    assert!(off.text().contains("admin APIs disabled"));
}
