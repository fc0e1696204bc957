use narthex_model::{LabelsBuilder, STALE, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::encode::{put_labels, put_series, put_varint, value_offset_from_end};

fn raw(blocks: &[Vec<u8>], at: &TimeBytes, values: &[f64]) -> (Vec<u8>, Vec<usize>) {
    let (mut raw, mut offsets) = (Vec::new(), Vec::new());
    for (block, &value) in blocks.iter().zip(values) {
        put_series(&mut raw, block, value, at);
        offsets.push(raw.len() - value_offset_from_end(at));
    }
    (raw, offsets)
}

fn block(pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut labels = LabelsBuilder::default();
    for (name, value) in pairs {
        labels.set(name, value);
    }
    let mut out = Vec::new();
    put_labels(&mut out, &labels);
    out
}

fn node_blocks(count: usize) -> Vec<Vec<u8>> {
    (0..count)
        .map(|i| {
            let (cpu, mode) = (
                (i / 8).to_string(),
                ["idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user"][i % 8],
            );
            block(&[
                ("__name__", "node_cpu_seconds_total"),
                ("cpu", &cpu),
                ("instance", "192.168.1.17:9100"),
                ("job", "node"),
                ("mode", mode),
            ])
        })
        .collect()
}

fn fill(template: &mut Template, values: &[f64]) {
    for (column, &value) in values.iter().enumerate() {
        template.set(column, value);
    }
}

fn inflate(parts: &[(Vec<u8>, usize)]) -> Vec<u8> {
    let mut body = Vec::new();
    put_varint(&mut body, parts.iter().map(|(_, len)| len).sum());
    for (elements, _) in parts {
        body.extend_from_slice(elements);
    }
    snap::raw::Decoder::new().decompress_vec(&body).unwrap()
}

#[test]
fn patched_segments_concatenate_and_read_back() {
    let blocks = node_blocks(64);
    let at = TimeBytes::new(Timestamp(1_795_000_000_000));
    let (first, offsets) = raw(&blocks, &at, &[0.0; 64]);
    let mut template = TemplateMaker::default().make(&first, &offsets, at.len());
    assert_eq!(template.values_len(), 64);
    template.spread(Mask::MAX);
    let (mut parts, mut want) = (Vec::new(), Vec::new());
    for row in 0..5u32 {
        let at = TimeBytes::new(Timestamp(1_795_000_000_000 + 15_000 * i64::from(row)));
        let mut values: Vec<f64> = (0..64u32).map(|i| f64::from(i * 7 + row) * 1.37).collect();
        values[3] = STALE;
        let mut out = Vec::new();
        fill(&mut template, &values);
        template.put(&mut out, &at);
        parts.push((out, template.raw_len()));
        want.extend_from_slice(&raw(&blocks, &at, &values).0);
    }
    assert_eq!(inflate(&parts), want);
    // About 26 bytes per sample, of which 8 are the value.
    assert!(parts[0].0.len() < 64 * 24, "{}", parts[0].0.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_segment_reads_back(
        texts in proptest::collection::vec(("[ab]{0,40}", ".{0,90}"), 1..40),
        values in proptest::collection::vec(any::<u64>(), 40),
        at in any::<i64>(),
    ) {
        let blocks: Vec<_> = texts.iter().map(|(a, b)| block(&[("a", a), ("bcd", b)])).collect();
        let values: Vec<f64> = values.into_iter().map(f64::from_bits).take(blocks.len()).collect();
        let at = TimeBytes::new(Timestamp(at));
        let (want, offsets) = raw(&blocks, &at, &values);
        let mut template = TemplateMaker::default().make(&want, &offsets, at.len());
        let mut out = Vec::new();
        template.spread((1 << values.len()) - 1);
        fill(&mut template, &values);
        template.put(&mut out, &at);
        prop_assert_eq!(inflate(&[(out, template.raw_len())]), want);
    }
}

#[test]
fn long_copies_and_literals_read_back() {
    let random: String = (0..3000u32)
        .map(|i| char::from(b'a' + (i.wrapping_mul(2_654_435_761) >> 27) as u8 % 26))
        .collect();
    for len in [1, 3, 59, 60, 61, 63, 64, 65, 66, 67, 68, 70, 200, 256, 257, 3000] {
        let blocks = vec![block(&[("x", &random[..len])]); 3];
        let at = TimeBytes::new(Timestamp(5));
        let (want, offsets) = raw(&blocks, &at, &[1.0, 2.0, 3.0]);
        let mut template = TemplateMaker::default().make(&want, &offsets, 1);
        let mut out = Vec::new();
        template.spread(7);
        fill(&mut template, &[1.0, 2.0, 3.0]);
        template.put(&mut out, &at);
        assert_eq!(inflate(&[(out, template.raw_len())]), want, "{len}");
    }
}
