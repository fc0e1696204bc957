//! The real binary, with targets that would bring a server down. Each is refused, and seen to be;
//! memory stays bounded, and the other targets are scraped in time, all the while.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]
#![expect(clippy::disallowed_methods, reason = "time is measured, and goes by")]
#![expect(clippy::print_stdout, reason = "figures for who asks")]
#![expect(clippy::cast_precision_loss, reason = "the numbers are small")]

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use narthex_testkit::http::{encode, get};
use narthex_testkit::process::{Server, wait_until};
use parking_lot::Mutex;
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);
/// Peak of resident memory.
const MEMORY_BYTES_MAX: u64 = 256 << 20;
/// Targets that do nothing wrong, scraped once a second.
const GOOD: usize = 10;
/// How often each hostile target is scraped.
const ROUNDS: usize = 6;
/// How much later than a second after the one before a scrape may come. The hostile target and
/// the other tests take time of the machine as well.
const LATE_MAX: Duration =
    if cfg!(debug_assertions) { Duration::from_millis(2500) } else { Duration::from_millis(800) };

type Answer = dyn Fn(usize, &mut TcpStream) + Send + Sync;

/// A target on loopback; `answer` writes the whole answer to its `n`th request.
struct Target {
    port: u16,
    asked: Arc<Mutex<Vec<Instant>>>,
}

impl Target {
    fn start(answer: Arc<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked: Arc<Mutex<Vec<Instant>>> = Arc::default();
        let (times, count) = (Arc::clone(&asked), Arc::new(AtomicUsize::new(0)));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, times) = (Arc::clone(&answer), Arc::clone(&times));
                let count = Arc::clone(&count);
                std::thread::spawn(move || {
                    let mut stream = stream;
                    while request(&mut stream) {
                        times.lock().push(Instant::now());
                        answer(count.fetch_add(1, Ordering::Relaxed), &mut stream);
                    }
                });
            }
        });
        Self { port, asked }
    }
}

/// Reads a request without a body.
fn request(stream: &mut TcpStream) -> bool {
    let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
    while !seen.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(read) if read > 0 => seen.extend_from_slice(&buffer[..read]),
            _ => return false,
        }
    }
    true
}

/// Writes an answer; that the client hangs up is its right.
fn say(stream: &mut TcpStream, headers: &str, body: &[u8]) {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n{headers}\r\n");
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
}

fn say_whole(stream: &mut TcpStream, body: &[u8]) {
    say(stream, &format!("Content-Length: {}\r\n", body.len()), body);
}

/// Says `piece` again and again, in chunks, for `bytes` or until the client hangs up.
fn say_long(stream: &mut TcpStream, piece: &[u8], bytes: usize) {
    say(stream, "Transfer-Encoding: chunked\r\n", b"");
    let head = format!("{:x}\r\n", piece.len());
    for _ in 0..bytes / piece.len() {
        let parts = [head.as_bytes(), piece, b"\r\n"];
        if parts.iter().any(|part| stream.write_all(part).is_err()) {
            return;
        }
    }
    let _ = stream.write_all(b"0\r\n\r\n");
}

/// A million series, of new names at every scrape.
fn million(round: usize) -> Vec<u8> {
    let mut text = String::with_capacity(14_000_000);
    for series in 0..1_000_000 {
        let _ = writeln!(text, "r{round}_{series} 1");
    }
    text.into_bytes()
}

/// Zeros, or lines of a comment, that shrink a thousandfold.
fn gzip(piece: &[u8], bytes: usize) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..bytes / piece.len() {
        encoder.write_all(piece).unwrap();
    }
    encoder.finish().unwrap()
}

fn config(good: &[Target], hostile: &Target) -> String {
    let mut text =
        "global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n".to_owned();
    let ports: Vec<_> = good.iter().map(|it| format!("'127.0.0.1:{}'", it.port)).collect();
    let _ =
        writeln!(text, "- job_name: good\n  static_configs: [{{targets: [{}]}}]", ports.join(", "));
    // Long enough that even a whole body is sent in time.
    let target = format!("static_configs: [{{targets: ['127.0.0.1:{}']}}]", hostile.port);
    let _ = writeln!(
        text,
        "- job_name: hostile\n  scrape_interval: 2s\n  scrape_timeout: 2s\n  {target}"
    );
    text
}

/// The values of an instant query, by nothing.
fn values(port: u16, query: &str) -> Vec<f64> {
    let answer = get(port, &format!("/api/v1/query?query={}", encode(query))).unwrap();
    let json: Value = serde_json::from_str(&answer.text()).unwrap();
    let result = json["data"]["result"].as_array().unwrap();
    result.iter().map(|one| one["value"][1].as_str().unwrap().parse().unwrap()).collect()
}

