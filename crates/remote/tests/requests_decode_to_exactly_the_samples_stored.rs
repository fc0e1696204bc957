//! Whatever targets do, the requests hold exactly the samples that were stored, in order: for
//! random layouts, values, churn, gaps in time, relabelling and sizes of requests.

#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    reason = "a test fails where it must, and its numbers are small"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use narthex_model::{ABSENT, Labels, LabelsBuilder, STALE, Timestamp, is_absent, relabel};
use narthex_remote::{Requests, Version};
use narthex_store::testing::{HandClock, memory_store};
use narthex_store::{LayoutRef, Row, Store, Writer};
use narthex_testkit::proto::v2::Request;
use narthex_testkit::proto::{Label, Sample, TimeSeries, WriteRequest};
use proptest::prelude::*;
use prost::Message;

/// What happens at a turn of a target.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// A scrape with some values changed.
    Scrape {
        seed: u32,
    },
    /// New series appear.
    Grow {
        count: usize,
    },
    /// Some series have no sample for a while.
    Hide {
        every: usize,
    },
    Show,
    /// The clock jumps ahead.
    Leap {
        ms: i64,
    },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => any::<u32>().prop_map(|seed| Event::Scrape { seed }),
        1 => (1usize..150).prop_map(|count| Event::Grow { count }),
        1 => (1usize..9).prop_map(|every| Event::Hide { every }),
        1 => Just(Event::Show),
        1 => (1i64..400_000_000_000).prop_map(|ms| Event::Leap { ms }),
    ]
}

const SPECIAL: [f64; 8] =
    [0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, STALE, f64::MIN_POSITIVE, f64::MAX];

struct Target {
    number: usize,
    layout: LayoutRef,
    labels: Vec<Labels>,
    hide: Option<usize>,
}

impl Target {
    fn new(number: usize, writer: &mut Writer) -> Self {
        let source = writer.new_source();
        let layout = writer.new_layout(source).unwrap();
        Self { number, layout, labels: Vec::new(), hide: None }
    }

    fn grow(&mut self, count: usize, writer: &mut Writer) {
        for _ in 0..count {
            let index = self.labels.len();
            let name = ["up", "node_cpu_seconds_total", "x:y", "\u{e9}t\u{e9}"][index % 4];
            let (instance, index) = (format!("host-{}:9100", self.number), index.to_string());
            // Now and then a label that is far longer than a literal of the shortest kind.
            let long = "l".repeat(if index.ends_with('7') { 300 } else { 3 });
            let pairs =
                [("__name__", name), ("instance", &instance), ("index", &index), ("z", &long)];
            let labels = Labels::from_pairs(pairs);
            let series = writer.resolve(&labels).unwrap();
            writer.add_columns(self.layout, &[series]).unwrap();
            self.labels.push(labels);
        }
    }

    fn values(&self, mut seed: u32) -> Vec<f64> {
        let mut next = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            seed >> 8
        };
        let value = |index: usize, dice: u32| match (self.hide, dice % 16) {
            (Some(every), _) if index.is_multiple_of(every) => ABSENT,
            (_, 0) => SPECIAL[dice as usize / 16 % SPECIAL.len()],
            (_, 1..8) => index as f64,
            _ => f64::from(dice) * 0.125,
        };
        (0..self.labels.len()).map(|index| value(index, next())).collect()
    }
}

type Expected = Vec<(Vec<(String, String)>, i64, u64)>;

/// Lets three targets live, and tells what was stored, in order.
fn live(events: &[Event]) -> (Arc<Store>, Expected) {
    let (store, mut writer) = memory_store();
    let mut targets: Vec<_> = (0..3).map(|number| Target::new(number, &mut writer)).collect();
    for (target, count) in targets.iter_mut().zip([70, 3, 130]) {
        target.grow(count, &mut writer);
    }
    let (mut at, mut expected) = (1_000, Vec::new());
    for (turn, &event) in events.iter().enumerate() {
        at += 1 + turn as i64;
        let target = &mut targets[turn % 3];
        match event {
            Event::Grow { count } => target.grow(count, &mut writer),
            Event::Hide { every } => target.hide = Some(every),
            Event::Show => target.hide = None,
            Event::Leap { ms } => at += ms,
            Event::Scrape { seed } => {
                let values = target.values(seed);
                let row = Row {
                    layout: target.layout,
                    at: Timestamp(at),
                    values: &values,
                    changed: None,
                };
                writer.append(&row).unwrap();
                for (labels, value) in target.labels.iter().zip(&values) {
                    if !is_absent(*value) {
                        expected.extend(sent(labels).map(|sent| (sent, at, value.to_bits())));
                    }
                }
            }
        }
    }
    (store, expected)
}

fn external() -> Labels {
    Labels::from_pairs([("site", "s"), ("instance", "not this")])
}

