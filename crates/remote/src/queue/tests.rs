#![expect(clippy::cast_precision_loss, reason = "small numbers")]

use std::collections::{BTreeMap, VecDeque};

use narthex_model::{ABSENT, Labels, Metadata, MetricKind, STALE, TimeRange, relabel};
use narthex_net::dial::{Memory, MemoryListener};
use narthex_net::{Client, Url};
use narthex_store::testing::{HandClock, memory_store};
use narthex_store::{LayoutRef, Row, RowBuf, Writer};
use parking_lot::Mutex;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::*;
use crate::answer::Reason;
use narthex_testkit::proto::{self, WriteRequest, v2};

/// What a receiver does about a request.
#[derive(Clone, Debug)]
enum Act {
    Answer(&'static str),
    /// Stores it, and closes the connection without an answer.
    Lose,
    /// Closes the connection.
    Cut,
    /// Never answers.
    Hang,
    /// Stores it, and takes so long, in ms.
    Slow(u64),
    /// Refuses requests that hold this series, takes others.
    RefuseSeries(&'static str),
    /// Takes no request with more samples.
    SamplesMax(usize),
    /// As Prometheus: a sample older than the series' last has the whole request refused.
    Atomic,
    /// As Thanos: takes what is good, and answers 409 for the rest.
    Thanos,
    /// Answers a long text with this status, and stores nothing.
    Talk(&'static str),
    /// Takes 2.0 and says so, but for these samples of a request.
    Written {
        but: usize,
    },
}

#[derive(Debug, Default)]
struct Got {
    /// Per series, its samples in the order they came.
    series: BTreeMap<String, Vec<(i64, u64)>>,
    heads: Vec<String>,
    /// Samples of each request that was stored.
    sizes: Vec<usize>,
    metadata: Vec<(String, i32, String)>,
    exemplars: Vec<String>,
    /// What 2.0 said of a series.
    inline: BTreeMap<String, (i32, String)>,
}

#[derive(Debug, Default)]
struct Script {
    acts: VecDeque<Act>,
    /// What happens when `acts` is empty.
    always: Option<Act>,
}

type Shared = (Arc<Mutex<Got>>, Arc<Mutex<Script>>);

struct Rig {
    memory: Arc<Memory>,
    store: Arc<Store>,
    writer: Writer,
    clock: Arc<HandClock>,
    shared: Shared,
    counters: Arc<Counters>,
}

fn settings() -> Settings {
    Settings {
        name: "test".into(),
        url: "http://receiver/write".into(),
        cursor: "test".into(),
        samples_max: 100,
        ..Settings::of(Prepare::default())
    }
}

impl Rig {
    fn new() -> Self {
        let memory = Arc::new(Memory::new());
        let (store, writer) = memory_store();
        let shared = Shared::default();
        tokio::spawn(receive(memory.listen("receiver", 80), shared.clone()));
        let clock = Arc::new(HandClock::new(Timestamp(1_000_000_000)));
        Self { memory, store, writer, clock, shared, counters: Arc::default() }
    }

    fn acts(&self, acts: impl IntoIterator<Item = Act>) {
        self.shared.1.lock().acts = acts.into_iter().collect();
    }

    fn always(&self, act: Option<Act>) {
        self.shared.1.lock().always = act;
    }

    /// Starts a queue; the sender stops it.
    fn start(&self, settings: Settings) -> (watch::Sender<bool>, tokio::task::JoinHandle<()>) {
        self.start_with(settings, None)
    }

    fn start_with(
        &self,
        settings: Settings,
        metadata: Option<Arc<dyn MetadataSource>>,
    ) -> (watch::Sender<bool>, tokio::task::JoinHandle<()>) {
        let client = Client::plain(Arc::clone(&self.memory) as _);
        let links = Links {
            store: Arc::clone(&self.store),
            clock: Arc::clone(&self.clock) as _,
            session: client.session(&Url::parse("http://receiver/write").unwrap()),
            counters: Arc::clone(&self.counters),
            metadata,
        };
        let (stop, stopped) = watch::channel(false);
        let start = self.store.last_seq();
        (stop, tokio::spawn(Queue::new(settings, links).run(start, stopped)))
    }

    fn layout(&mut self, names: &[&str]) -> LayoutRef {
        let source = self.writer.new_source();
        let layout = self.writer.new_layout(source).unwrap();
        self.add(layout, names);
        layout
    }

    fn add(&mut self, layout: LayoutRef, names: &[&str]) {
        for name in names {
            let labels = Labels::from_pairs([("__name__", *name), ("job", "j")]);
            let series = self.writer.resolve(&labels).unwrap();
            self.writer.add_columns(layout, &[series]).unwrap();
        }
    }

    fn row(&mut self, layout: LayoutRef, at: i64, values: &[f64]) {
        let row = Row { layout, at: Timestamp(at), values, changed: None };
        self.writer.append(&row).unwrap();
    }

    fn got(&self) -> parking_lot::MutexGuard<'_, Got> {
        self.shared.0.lock()
    }

    fn stats(&self) -> crate::QueueStats {
        let mut stats = crate::QueueStats::default();
        self.counters.fill(&mut stats);
        self.counters.fill_backlog(&mut stats, self.store.last_seq(), self.clock.now());
        stats
    }

    fn count(&self, counter: fn(&Counters) -> &std::sync::atomic::AtomicU64) -> u64 {
        counter(&self.counters).load(Ordering::Relaxed)
    }
}

async fn receive(mut listener: MemoryListener, shared: Shared) {
    while let Some(stream) = listener.accept().await {
        tokio::spawn(converse(stream, shared.clone()));
    }
}

async fn converse(mut stream: DuplexStream, shared: Shared) {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let Ok(byte) = stream.read_u8().await else { return };
            head.push(byte);
        }
        let head = String::from_utf8(head).unwrap();
        let len = head.split("Content-Length: ").nth(1).unwrap();
        let mut body = vec![0; len.split('\r').next().unwrap().parse().unwrap()];
        stream.read_exact(&mut body).await.unwrap();
        let act = {
            let mut script = shared.1.lock();
            script.acts.pop_front().or_else(|| script.always.clone())
        };
        let raw = snap::raw::Decoder::new().decompress_vec(&body).unwrap();
        let request = read(&head, &raw, &shared);
        let second = head.contains("write.v2.Request");
        let version = if second { Version::V2 } else { Version::V1 };
        let exemplars = crate::exemplars::tests::read(version, &raw);
        let Some(mut answer) = answer(act, &request, &shared).await else { return };
        if answer == "204 No Content" && head.contains("write.v2.Request") {
            answer = with_count(request.timeseries.len());
        }
        if answer.starts_with("204") {
            shared.0.lock().exemplars.extend(exemplars);
        }
        shared.0.lock().heads.push(head);
        if !answer.contains("Content-Length") {
            answer.push_str("\r\nContent-Length: 0\r\n\r\n");
        }
        if stream.write_all(format!("HTTP/1.1 {answer}").as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Does `act` about a request; `None` closes the connection.
async fn answer(act: Option<Act>, request: &WriteRequest, shared: &Shared) -> Option<String> {
    let store = || note(shared, request);
    match act {
        Some(Act::Lose) => {
            store();
            return None;
        }
        Some(Act::Cut) => return None,
        Some(Act::Slow(ms)) => {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            store();
        }
        Some(Act::Hang) => std::future::pending().await,
        Some(Act::Answer(text)) => return Some(text.to_owned()),
        Some(Act::RefuseSeries(name)) => {
            if request.timeseries.iter().any(|s| s.labels.iter().any(|l| l.value == name)) {
                return Some("400 Bad Request".to_owned());
            }
            store();
        }
        Some(Act::SamplesMax(max)) if request.timeseries.len() > max => {
            return Some("413 Payload Too Large".to_owned());
        }
        None | Some(Act::SamplesMax(_)) => store(),
        Some(Act::Atomic) => {
            if sift(shared, request).1 > 0 {
                return Some(with_body("400 Bad Request", "out of order sample"));
            }
            store();
        }
        Some(Act::Thanos) => {
            let (good, old) = sift(shared, request);
            note(shared, &good);
            if old > 0 {
                let text = format!("add {old} samples: out of order sample: conflict");
                return Some(with_body("409 Conflict", &text));
            }
        }
        Some(Act::Talk(status)) => return Some(with_body(status, &"x".repeat(300_000))),
        Some(Act::Written { but }) => {
            store();
            return Some(with_count(request.timeseries.len() - but));
        }
    }
    Some("204 No Content".to_owned())
}

fn with_count(samples: usize) -> String {
    format!("204 No Content\r\nX-Prometheus-Remote-Write-Samples-Written: {samples}")
}

fn with_body(status: &str, body: &str) -> String {
    format!("{status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// The request, as one of 1.0 whatever it was.
fn read(head: &str, raw: &[u8], shared: &Shared) -> WriteRequest {
    if !head.contains("proto=io.prometheus.write.v2.Request") {
        assert!(head.contains("x-prometheus-remote-write-version: 0.1.0"), "{head}");
        return WriteRequest::decode(raw).unwrap();
    }
    assert!(head.contains("x-prometheus-remote-write-version: 2.0.0"), "{head}");
    let request = v2::Request::decode(raw).unwrap();
    assert_eq!(request.symbols[0], "");
    let text = |number: u32| request.symbols[number as usize].clone();
    let mut read = WriteRequest::default();
    for series in &request.timeseries {
        assert!(series.labels_refs.len().is_multiple_of(2));
        let labels: Vec<_> = series
            .labels_refs
            .chunks(2)
            .map(|pair| proto::Label { name: text(pair[0]), value: text(pair[1]) })
            .collect();
        if let Some(metadata) = series.metadata {
            let said = (metadata.r#type, text(metadata.help_ref));
            shared.0.lock().inline.insert(labels[0].value.clone(), said);
        }
        let samples = series.samples.iter();
        let samples =
            samples.map(|s| proto::Sample { value: s.value, timestamp: s.timestamp }).collect();
        read.timeseries.push(proto::TimeSeries { labels, samples, ..Default::default() });
    }
    read
}

/// What of a request is newer than what there is, or the same as the newest; and how many samples
/// are not.
fn sift(shared: &Shared, request: &WriteRequest) -> (WriteRequest, usize) {
    let got = shared.0.lock();
    let mut newest: BTreeMap<String, (i64, u64)> = BTreeMap::new();
    let (mut good, mut old) = (WriteRequest::default(), 0);
    for series in &request.timeseries {
        let name = name_of(series);
        let sample = (series.samples[0].timestamp, series.samples[0].value.to_bits());
        let had = got.series.get(&name).and_then(|all| all.last().copied());
        let last = newest.get(&name).copied().or(had).unwrap_or((i64::MIN, 0));
        if sample == last {
            continue;
        }
        if sample.0 <= last.0 {
            old += 1;
            continue;
        }
        newest.insert(name, sample);
        good.timeseries.push(series.clone());
    }
    (good, old)
}

fn name_of(series: &proto::TimeSeries) -> String {
    let pairs = series.labels.iter().map(|label| (&label.name, &label.value));
    Labels::from_pairs(pairs).to_string()
}

fn note(shared: &Shared, request: &WriteRequest) {
    let mut got = shared.0.lock();
    for series in &request.timeseries {
        let samples = got.series.entry(name_of(series)).or_default();
        samples.extend(series.samples.iter().map(|s| (s.timestamp, s.value.to_bits())));
    }
    if !request.timeseries.is_empty() {
        got.sizes.push(request.timeseries.len());
    }
    for family in &request.metadata {
        got.metadata.push((family.metric_family_name.clone(), family.r#type, family.help.clone()));
    }
}

async fn seconds(count: u64) {
    tokio::time::sleep(Duration::from_secs(count)).await;
}

const AT: i64 = 1_795_000_000_000;

mod exemplars;
mod failures;
mod order;
mod version_2;

#[tokio::test(start_paused = true)]
async fn sends_rows_as_they_are() {
    let mut rig = Rig::new();
    let early = rig.layout(&["early"]);
    rig.row(early, AT, &[1.0]);
    let mut settings = settings();
    settings.prepare.external = Labels::from_pairs([("job", "not added"), ("site", "s1")]);
    let rule = relabel::Rule {
        source_labels: vec!["__name__".into()],
        regex: narthex_model::regex::Pattern::new("unwanted.*").unwrap(),
        ..relabel::Rule::new(relabel::Action::Drop).unwrap()
    };
    settings.prepare.rules = vec![rule];
    let (stop, task) = rig.start(settings);
    seconds(1).await;
    let layout = rig.layout(&["a", "unwanted", "b"]);
    for step in 0..10i64 {
        let value = f64::from(i32::try_from(step).unwrap());
        let b = match step {
            4 => STALE,
            5 => ABSENT,
            _ => value * 2.0,
        };
        rig.row(layout, AT + step * 1000, &[value, 7.0, b]);
    }
    rig.add(layout, &["c"]);
    rig.row(layout, AT + 10_000, &[1.0, ABSENT, 3.0, 4.0]);
    seconds(7).await;
    {
        let got = rig.got();
        let names: Vec<_> = got.series.keys().cloned().collect();
        let want =
            ["a", "b", "c"].map(|name| format!(r#"{{__name__="{name}", job="j", site="s1"}}"#));
        assert_eq!(names, want);
        let b = &got.series[&want[1]];
        assert_eq!(b.len(), 10);
        assert_eq!(b[4], (AT + 4000, STALE.to_bits()));
        assert_eq!(b[5], (AT + 6000, 12f64.to_bits()));
        assert_eq!(got.series[&want[2]], [(AT + 10_000, 4f64.to_bits())]);
        let head = &got.heads[0];
        assert!(head.starts_with("POST /write HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("content-encoding: snappy\r\n") && !head.contains("retry-attempt"));
    }
    assert_eq!(rig.count(|c| &c.dropped_by_relabelling), 10);
    assert_eq!(rig.count(|c| &c.samples), 22);
    stop.send_replace(true);
    task.await.unwrap();
    assert_eq!(rig.store.cursor("test"), Some(rig.store.last_seq()));
}

/// Appends `rows` rows of 150 columns: more than one request of 100 samples, in three segments.
fn append(rig: &mut Rig, layout: LayoutRef, from: i64, rows: i64) {
    for step in from..from + rows {
        let values: Vec<f64> = (0..150).map(|c| f64::from(c) + step as f64 * 0.5).collect();
        rig.row(layout, AT + step * 1000, &values);
    }
}

fn wide(rig: &mut Rig) -> LayoutRef {
    let names: Vec<String> = (0..150).map(|i| format!("m{i:03}")).collect();
    rig.layout(&names.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Checks that every sample of every series came, in order; each once, unless `repeats`.
fn check(rig: &Rig, rows: i64, repeats: bool) {
    let got = rig.got();
    assert_eq!(got.series.len(), 150);
    for (index, samples) in got.series.values().enumerate() {
        let mut samples = samples.clone();
        if repeats {
            let mut newest = i64::MIN;
            samples.retain(|&(at, _)| {
                let new = at > newest;
                newest = newest.max(at);
                new
            });
        }
        let want =
            (0..rows).map(|step| (AT + step * 1000, (index as f64 + step as f64 * 0.5).to_bits()));
        assert_eq!(samples, want.collect::<Vec<_>>(), "{index}");
    }
    assert!(got.sizes.iter().all(|&size| size <= 100), "{:?}", got.sizes);
}

#[tokio::test(start_paused = true)]
async fn waits_for_a_receiver_that_is_away() {
    let mut rig = Rig::new();
    let (stop, task) = rig.start(settings());
    seconds(1).await;
    let layout = wide(&mut rig);
    append(&mut rig, layout, 0, 10);
    rig.always(Some(Act::Answer("503 Service Unavailable")));
    seconds(600).await;
    append(&mut rig, layout, 10, 50);
    assert!(rig.got().series.is_empty());
    // Doubling from 30 ms to 5 s: about 8 attempts, and then one each 5 s.
    let attempts = rig.got().heads.len();
    assert!((100..140).contains(&attempts), "{attempts}");
    assert!(rig.got().heads[3].contains("retry-attempt: 3\r\n"));
    rig.always(Some(Act::Cut));
    seconds(60).await;
    rig.always(None);
    rig.acts([Act::Answer("500 Internal Server Error"), Act::Cut, Act::Answer("502 Bad")]);
    seconds(60).await;
    check(&rig, 60, false);
    assert_eq!(rig.count(|c| &c.samples_failed), 0);
    assert!(rig.count(|c| &c.samples_retried) > 0);
    stop.send_replace(true);
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn heeds_retry_after_and_drops_what_is_refused() {
    let mut rig = Rig::new();
    let (stop, task) = rig.start(settings());
    seconds(1).await;
    let layout = rig.layout(&["a"]);
    rig.acts([Act::Answer("429 Too Many Requests\r\nRetry-After: 100")]);
    rig.row(layout, AT, &[1.0]);
    seconds(90).await;
    assert_eq!(rig.got().heads.len(), 1);
    seconds(50).await;
    assert_eq!(rig.got().series.len(), 1);
    rig.acts([Act::Answer("409 Conflict")]);
    rig.row(layout, AT + 1, &[2.0]);
    seconds(10).await;
    rig.acts([Act::Answer("400 Bad Request")]);
    rig.row(layout, AT + 2, &[3.0]);
    seconds(10).await;
    rig.row(layout, AT + 3, &[4.0]);
    seconds(10).await;
    let times: Vec<_> = rig.got().series.values().next().unwrap().iter().map(|s| s.0).collect();
    assert_eq!(times, [AT, AT + 3]);
    assert_eq!(rig.count(|c| &c.samples_failed), 2);
    assert_eq!(rig.count(|c| &c.samples_retried), 1);
    let stats = rig.stats();
    let refused: Vec<_> = stats.refused_times.iter().map(|it| (it.reason, it.times)).collect();
    let at = |ms| TimeRange::new(Timestamp(AT + ms), Timestamp(AT + ms));
    assert_eq!(refused, [(Reason::Conflict, at(1)), (Reason::Invalid, at(2))]);
    stop.send_replace(true);
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn saves_what_is_good_in_a_refused_request() {
    let mut rig = Rig::new();
    let (stop, task) = rig.start(settings());
    seconds(1).await;
    let layout = rig.layout(&["a", "b"]);
    let other = rig.layout(&["bad"]);
    rig.always(Some(Act::RefuseSeries("bad")));
    for step in 0..8 {
        rig.row(layout, AT + step, &[1.0, 2.0]);
        if step == 3 {
            rig.row(other, AT, &[0.0]);
        }
    }
    seconds(10).await;
    let lens: Vec<_> = rig.got().series.values().map(Vec::len).collect();
    assert_eq!(lens, [8, 8]);
    assert_eq!(rig.count(|c| &c.samples_failed), 1);
    stop.send_replace(true);
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn goes_on_where_it_was_after_a_restart() {
    let mut rig = Rig::new();
    let layout = wide(&mut rig);
    let (_stop, task) = rig.start(settings());
    seconds(1).await;
    append(&mut rig, layout, 0, 20);
    rig.acts([Act::Lose, Act::Answer("503 Service Unavailable")]);
    seconds(20).await;
    rig.always(Some(Act::Answer("503 Service Unavailable")));
    append(&mut rig, layout, 20, 20);
    seconds(20).await;
    // Killed in the middle of an outage.
    task.abort();
    assert!(task.await.is_err());
    append(&mut rig, layout, 40, 20);
    rig.always(None);
    let (stop, task) = rig.start(settings());
    seconds(1).await;
    append(&mut rig, layout, 60, 1);
    // A stop in good order sends what there is at once.
    stop.send_replace(true);
    task.await.unwrap();
    check(&rig, 61, true);
    // And leaves nothing to send again.
    rig.got().series.clear();
    let (stop, task) = rig.start(settings());
    seconds(10).await;
    assert!(rig.got().series.is_empty());
    stop.send_replace(true);
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_a_receiver_that_is_away() {
    let mut rig = Rig::new();
    let layout = wide(&mut rig);
    rig.always(Some(Act::Cut));
    let (stop, task) = rig.start(settings());
    seconds(1).await;
    append(&mut rig, layout, 0, 20);
    seconds(60).await;
    let before = Instant::now();
    stop.send_replace(true);
    task.await.unwrap();
    assert!(before.elapsed() < Duration::from_millis(100));
    assert_eq!(rig.store.cursor("test"), Some(RowSeq(0)));
}

#[tokio::test(start_paused = true)]
async fn leaves_out_what_is_too_old() {
    let mut rig = Rig::new();
    let layout = rig.layout(&["a"]);
    let (stop, task) = rig.start(Settings { age_max: Some(Duration::from_secs(60)), ..settings() });
    seconds(1).await;
    rig.clock.set(Timestamp(AT + 100_000));
    rig.row(layout, AT, &[1.0]);
    rig.row(layout, AT + 50_000, &[2.0]);
    rig.always(Some(Act::Cut));
    seconds(10).await;
    assert_eq!(rig.count(|c| &c.dropped_too_old), 1);
    rig.clock.set(Timestamp(AT + 200_000));
    seconds(10).await;
    rig.always(None);
    seconds(10).await;
    assert_eq!(rig.count(|c| &c.dropped_too_old), 2);
    assert!(rig.got().series.is_empty());
    stop.send_replace(true);
    task.await.unwrap();
}

#[derive(Debug)]
struct Known;

impl MetadataSource for Known {
    fn visit(&self, each: &mut dyn FnMut(&str, &Metadata)) {
        let metadata =
            Metadata { kind: MetricKind::Counter, unit: String::new(), help: "h".into() };
        for _ in 0..2 {
            each("a_total", &metadata);
            each("b_total", &metadata);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn sends_metadata_now_and_then() {
    let rig = Rig::new();
    let metadata = Some((Duration::from_secs(60), 1));
    let (stop, task) = rig.start_with(Settings { metadata, ..settings() }, Some(Arc::new(Known)));
    seconds(70).await;
    let want = ["a_total", "b_total"].map(|name| (name.to_owned(), 1, "h".to_owned()));
    assert_eq!(rig.got().metadata, want);
    seconds(60).await;
    assert_eq!(rig.got().metadata.len(), 4);
    stop.send_replace(true);
    task.await.unwrap();
}

/// A layout of 850 series of one target.
fn target_layout(writer: &mut Writer, target: u32) -> LayoutRef {
    let source = writer.new_source();
    let layout = writer.new_layout(source).unwrap();
    let instance = format!("192.168.178.{target}:9100");
    let series: Vec<_> = (0..850)
        .map(|i| {
            let (name, cpu) = (format!("node_some_metric_{}_total", i / 16), i.to_string());
            let pairs =
                [("__name__", &*name), ("instance", &instance), ("job", "node"), ("cpu", &cpu)];
            writer.resolve(&Labels::from_pairs(pairs)).unwrap()
        })
        .collect();
    writer.add_columns(layout, &series).unwrap();
    layout
}

/// The cost of the way from the log to the socket, in CPU time of this thread.
#[test]
#[ignore = "a measurement"]
fn costs() {
    let receiver = narthex_testkit::background::Background::start().unwrap();
    let address = receiver.run(async {
        let receiver = narthex_testkit::receiver::Receiver::start(0, false).await.unwrap();
        let address = receiver.address();
        std::mem::forget(receiver);
        address
    });
    let dir = tempfile::tempdir().unwrap();
    let fs = Arc::new(narthex_store::fs::DiskFs::new(dir.path()).unwrap());
    let clock = Arc::new(HandClock::new(Timestamp::MAX));
    let options = narthex_store::Options::default();
    let (store, mut writer) = narthex_store::open(fs, clock.clone(), options).unwrap();
    let layouts: Vec<_> = (0..20).map(|target| target_layout(&mut writer, target)).collect();
    let rows = 600;
    let mut values = vec![0.5; 850];
    for step in 0..rows {
        for &layout in &layouts {
            for (i, value) in values.iter_mut().enumerate().filter(|(i, _)| i % 3 == 0) {
                *value += i as f64 + 0.25;
            }
            let at = Timestamp(AT + step * 1000);
            writer.append(&Row { layout, at, values: &values, changed: None }).unwrap();
        }
    }
    let cpu = || {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        text.split(' ').next().unwrap().parse::<u64>().unwrap() as f64
    };
    let before = cpu();
    let mut reader = store.rows_after(RowSeq(0)).unwrap();
    let (mut row, mut read) = (RowBuf::default(), 0);
    while reader.next(&mut row).unwrap() {
        read += row.values.len();
    }
    println!("reading alone: {} ns per sample", (cpu() - before) / read as f64);
    let counters = Arc::new(Counters::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let before = cpu();
    runtime.block_on(async {
        let url = Url::parse(&format!("http://{address}/")).unwrap();
        let links = Links {
            store,
            clock,
            session: Client::plain(Arc::new(narthex_net::dial::Tcp)).session(&url),
            counters: counters.clone(),
            metadata: None,
        };
        let (stop, stopped) = watch::channel(false);
        let settings = Settings { samples_max: 2000, ..settings() };
        let task = tokio::spawn(Queue::new(settings, links).run(RowSeq(0), stopped));
        tokio::time::sleep(Duration::from_millis(1)).await;
        stop.send_replace(true);
        task.await.unwrap();
    });
    let samples = counters.samples.load(Ordering::Relaxed) as f64;
    println!(
        "{} ns per sample, {} bytes per sample, {samples} samples, {} requests",
        (cpu() - before) / samples,
        counters.bytes.load(Ordering::Relaxed) as f64 / samples,
        samples / 2000.0
    );
}
