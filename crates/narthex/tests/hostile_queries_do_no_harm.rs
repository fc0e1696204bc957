//! The real binary, asked what would bring a server down.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]
#![expect(clippy::disallowed_methods, reason = "time is measured, and goes by")]

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use narthex_testkit::http::{Answer, ask, encode, get};
use narthex_testkit::process::{Process, Server, wait_until};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(30);
/// Peak of resident memory; a build without optimisation maps some 60 MiB of program more.
const MEMORY_BYTES_MAX: u64 = if cfg!(debug_assertions) { 192 << 20 } else { 128 << 20 };
/// A build without optimisation is an order of magnitude slower.
const ANSWER_TIME_MAX: Duration =
    if cfg!(debug_assertions) { Duration::from_secs(10) } else { Duration::from_secs(1) };

/// Starts the program with `config` in `dir`.
fn start(dir: &Path, config: impl Fn(u16) -> String) -> (Process, u16) {
    let program = Path::new(env!("CARGO_BIN_EXE_narthex"));
    let Server { process, port } = Server::start(program, dir, &[], config).unwrap();
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
    let answer = ask(port, "POST", path, kind, fields.join("&").as_bytes());
    answer.unwrap_or_else(|error| panic!("{path} {:.200}: {error}", fields.join("&")))
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

/// All series there are.
const ALL: &str = "{__name__=~\".+\"}";

/// `inner` within so many times `open` and `close`.
fn nested(times: usize, open: &str, inner: &str, close: &str) -> String {
    format!("{}{inner}{}", open.repeat(times), close.repeat(times))
}

/// What makes many samples or labels out of few.
fn growths() -> Vec<String> {
    let double = format!(", \"job\", \"{}\", \"job\", \"(.*)\")", "$1".repeat(50));
    let join = ", \"job\", \"xxxxxxxxxx\", \"job\", \"job\")";
    let long = "a".repeat(30_000);
    let all = ALL;
    vec![
        all.to_owned(),
        format!("{all} @ start()"),
        format!("{all} offset -5m"),
        format!("last_over_time({all}[5m])"),
        format!("sum_over_time({all}[11000s:1s])"),
        format!("quantile_over_time(0.5, {all}[1h:1s])"),
        format!("rate({all}[1h])"),
        format!("sort({all})"),
        format!("topk(1e9, {all})"),
        format!("quantile by (__name__, le, handler) (0.5, {all})"),
        format!("stddev without (job) ({all})"),
        format!("count_values without () (\"v\", {all} * time())"),
        "count_values(\"v\", vector(time() % 5500))".to_owned(),
        format!("count_values(\"v\", (rate({all}[1h:1s]) + time()))"),
        format!("histogram_quantile(0.5, {all})"),
        format!("histogram_quantile(0.5, label_replace({all}, \"le\", \"1\", \"\", \"\"))"),
        format!("histogram_fraction(0, 1, {all})"),
        format!("histogram_avg({all}) or histogram_stddev({all}) or histogram_sum({all})"),
        format!("label_replace({all}, \"x\", \"{}\", \"job\", \"(.*)\")", "$1".repeat(20_000)),
        nested(12, "label_replace(", "up", &double),
        nested(12, "label_replace(", all, &double),
        nested(60, "label_join(", "up", join),
        nested(60, "label_join(", all, join),
        format!("{all} * on (job) group_left (instance) up"),
        format!("{all} * on (job) group_left (x) label_replace(up, \"x\", \"{long}\", \"\", \"\")"),
        format!("{all} * ignoring (__name__, le) group_left up"),
        format!("up * on () group_right () {all}"),
        format!("{all} and on () {all} unless on (job) {all}"),
        format!("({all} + 1) / ({all} + 2) * ({all} - 1)"),
        format!("absent_over_time({all}[1h:1s])"),
        vec![all; 200].join(" or "),
        vec![all; 60].join(" + on (__name__, instance, job, le, handler, slice, quantile) "),
    ]
}

/// What is long, deep or out of bounds.
fn monsters() -> Vec<String> {
    let list = |count: usize, item: &dyn Fn(usize) -> String| {
        (0..count).map(item).collect::<Vec<_>>().join(",")
    };
    let ats: Vec<_> = (0..500).map(|n| format!("count({ALL} @ {n})")).collect();
    let seconds = "count_over_time(vector(1)[1h:1s])";
    vec![
        format!("up{{{}}}", list(2_000, &|n| format!("job!~\"a{n}.*b[{n}]+c?\""))),
        ats.join(" + "),
        nested(40, "max_over_time(", "up", "[1h:1m])"),
        nested(100, "(", "up", ")[1h:1m]"),
        nested(3, "max_over_time(", "vector(1)", "[1d:1s])"),
        nested(6, "sum_over_time(", "vector(1)", "[1d:1m])"),
        format!("min_over_time({seconds}[1h:1s])"),
        "up[1h - 59m + 2 ^ 40 * 1s]".to_owned(),
        format!("up[{}1s]", "1s * ".repeat(5_000)),
        format!("up[{}1s]", "step() * ".repeat(5_000)),
        format!("up offset ({}1s{})", "(".repeat(5_000), ")".repeat(5_000)),
        format!("up offset {}1s", "-".repeat(60_000)),
        "sum_over_time(up[9223372036854775807s])".to_owned(),
        "up[1000y:1ms] offset 1000y".to_owned(),
        "predict_linear(up[1h:1s], 1e308) ^ 1e308".to_owned(),
        format!("absent({{{}}})", list(3_000, &|n| format!("l{n}=\"v\""))),
        format!("sum by ({}) (up)", list(10_000, &|n| format!("l{n}"))),
        nested(100, "sum(", ALL, ")"),
        nested(100, "-", ALL, ""),
        format!("sum by (job) ({})", vec!["up"; 3_000].join(" + ")),
        nested(60_000, "", "\"x\"", "\""),
        "1e".repeat(30_000),
        format!("0x{}", "f".repeat(60_000)),
        format!("up # {}", "c".repeat(60_000)),
        nested(60, "scalar(vector(", "up", "))"),
    ]
}

/// Asks `path` and checks what any bomb must keep to.
fn ask_bomb(process: &mut Process, port: u16, path: &str, fields: &[(&str, &str)]) -> Answer {
    let shown: String = fields.first().map_or("", |field| field.1).chars().take(80).collect();
    let (began, cpu) = (Instant::now(), process.usage().unwrap().cpu_seconds);
    let answer = post(port, path, fields);
    // On a machine that has other work, too, the process' own time counts.
    let cpu = process.usage().map_or(0.0, |usage| usage.cpu_seconds - cpu);
    let took = began.elapsed().min(Duration::from_secs_f64(cpu.max(0.0)));
    let of = |answer: &Answer| format!("{} {:.200}", answer.status, answer.text());
    assert!(process.ended().is_none(), "{path} {shown}: the program has ended");
    let memory = process.usage().unwrap().rss_peak_bytes;
    assert!(took < ANSWER_TIME_MAX, "{path} {shown}: {took:?}, {}", of(&answer));
    let in_time = answer.status == 503 && answer.text().contains("\"timeout\"");
    assert!(answer.status < 500 || in_time, "{path} {shown}: {}", of(&answer));
    assert!(memory < MEMORY_BYTES_MAX, "{path} {shown}: {memory} bytes");
    answer
}

#[test]
fn what_grows_while_it_is_computed_is_refused_or_answered_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (mut process, port) = start(dir.path(), |port| scrape_itself(port, 3));
    assert!(wait_until(PATIENCE, || scrapes(port, 10).len() == 3));
    for query in growths().into_iter().chain(monsters()) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let (start, end) = ((now - 5_500).to_string(), (now + 5_499).to_string());
        // What only takes time is stopped in time.
        let at = [("query", query.as_str()), ("timeout", "800ms")];
        let range = [&at[..], &[("start", &start), ("end", &end), ("step", "1")]].concat();
        for (path, fields) in [
            ("/api/v1/query", &at[..]),
            ("/api/v1/query_range", &range),
            ("/api/v1/parse_query", &at),
            ("/api/v1/format_query", &at),
        ] {
            ask_bomb(&mut process, port, path, fields);
        }
    }
    let selectors: Vec<_> = (0..9_990).map(|n| format!("{{__name__!=\"a{n}\"}}")).collect();
    let many: Vec<_> = selectors.iter().map(|text| ("match[]", text.as_str())).collect();
    let same = vec![("match[]", "{__name__=~\".+\"}"); 9_990];
    for fields in [&many[..], &same] {
        for path in ["/api/v1/series", "/api/v1/labels"] {
            ask_bomb(&mut process, port, path, fields);
        }
    }
    assert_eq!(get(port, "/api/v1/query?query=up").unwrap().status, 200);
}

#[test]
fn each_bomb_is_refused_or_answered_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (mut process, port) = start(dir.path(), |port| scrape_itself(port, 1));
    let end = "1000000000";
    for bomb in bombs() {
        let instant = [("query", bomb.as_str())];
        let range = [("query", bomb.as_str()), ("start", "0"), ("end", end), ("step", "1000")];
        let wide = [("query", bomb.as_str()), ("start", "0"), ("end", "10999"), ("step", "1")];
        for (path, fields) in [
            ("/api/v1/query", &instant[..]),
            ("/api/v1/query_range", &range),
            ("/api/v1/query_range", &wide),
            ("/api/v1/series", &[("match[]", bomb.as_str())]),
            ("/api/v1/parse_query", &instant),
            ("/api/v1/format_query", &instant),
        ] {
            ask_bomb(&mut process, port, path, fields);
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
    let memory = process.usage().unwrap().rss_peak_bytes;
    assert!(memory < MEMORY_BYTES_MAX, "{memory} bytes");
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
