//! The real binary, asked what would bring a server down.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]
#![expect(clippy::disallowed_methods, reason = "time is measured, and goes by")]

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use narthex_testkit::http::{Answer, ask, encode, get};
use narthex_testkit::process::{Process, free_port, wait_until};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(30);
/// Peak of resident memory; a build without optimisation maps some 60 MiB of program more.
const MEMORY_BYTES_MAX: u64 = if cfg!(debug_assertions) { 192 << 20 } else { 128 << 20 };
/// A build without optimisation is an order of magnitude slower.
const ANSWER_TIME_MAX: Duration =
    if cfg!(debug_assertions) { Duration::from_secs(10) } else { Duration::from_secs(1) };

/// Starts the program with `config` in `dir`.
fn start(dir: &Path, config: impl Fn(u16) -> String) -> (Process, u16) {
    let port = free_port().unwrap();
    std::fs::write(dir.join("prometheus.yml"), config(port)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_narthex"));
    command.current_dir(dir).args([
        "--config.file=prometheus.yml".to_owned(),
        format!("--web.listen-address=127.0.0.1:{port}"),
    ]);
    let process = Process::start(&mut command, &dir.join("log")).unwrap();
    let ready = || get(port, "/-/ready").is_ok_and(|answer| answer.status == 200);
    assert!(wait_until(PATIENCE, ready));
    (process, port)
}

fn scrape_itself(port: u16, jobs: usize) -> String {
    let mut text =
        "global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n".to_owned();
    for job in 0..jobs {
        let target = format!("static_configs: [{{targets: ['127.0.0.1:{port}']}}]");
        let _ = writeln!(text, "- job_name: own{job}\n  {target}");
    }
    text
}

fn post(port: u16, path: &str, fields: &[(&str, &str)]) -> Answer {
    let fields: Vec<_> = fields.iter().map(|(k, v)| format!("{k}={}", encode(v))).collect();
    let kind = "Content-Type: application/x-www-form-urlencoded\r\n";
    ask(port, "POST", path, kind, fields.join("&").as_bytes()).unwrap()
}

/// Patterns that blow up where a program takes them as they are.
fn regex_bombs() -> Vec<String> {
    let words: Vec<_> = (0..100_000).map(|n| format!("w{n}")).collect();
    let some: Vec<_> = (0..5_000).map(|n| format!("w{n}.*")).collect();
    vec![
        words.join("|"),
        some.join("|"),
        "(((a{1000}){1000}){1000}){1000}".to_owned(),
        "((a{100}){100})".to_owned(),
        "x{1000}".repeat(60),
        format!("{}a{}", "(".repeat(50_000), ")".repeat(50_000)),
        format!("{}a{}", "(".repeat(90), ")*".repeat(90)),
        "\\\\pL{1000}".to_owned(),
        "(\\\\pL|\\\\PN|.){500}".to_owned(),
        "[\\\\pL\\\\pN]{100}".repeat(100),
        "(?i)\u{3b1}{900}".repeat(50),
        ".*".repeat(20_000) + "x",
        "(.*)*".repeat(2_000),
        "(a|aa)+$".repeat(1_000),
        "(?:a?){500}(?:a){500}".to_owned(),
    ]
}

fn bombs() -> Vec<String> {
    let mut all = vec![
        "quantile_over_time(0.5, vector(1)[10d:10ms])".to_owned(),
        "(".repeat(100_000),
        "(".repeat(100_000) + "1" + &")".repeat(100_000),
        "1+".repeat(50_000) + "1",
        "-".repeat(60_000) + "1",
        "up or ".repeat(9_000) + "up",
        "abs(".repeat(15_000) + "up",
        "count_over_time(vector(1)[1000000s:1s])".to_owned(),
        "count_over_time(up[1000000s:1s])".to_owned(),
        "sum_over_time(vector(1)[100y:1ms])".to_owned(),
        "max_over_time(max_over_time(max_over_time(up[1d:1s])[1d:1s])[1d:1s])".to_owned(),
        "label_replace(up, \"x\", \"$1\", \"job\", \"(a{1000}){1000}\")".to_owned(),
        "count_values(\"v\", {__name__=~\".+\"})".to_owned(),
        format!("label_join(up, \"x\", \",\"{})", ", \"job\"".repeat(7_000)),
        "\u{1f600}".repeat(10_000),
    ];
    all.extend(regex_bombs().iter().map(|bomb| format!("{{job=~\"{bomb}\"}}")));
    all.extend(regex_bombs().iter().map(|bomb| format!("{{__name__!=\"\",job!~\"{bomb}\"}}")));
    all
}

#[test]
fn each_bomb_is_refused_or_answered_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (mut process, port) = start(dir.path(), |port| scrape_itself(port, 1));
    let end = "1000000000";
    for bomb in bombs() {
        let shown: String = bomb.chars().take(60).collect();
        let instant = [("query", bomb.as_str())];
        let range = [("query", bomb.as_str()), ("start", "0"), ("end", end), ("step", "1000")];
        let wide = [("query", bomb.as_str()), ("start", "0"), ("end", "10999"), ("step", "1")];
        let of = |answer: &Answer| format!("{} {:.200}", answer.status, answer.text());
        for (path, fields) in [
            ("/api/v1/query", &instant[..]),
            ("/api/v1/query_range", &range),
            ("/api/v1/query_range", &wide),
            ("/api/v1/series", &[("match[]", bomb.as_str())]),
            ("/api/v1/parse_query", &instant),
            ("/api/v1/format_query", &instant),
        ] {
            let began = Instant::now();
            let answer = post(port, path, fields);
            let took = began.elapsed();
            assert!(process.ended().is_none(), "{shown}: the program has ended");
            assert!(took < ANSWER_TIME_MAX, "{path} {shown}: {took:?}, {}", of(&answer));
            assert!(answer.status < 500, "{path} {shown}: {}", of(&answer));
            let memory = process.usage().unwrap().rss_peak_bytes;
            assert!(memory < MEMORY_BYTES_MAX, "{path} {shown}: {memory} bytes");
        }
    }
    // Prometheus' own limit of steps.
    let range = [("query", "up"), ("start", "0"), ("end", end), ("step", "1000")];
    assert_eq!(post(port, "/api/v1/query_range", &range).status, 400);
    assert_eq!(get(port, "/api/v1/query?query=up").unwrap().status, 200);
}