fn rules() -> Vec<relabel::Rule> {
    let mut drop = relabel::Rule::new(relabel::Action::Drop).unwrap();
    drop.source_labels = vec!["index".into()];
    drop.regex = narthex_model::regex::Pattern::new(".*3").unwrap();
    let mut gone = relabel::Rule::new(relabel::Action::LabelDrop).unwrap();
    gone.regex = narthex_model::regex::Pattern::new("z").unwrap();
    vec![drop, gone]
}

/// The labels that a series is to be sent with, by the definition.
fn sent(labels: &Labels) -> Option<Vec<(String, String)>> {
    let all: BTreeMap<String, String> = labels
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .chain([("site".to_owned(), "s".to_owned())])
        .filter(|(name, _)| name != "z")
        .collect();
    (!all["index"].ends_with('3')).then(|| all.into_iter().collect())
}

fn decode(version: Version, body: &[u8]) -> Expected {
    let raw = snap::raw::Decoder::new().decompress_vec(body).unwrap();
    let series: Vec<TimeSeries> = match version {
        Version::V1 => WriteRequest::decode(&raw[..]).unwrap().timeseries,
        Version::V2 => of_version_2(&Request::decode(&raw[..]).unwrap()),
    };
    let mut samples = Vec::new();
    for series in series {
        let labels: Vec<_> = series.labels.into_iter().map(|it| (it.name, it.value)).collect();
        assert!(labels.is_sorted_by(|a, b| a.0 < b.0), "{labels:?}");
        let [Sample { value, timestamp }] = series.samples[..] else { panic!("one sample each") };
        samples.push((labels, timestamp, value.to_bits()));
    }
    samples
}

fn of_version_2(request: &Request) -> Vec<TimeSeries> {
    let text = |number: u32| request.symbols[number as usize].clone();
    let series = request.timeseries.iter().map(|series| TimeSeries {
        labels: series
            .labels_refs
            .chunks(2)
            .map(|pair| Label { name: text(pair[0]), value: text(pair[1]) })
            .collect(),
        samples: series.samples.clone(),
        histograms: series.histograms.clone(),
        ..TimeSeries::default()
    });
    series.collect()
}

fn check(version: Version, events: &[Event], samples_max: usize) {
    let (store, expected) = live(events);
    let clock = Arc::new(HandClock::new(Timestamp(0)));
    let mut requests = Requests::new(version, store, clock, external(), rules(), samples_max);
    // The second time most of it comes out of templates.
    for round in 0..3 {
        requests.rewind();
        let mut got = Vec::new();
        while let Some((body, samples)) = requests.next_body() {
            let decoded = decode(version, body);
            assert_eq!(decoded.len(), samples);
            assert!(samples <= samples_max, "{samples}");
            got.extend(decoded);
        }
        assert!(got == expected, "round {round}: {} of {}", got.len(), expected.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn requests_decode_to_exactly_the_samples_stored(
        events in prop::collection::vec(event(), 1..120),
        samples_max in prop_oneof![1usize..40, 60usize..70, 200usize..1000, Just(20_000)],
    ) {
        check(Version::V1, &events, samples_max);
        check(Version::V2, &events, samples_max);
    }
}

#[test]
fn a_long_steady_life_is_sent_from_templates() {
    let events: Vec<_> = (0..600u32).map(|seed| Event::Scrape { seed: seed % 7 }).collect();
    check(Version::V1, &events, 20_000);
}

/// A request of a known store, byte by byte: what receivers of any age have to read.
#[test]
fn golden_bytes() {
    let (store, mut writer) = memory_store();
    let source = writer.new_source();
    let layout = writer.new_layout(source).unwrap();
    let mut labels = LabelsBuilder::default();
    labels.set("__name__", "up").set("job", "j");
    let series = writer.resolve(&labels.build()).unwrap();
    writer.add_columns(layout, &[series]).unwrap();
    for at in 0..20 {
        let row = Row { layout, at: Timestamp(at + 1), values: &[1.0], changed: None };
        writer.append(&row).unwrap();
    }
    let golden = [
        0x0a, 0, // a series, and its length
        0x0a, 0x0e, 0x0a, 0x08, b'_', b'_', b'n', b'a', b'm', b'e', b'_', b'_', 0x12, 0x02, b'u',
        b'p', // a label
        0x0a, 0x08, 0x0a, 0x03, b'j', b'o', b'b', 0x12, 0x01, b'j', // another
        0x12, 0x0b, // a sample of 11 bytes
        0x09, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, // 1.0
        0x10,
    ];
    let clock = Arc::new(HandClock::new(Timestamp(0)));
    let mut requests = Requests::new(Version::V1, store, clock, Labels::empty(), Vec::new(), 1);
    for at in 1..=20u8 {
        let (body, _) = requests.next_body().unwrap();
        let raw = snap::raw::Decoder::new().decompress_vec(body).unwrap();
        let mut want = golden.to_vec();
        want.push(at);
        want[1] = u8::try_from(want.len() - 2).unwrap();
        assert_eq!(raw, want, "{at}");
    }
    assert!(requests.next_body().is_none());
}
