//! The real binary, sent what would bring a receiver of remote writes down. Each request is refused
//! with a reason and counted, memory stays where it was, and good writes are taken all the while.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]
#![expect(clippy::disallowed_methods, reason = "time is measured, and goes by")]
#![expect(clippy::print_stdout, reason = "figures for who asks")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use narthex_testkit::http::{Answer, ask, get, query};
use narthex_testkit::process::{Process, Server, wait_until};
use narthex_testkit::proto::{Label, Sample, TimeSeries, WriteRequest};
use prost::Message as _;

/// By how much anonymous memory may grow at any moment.
const GROWTH_BYTES_MAX: u64 = 16 << 20;
/// Clients that write at the same time.
const CROWD: usize = 100;
/// Series of a good request, as many as Prometheus sends by default.
const GOOD: usize = 2000;

const V2: &str = "Content-Type: application/x-protobuf;proto=io.prometheus.write.v2.Request\r\n";

/// What a bomb must be answered.
struct Want {
    status: u16,
    /// Stands in the answer.
    reason: &'static str,
    /// Samples refused for this reason, as the counter names it, are counted so often.
    counted: Option<(&'static str, u64)>,
}

struct Bomb {
    name: &'static str,
    second: bool,
    body: Vec<u8>,
    want: Want,
}

impl Bomb {
    /// A message that is refused as a whole.
    fn new(name: &'static str, status: u16, reason: &'static str, body: Vec<u8>) -> Self {
        let want = Want { status, reason, counted: None };
        Self { name, second: false, body, want }
    }

    /// In the second protocol.
    fn second(mut self) -> Self {
        self.second = true;
        self
    }

    /// One whose samples are refused one by one.
    fn counted(mut self, label: &'static str, count: u64) -> Self {
        self.want.counted = Some((label, count));
        self
    }

    fn send(&self, port: u16) -> Answer {
        write(port, if self.second { V2 } else { "" }, &self.body)
    }
}

fn write(port: u16, head: &str, body: &[u8]) -> Answer {
    ask(port, "POST", "/api/v1/write", head, body).unwrap()
}

fn snappy(plain: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(plain).unwrap()
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(u8::try_from(number & 0x7f).unwrap() | 0x80);
        number >>= 7;
    }
    bytes.push(u8::try_from(number).unwrap());
    bytes
}

/// A field that holds bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2][..], &varint(bytes.len() as u64), bytes].concat()
}

/// A body that says it will be `length` bytes long, and has `rest` behind that.
fn announced(length: u64, rest: &[u8]) -> Vec<u8> {
    [&varint(length), rest].concat()
}

fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn label(name: &[u8], value: &[u8]) -> Vec<u8> {
    field(1, &[field(1, name), field(2, value)].concat())
}

/// A series of these labels with a sample of this instant, in the first protocol.
fn series(labels: &[(&[u8], &[u8])], at: i64) -> Vec<u8> {
    let labels: Vec<u8> = labels.iter().flat_map(|(name, value)| label(name, value)).collect();
    field(1, &[labels, sample(2, at)].concat())
}

fn sample(number: u8, at: i64) -> Vec<u8> {
    field(number, &[&[0x10][..], &varint(at.cast_unsigned())].concat())
}

/// `count` messages, each of which `make` makes.
fn many(count: usize, make: impl FnMut(usize) -> Vec<u8>) -> Vec<u8> {
    (0..count).flat_map(make).collect()
}

/// Numbers that nothing can compress.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend(next());
    }
    bytes.truncate(length);
    bytes
}

