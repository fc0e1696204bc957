#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small numbers"
)]

use narthex_model::{ABSENT, Labels, Timestamp};
use narthex_store::testing::memory_store;
use narthex_store::{RowSeq, Store};
use prost::Message;

use super::*;
use crate::batch::{Batch, Form, Origin};
use narthex_testkit::proto::WriteRequest;

/// A layout of `columns` series that look like a node's, in a store.
fn filled(columns: usize) -> (std::sync::Arc<Store>, LayoutRef) {
    let (store, mut writer) = memory_store();
    let source = writer.new_source();
    let layout = writer.new_layout(source).unwrap();
    for column in 0..columns {
        let (cpu, mode) =
            ((column / 4).to_string(), ["idle", "nice", "system", "user"][column % 4]);
        let labels = Labels::from_pairs([
            ("__name__", "node_cpu_seconds_total"),
            ("instance", "192.168.178.33:9100"),
            ("job", "node"),
            ("cpu", &cpu),
            ("mode", mode),
        ]);
        let series = writer.resolve(&labels).unwrap();
        writer.add_columns(layout, &[series]).unwrap();
    }
    (store, layout)
}

/// A store's columns and labels as they are now.
pub(crate) struct Now<'a>(pub(crate) &'a Store);

impl Lookup for Now<'_> {
    fn columns(&self, layout: LayoutRef) -> Option<Arc<[SeriesRef]>> {
        self.0.layout(layout)
    }

    fn labels(&mut self, series: SeriesRef) -> Option<Labels> {
        self.0.labels(series)
    }
}

struct Sender<'a> {
    store: &'a Store,
    prepare: &'a Prepare,
    layout: LayoutRef,
    outline: Outline,
    encoder: Encoder,
    batch: Batch,
}

impl Sender<'_> {
    /// Encodes a row as a request by itself.
    fn send(&mut self, at: i64, values: &[f64]) -> &[u8] {
        let Self { store, prepare, layout, outline, encoder, batch } = self;
        let mut rows = Now(store);
        let mut source = Source { rows: &mut rows, prepare };
        outline.grow(*layout, values.len(), SEGMENT_COLUMNS_MAX, &mut source, encoder);
        batch.clear();
        let composites = &Composites::default();
        let at_bytes = TimeBytes::new(Timestamp(at));
        let row = Passing { layout: *layout, at: at_bytes, values, composites };
        for segment in &mut outline.segments {
            segment.note_all(values);
            let share = segment.share();
            if share.mask != 0 {
                let (samples, raw_len) =
                    segment.put(&row, share.mask, &mut source, encoder, batch.out());
                let (seq, at) = (RowSeq(0), Timestamp(at));
                let (start, mask) = (segment.start(), share.mask);
                batch.close_part(
                    raw_len,
                    samples,
                    Origin { seq, at, layout: *layout, start, mask, histogram: false },
                );
            }
        }
        let all = batch.all();
        batch.body(&all)
    }

    fn check(&mut self, at: i64, values: &[f64]) {
        let body = self.send(at, values).to_vec();
        let raw = snap::raw::Decoder::new().decompress_vec(&body).unwrap();
        let request = WriteRequest::decode(&raw[..]).unwrap();
        let got: Vec<_> = request
            .timeseries
            .iter()
            .map(|s| (s.samples[0].timestamp, s.samples[0].value.to_bits()))
            .collect();
        let present = values.iter().filter(|&&value| !is_absent(value));
        let want: Vec<_> = present.map(|value| (at, value.to_bits())).collect();
        assert_eq!(got, want);
    }
}

fn sender<'a>(store: &'a Store, layout: LayoutRef, prepare: &'a Prepare) -> Sender<'a> {
    Sender {
        store,
        prepare,
        layout,
        outline: Outline::default(),
        encoder: Encoder::default(),
        batch: Batch::new(Form::Elements),
    }
}

#[test]
fn columns_and_times_may_change_at_any_row() {
    let (store, layout) = filled(200);
    let prepare = Prepare::default();
    let mut sender = sender(&store, layout, &prepare);
    let mut at = 100;
    for round in 0..400usize {
        let columns = (60 + round).min(200);
        let mut values: Vec<f64> = (0..columns).map(|c| (c * round) as f64).collect();
        if round % 50 > 40 {
            values[round % 60] = ABSENT;
        }
        if round % 100 == 99 {
            values[0..64].fill(ABSENT);
        }
        // The varint of the time grows on the way.
        at += at / 20;
        sender.check(at, &values);
    }
    for step in 1..=i64::from(STEADY_ROWS_MAX) + 1 {
        sender.send(at + step, &[1.5; 200]);
    }
    sender.check(at * 2, &[2.5; 200]);
    assert!(sender.outline.segments.iter().all(|segment| segment.template.is_some()));
}

#[test]
#[ignore = "a measurement"]
fn costs() {
    let cpu = || {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        text.split(' ').next().unwrap().parse::<u64>().unwrap() as f64
    };
    let (store, layout) = filled(850);
    let prepare = Prepare::default();
    let mut sender = sender(&store, layout, &prepare);
    let mut values = vec![0.5; 850];
    for row in 0..5 {
        let before = cpu();
        let bytes = sender.send(1_795_000_000_000 + row, &values).len();
        println!("row {row}: {} ns per sample, {bytes} bytes", (cpu() - before) / 850.0);
    }
    let before = cpu();
    for row in 0..10_000 {
        values[row as usize % 850] += 1.0;
        std::hint::black_box(sender.send(1_795_000_001_000 + row, &values));
    }
    println!("steady: {} ns per sample", (cpu() - before) / 8_500_000.0);
}