/// Twenty clients that ask something heavy again and again until dropped.
struct Crowd {
    stop: std::sync::Arc<std::sync::atomic::AtomicBool>,
    threads: Vec<std::thread::JoinHandle<usize>>,
}

impl Crowd {
    fn start(port: u16) -> Self {
        // Half of them only compute, half of them read all there is.
        const QUERIES: [&str; 2] = [
            "quantile_over_time(0.9, (time() % 97)[1h:1s])",
            "count(last_over_time({__name__=~\".+\"}[20m:100ms]))",
        ];
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let ask = |number: usize| {
            let stop = std::sync::Arc::clone(&stop);
            std::thread::spawn(move || {
                let mut asked = 0;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
                    let (start, end) = (now.as_secs() - 10_000, now.as_secs());
                    let query = QUERIES[number % 2];
                    let (start, end) = (start.to_string(), end.to_string());
                    let times = [("start", start.as_str()), ("end", &end), ("step", "1")];
                    let every = if number.is_multiple_of(2) { times[2] } else { ("step", "1000") };
                    let fields = [("query", query), ("timeout", "20s"), times[0], times[1], every];
                    post(port, "/api/v1/query_range", &fields);
                    asked += 1;
                }
                asked
            })
        };
        let threads = (0..20).map(ask).collect();
        Self { stop, threads }
    }

    fn end(self) -> usize {
        self.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        self.threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    }
}

/// The times of the scrapes of the last `seconds`, by job.
fn scrapes(port: u16, seconds: u64) -> Vec<Vec<f64>> {
    let path = format!("/api/v1/query?query={}", encode(&format!("up[{seconds}s]")));
    let answer = get(port, &path).unwrap().json();
    let series = answer["data"]["result"].as_array().cloned().unwrap_or_default();
    let times = |series: &Value| {
        let values = series["values"].as_array().cloned().unwrap_or_default();
        values.iter().filter_map(|pair| pair[0].as_f64()).collect()
    };
    series.iter().map(times).collect()
}

#[test]
fn twenty_heavy_queries_do_not_delay_a_scrape() {
    let dir = tempfile::tempdir().unwrap();
    let (process, port) = start(dir.path(), |port| scrape_itself(port, 4));
    assert!(wait_until(PATIENCE, || scrapes(port, 10).iter().all(|times| times.len() >= 3)));
    let crowd = Crowd::start(port);
    let cpu = process.usage().unwrap().cpu_seconds;
    std::thread::sleep(Duration::from_secs(12));
    let used = process.usage().unwrap().cpu_seconds - cpu;
    let asked = crowd.end();
    let all = scrapes(port, 11);
    assert_eq!(all.len(), 4);
    let mut worst = 0.0_f64;
    for times in &all {
        assert!(times.len() >= 10, "{times:?}");
        // A target's scrapes are due at whole intervals after each other.
        let late = |at: &f64| (at - times[0]) - (at - times[0]).round();
        let earliest = times.iter().map(late).fold(f64::INFINITY, f64::min);
        worst = times.iter().map(|at| late(at) - earliest).fold(worst, f64::max);
    }
    eprintln!("{asked} queries took {used:.1} s of CPU; a scrape was {worst:.3} s late at most");
    assert!(used > 3.0, "the queries were not heavy: {used} s");
    assert!(worst < 0.1, "a scrape was {worst} s late");
}