fn snappy_bombs() -> Vec<Bomb> {
    let (large, corrupt) = ("larger than", "snappy: corrupt input");
    let zeros = |length: usize| snappy(&vec![0; length]);
    vec![
        Bomb::new("4 GiB announced", 413, large, announced(u64::from(u32::MAX), b"abc")),
        Bomb::new("1 GiB announced", 413, large, announced(1 << 30, &[0xfe, 1, 0].repeat(100_000))),
        Bomb::new("more than there are numbers", 400, corrupt, announced(u64::MAX, b"abc")),
        Bomb::new("4 MiB announced, nothing there", 400, corrupt, announced(4 << 20, b"")),
        Bomb::new(
            "8 MiB announced, nothing there",
            413,
            "more than 16 to 1",
            announced(8 << 20, b""),
        ),
        Bomb::new("8 MiB of zeros", 413, "more than 16 to 1", zeros(8 << 20)),
        Bomb::new("80 MiB of zeros", 413, large, zeros(80 << 20)),
        Bomb::new("4 MiB of zeros", 400, "cannot read the message", zeros(4 << 20)),
        Bomb::new("a copy from before the start", 400, corrupt, announced(64, &[0xfe, 0xff, 0xff])),
        Bomb::new("noise", 400, "snappy", noise(1 << 20)),
        Bomb::new(
            "3 MiB of noise",
            413,
            large,
            announced(u64::from(u32::MAX), &noise((3 << 20) - 5)),
        ),
        Bomb::new("a body beyond the limit", 413, "larger than 3145728 bytes", noise(5 << 20)),
    ]
}

/// Messages that are malformed, or are very many of something.
fn protobuf_bombs() -> Vec<Bomb> {
    let (eof, series_max) = ("unexpected EOF", "more than 100000 series");
    let huge = [&[0x0a][..], &varint(1 << 31), &[0; 100]].concat();
    let inner = |inside: Vec<u8>| snappy(&field(1, &inside));
    let full = field(15, &noise((3 << 20) - (256 << 10)));
    let empty_series = [[0x0a, 0].repeat(2_000_000), full].concat();
    vec![
        Bomb::new("a series of 2 GiB", 400, eof, snappy(&huge)),
        Bomb::new("a label of 2 GiB", 400, eof, inner(huge.clone())),
        Bomb::new("a length of 2^63", 400, eof, snappy(&[&[0x0a][..], &varint(1 << 63)].concat())),
        Bomb::new("a group", 400, "illegal tag", snappy(&[0x0b; 1000])),
        Bomb::new("a number without end", 400, "integer overflow", snappy(&[0xff; 1000])),
        Bomb::new("2 million empty series", 400, series_max, snappy(&[0x0a, 0].repeat(2_000_000))),
        Bomb::new("2 million in 7 MiB", 400, series_max, snappy(&empty_series)),
        Bomb::new(
            "2 million empty symbols",
            400,
            "more than 65536 symbols",
            snappy(&[0x22, 0].repeat(2_000_000)),
        )
        .second(),
        Bomb::new("2 million empty series", 400, series_max, snappy(&[0x2a, 0].repeat(2_000_000)))
            .second(),
    ]
}