/// Lets the program meet the target for some rounds, and looks at all that must hold.
fn meet(what: &str, metric: Option<&str>, hostile: Arc<Answer>) {
    let body = b"# TYPE good gauge\ngood{a=\"1\"} 1\ngood{a=\"2\"} 2\n";
    let good: Vec<_> =
        (0..GOOD).map(|_| Target::start(Arc::new(|_, stream| say_whole(stream, body)))).collect();
    let hostile = Target::start(hostile);
    let dir = tempfile::tempdir().unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_narthex"));
    let server = Server::start(program, dir.path(), &[], |_| config(&good, &hostile));
    let Server { mut process, port } = server.unwrap();
    let met = || hostile.asked.lock().len() > ROUNDS;
    assert!(wait_until(PATIENCE, met), "{what}: {} requests", hostile.asked.lock().len());
    assert!(process.ended().is_none(), "{what}: the program has ended");
    let usage = process.usage().unwrap();
    println!("{what}: peak {} MiB, {:.1} CPU s", usage.rss_peak_bytes >> 20, usage.cpu_seconds);
    assert!(usage.rss_peak_bytes <= MEMORY_BYTES_MAX, "{what}: {usage:?}");
    assert_eq!(values(port, "max(max_over_time(up{job=\"hostile\"}[1m]))"), [0.0], "{what}");
    assert_eq!(values(port, "count_over_time(up{job=\"hostile\"}[1m]) > 2").len(), 1, "{what}");
    let all_up = values(port, "min_over_time(up{job=\"good\"}[1m])");
    assert_eq!(all_up, [1.0; GOOD], "{what}");
    if let Some(metric) = metric {
        let page = get(port, "/metrics").unwrap().text();
        let counted = page.lines().any(|line| {
            let value = line.strip_prefix(metric).and_then(|rest| rest.trim().parse().ok());
            value.is_some_and(|value: f64| value > 0.0)
        });
        assert!(counted, "{what}: {metric} in {page}");
    }
    for target in &good {
        let asked = target.asked.lock();
        let worst = asked.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        assert!(worst < Duration::from_secs(1) + LATE_MAX, "{what}: {worst:?} between two");
        let span = *asked.last().unwrap() - asked[0];
        let due = span.as_secs_f64();
        assert!(asked.len() as f64 > due * 0.99 - 1.0, "{what}: {} in {due} s", asked.len());
    }
}

#[test]
fn a_million_series_are_refused() {
    let bodies: Vec<_> = (0..2).map(million).collect();
    let always = bodies[0].clone();
    let limited = Some("narthex_series_limited_total{job=\"hostile\"}");
    meet("a million series", limited, Arc::new(move |_, stream| say_whole(stream, &always)));
    let fresh = move |round: usize, stream: &mut TcpStream| {
        // New names each time, made on the fly.
        let mut body = bodies[round % 2].clone();
        let text = format!("{:04}", round % 10_000);
        for line in body.split_mut(|&byte| byte == b'\n').filter(|line| line.len() > 4) {
            line[0] = b'a' + u8::try_from(round % 26).unwrap();
            let digit = text.as_bytes()[line.len() % 4] - b'0' + b'a';
            line[1] = digit;
        }
        say_whole(stream, &body);
    };
    meet("a million new series each time", limited, Arc::new(fresh));
}

#[test]
fn what_is_too_large_is_refused() {
    let large = Some("prometheus_target_scrapes_exceeded_body_size_limit_total");
    let comment = b"# a comment that goes on and on, and says nothing at all, line by line\n";
    let line = vec![b'x'; 64 << 10];
    let gigabyte = 1 << 30;
    meet(
        "a gigabyte announced",
        large,
        Arc::new(move |_, stream| {
            say(stream, &format!("Content-Length: {gigabyte}\r\n"), b"");
            while stream.write_all(&comment.repeat(1000)).is_ok() {}
        }),
    );
    meet(
        "an endless body",
        large,
        Arc::new(move |_, stream| say_long(stream, &comment.repeat(900), gigabyte)),
    );
    let bombs = [gzip(comment, 256 << 20), gzip(&line, 256 << 20)];
    meet("an endless line", large, Arc::new(move |_, stream| say_long(stream, &line, 100 << 20)));
    meet(
        "a bomb",
        large,
        Arc::new(move |round, stream| {
            let bomb = &bombs[round % 2];
            let headers = format!("Content-Encoding: gzip\r\nContent-Length: {}\r\n", bomb.len());
            say(stream, &headers, bomb);
        }),
    );
}

#[test]
fn what_is_malformed_at_length_is_refused() {
    let mut labels = String::from("m{");
    for number in 0..1_000_000 {
        let _ = write!(labels, "l{number}=\"v\",");
    }
    labels.push_str("} 1\n");
    meet("a million labels", None, Arc::new(move |_, stream| say_whole(stream, labels.as_bytes())));
    let long = format!("m{{l=\"{}\"}} 1\n", "v".repeat(10 << 20));
    meet("a long value", None, Arc::new(move |_, stream| say_whole(stream, long.as_bytes())));
}