/// Requests whose samples are refused.
fn sample_bombs() -> Vec<Bomb> {
    let (name, now) = ((&b"__name__"[..], &b"bomb"[..]), now_ms());
    let one = |labels: &[(&[u8], &[u8])]| snappy(&series(labels, now));
    let labels = "invalid labels: ";
    let empty_labels = field(1, &[[0x0a, 0].repeat(1_000_000), sample(2, now)].concat());
    let empty_samples = field(1, &[label(name.0, name.1), [0x12, 0].repeat(1_000_000)].concat());
    let long = vec![b'x'; 3 << 20];
    let fresh = |at: i64, make: fn(usize) -> Vec<u8>| {
        snappy(&many(50_000, |n| series(&[name, (b"n", &make(n))], at)))
    };
    let text = |n: usize| format!("{n:x}").into_bytes();
    let bad = |n: usize| [&[0xff][..], format!("{n:x}").as_bytes()].concat();
    let histogram =
        |body: &[u8]| snappy(&field(1, &[label(name.0, name.1), field(4, body)].concat()));
    // One bucket, said to be the first of four thousand millions.
    let span = [
        &[0x08, 1, 0x20, 0][..],
        &field(11, &[&[0x10][..], &varint(u64::from(u32::MAX))].concat()),
        &field(12, &[2]),
        &[0x78],
        &varint(now.cast_unsigned()),
    ]
    .concat();
    let symbols = [field(4, b""), field(4, b"__name__"), field(4, b"bomb")].concat();
    let references = |packed: &[u8]| {
        snappy(&[&symbols[..], &field(5, &[field(1, packed), sample(2, now)].concat())].concat())
    };
    let million = 1_000_000;
    vec![
        Bomb::new("no labels", 400, labels, one(&[])).counted("no_metric_name", 1),
        Bomb::new("no name", 400, labels, one(&[(b"a", b"b")])).counted("no_metric_name", 1),
        Bomb::new("an empty name", 400, labels, one(&[name, (b"", b"b")]))
            .counted("empty_label_name", 1),
        Bomb::new("a label twice", 400, labels, one(&[name, (b"a", b"b"), (b"a", b"c")]))
            .counted("duplicate_label", 1),
        Bomb::new("bad UTF-8 in a name", 400, labels, one(&[name, (b"\xc3", b"b")]))
            .counted("bad_utf8", 1),
        Bomb::new("bad UTF-8 in a value", 400, labels, one(&[name, (b"a", b"\xff")]))
            .counted("bad_utf8", 1),
        Bomb::new("a million labels", 400, labels, snappy(&empty_labels))
            .counted("too_many_labels", 1),
        Bomb::new("a million samples of 1970", 400, "too old sample", snappy(&empty_samples))
            .counted("too_old", million),
        Bomb::new("a label of 3 MiB", 400, labels, one(&[name, (b"a", &long)]))
            .counted("label_too_long", 1),
        Bomb::new(
            "new series of the year 2100",
            400,
            "out of bounds",
            fresh(4_102_444_800_000, text),
        )
        .counted("too_far_ahead", 50_000),
        Bomb::new("the end of time", 400, "out of bounds", fresh(i64::MAX, text))
            .counted("too_far_ahead", 50_000),
        Bomb::new("before the beginning of time", 400, "too old", fresh(i64::MIN, text))
            .counted("too_old", 50_000),
        Bomb::new("new series that are no text", 400, labels, fresh(now, bad))
            .counted("bad_utf8", 50_000),
        Bomb::new("a histogram of 2^32 buckets", 400, "invalid native histogram", histogram(&span))
            .counted("bad_histogram", 1),
        Bomb::new("a million references", 400, labels, references(&[1; 1_000_000]))
            .second()
            .counted("too_many_labels", 1),
        Bomb::new("references to nowhere", 400, labels, references(&[100; 1_000_000]))
            .second()
            .counted("bad_symbol", 1),
        Bomb::new("half a pair", 400, labels, references(&[1, 2, 1]))
            .second()
            .counted("bad_symbol", 1),
    ]
}

/// Requests without a sample: nothing is refused, and nothing must stay.
fn hollow_bombs() -> Vec<Bomb> {
    let deep = (0..2000).fold(Vec::new(), |inside, _| field(15, &inside));
    let fresh = many(50_000, |n| {
        field(1, &[label(b"__name__", b"h"), label(b"n", format!("{n:x}").as_bytes())].concat())
    });
    let metadata = [0x1a, 0].repeat(1_000_000);
    vec![
        Bomb::new("unknown fields within each other", 204, "", snappy(&deep)),
        Bomb::new("new series without samples", 204, "", snappy(&fresh)),
        Bomb::new("a million metadata", 204, "", snappy(&metadata)),
    ]
}

/// Watches the anonymous memory of a process.
struct Watch {
    stop: Arc<AtomicBool>,
    peak: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    fn start(process: &Process) -> Self {
        let (stop, peak) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let status = format!("/proc/{}/status", process.id());
        let (ended, highest) = (Arc::clone(&stop), Arc::clone(&peak));
        let thread = std::thread::spawn(move || {
            while !ended.load(SeqCst) {
                let text = std::fs::read_to_string(&status).unwrap_or_default();
                let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"));
                let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
                highest.fetch_max(kib.unwrap_or(0) << 10, SeqCst);
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        Self { stop, peak, thread: Some(thread) }
    }

    /// The highest since the last call.
    fn peak(&self) -> u64 {
        std::thread::sleep(Duration::from_millis(20));
        self.peak.swap(0, SeqCst)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        let _ = self.thread.take().unwrap().join();
    }
}

/// The program, warmed up.
struct Bench {
    server: Server,
    watch: Watch,
    base: u64,
    /// The time of the last good request.
    at: i64,
    _dir: tempfile::TempDir,
}

impl Bench {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_narthex"));
        let flags = ["--web.enable-remote-write-receiver"];
        let config = |_| "global: {scrape_interval: 1m}\n".to_owned();
        let server = Server::start(program, dir.path(), &flags, config).unwrap();
        let watch = Watch::start(&server.process);
        let mut bench = Self { server, watch, base: 0, at: now_ms() - 60_000, _dir: dir };
        // Blocks of rows are full and all buffers there.
        for _ in 0..40 {
            bench.write_well();
        }
        bench.watch.peak();
        std::thread::sleep(Duration::from_millis(200));
        bench.base = bench.watch.peak();
        bench
    }

    /// Sends a good request, as Prometheus makes them.
    fn write_well(&mut self) {
        self.at += 1;
        let answer = write(self.server.port, "", &good(self.at));
        assert_eq!(answer.status, 204, "{}", answer.text());
    }

    /// Sends one; `false`: it shall come again.
    fn try_to_write_well(&mut self) -> bool {
        self.at += 1;
        let answer = write(self.server.port, "", &good(self.at));
        assert!(matches!(answer.status, 204 | 503), "{} {}", answer.status, answer.text());
        answer.status == 204
    }

    /// The counters of the receiver; refused samples by reason.
    fn count(&self, name: &str) -> u64 {
        let page = get(self.server.port, "/metrics").unwrap().text();
        let line = page.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.trim().parse::<f64>().ok()).map_or_else(
            || panic!("no {name} in {page}"),
            |value| value.to_string().parse().unwrap(),
        )
    }

    fn rejected(&self, reason: &str) -> u64 {
        self.count(&format!("narthex_write_rejected_total{{reason=\"{reason}\"}}"))
    }

    fn check_memory(&self, what: &str) {
        let growth = self.watch.peak().saturating_sub(self.base);
        println!("{what}: {} KiB over {} KiB", growth >> 10, self.base >> 10);
        assert!(growth <= GROWTH_BYTES_MAX, "{what}: {} KiB more", growth >> 10);
    }

    /// Sends a bomb and looks at all that must hold.
    fn meet(&mut self, bomb: &Bomb) {
        let (name, want) = (bomb.name, &bomb.want);
        let before = want.counted.map(|(reason, _)| self.rejected(reason));
        let failed = self.count("narthex_write_requests_failed_total");
        let samples = self.count("narthex_write_samples_total");
        let series = self.count("prometheus_tsdb_head_series");
        let answer = bomb.send(self.server.port);
        assert!(self.server.process.ended().is_none(), "{name}: the program has ended");
        assert_eq!(answer.status, want.status, "{name}: {}", answer.text());
        assert!(answer.text().contains(want.reason), "{name}: {}", answer.text());
        assert!(answer.text().len() < 1000, "{name}: {}", answer.text());
        if let (Some(before), Some((reason, count))) = (before, want.counted) {
            assert_eq!(self.rejected(reason) - before, count, "{name}");
        }
        let refused = want.status != 204 && want.counted.is_none();
        let failed = self.count("narthex_write_requests_failed_total") - failed;
        assert_eq!(failed, u64::from(refused), "{name}");
        assert_eq!(self.count("narthex_write_samples_total"), samples, "{name}");
        assert_eq!(self.count("prometheus_tsdb_head_series"), series, "{name}");
        self.check_memory(name);
        self.write_well();
    }
}

fn good(timestamp: i64) -> Vec<u8> {
    let label = |name: &str, value: String| Label { name: name.to_owned(), value };
    let one = |number: usize| TimeSeries {
        labels: vec![
            label("__name__", format!("good_{}_total", number / 10)),
            label("instance", "127.0.0.1:9100".to_owned()),
            label("job", "good".to_owned()),
            label("number", (number % 10).to_string()),
        ],
        samples: vec![Sample { value: 1.0, timestamp }],
        ..TimeSeries::default()
    };
    let timeseries = (0..GOOD).map(one).collect();
    snappy(&WriteRequest { timeseries, ..WriteRequest::default() }.encode_to_vec())
}

#[test]
fn each_bomb_is_refused_with_a_reason() {
    let mut bench = Bench::start();
    for bombs in [snappy_bombs(), protobuf_bombs(), sample_bombs(), hollow_bombs()] {
        for bomb in bombs {
            bench.meet(&bomb);
        }
    }
    assert_eq!(query(bench.server.port, "count({__name__=~\"good.*\"})", None).len(), 1);
}

#[test]
fn a_crowd_of_bombs_does_no_harm() {
    let mut bench = Bench::start();
    let all = [snappy_bombs(), protobuf_bombs(), sample_bombs(), hollow_bombs()];
    let all: Vec<Bomb> = all.into_iter().flatten().collect();
    let port = bench.server.port;
    std::thread::scope(|scope| {
        for client in 0..CROWD {
            let all = &all;
            scope.spawn(move || {
                for round in 0..4 {
                    let bomb = &all[(client * 7 + round * 13) % all.len()];
                    let answer = bomb.send(port);
                    // Who comes when there are too many shall come again.
                    let busy = answer.status == 503 && answer.text().contains("same time");
                    let right = answer.status == bomb.want.status || busy;
                    assert!(right, "{}: {} {}", bomb.name, answer.status, answer.text());
                }
            });
        }
        for _ in 0..20 {
            bench.try_to_write_well();
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    bench.check_memory("a crowd");
    bench.write_well();
}

/// Clients that announce 3 MiB, send a part of it, and wait.
fn slow(port: u16, clients: usize, sent: &[u8]) -> Vec<TcpStream> {
    let start = || {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let head = "POST /api/v1/write HTTP/1.1\r\nHost: a\r\nContent-Length: 3145728\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        stream.set_nonblocking(true).unwrap();
        let _ = stream.write(sent);
        stream
    };
    (0..clients).map(|_| start()).collect()
}

#[test]
fn slow_writers_keep_nobody_out() {
    let mut bench = Bench::start();
    let part = noise(900 << 10);
    for part in [&part[..0], &part[..100], &part[..60 << 10], &part] {
        let _slow = slow(bench.server.port, CROWD, part);
        // Who comes is put off for a short time at most.
        let mut all_well = || (0..10).all(|_| bench.try_to_write_well());
        assert!(wait_until(Duration::from_secs(10), &mut all_well), "{} bytes", part.len());
        bench.check_memory(&format!("slow writers of {} bytes", part.len()));
    }
    bench.write_well();
}

#[test]
fn who_hangs_up_leaves_nothing() {
    let mut bench = Bench::start();
    let port = bench.server.port;
    let half = noise(500 << 10);
    for _ in 0..CROWD {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let head = "POST /api/v1/write HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        let _ = stream.write(&half);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
    }
    bench.check_memory("who hangs up");
    bench.write_well();
}
