#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "numbers of test data are small"
)]

use narthex_model::sample::NORMAL_NAN;
use narthex_model::{ABSENT, STALE, Timestamp};
use proptest::prelude::*;

use super::*;

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}

type Encode = fn(&[f64], &mut Vec<u8>);

const EFFORTS: [(&str, Encode); 2] = [("fast", column::encode_fast), ("best", column::encode_best)];

/// Encodes alone at both efforts and reads back.
fn check(values: &[f64]) {
    for (effort, encode) in EFFORTS {
        let mut blob = vec![0xaa];
        encode(values, &mut blob);
        let mut back = vec![1.5];
        column::decode(&blob[1..], values.len(), &mut back).unwrap();
        assert_eq!(bits(&back[1..]), bits(values), "{effort}");
        assert!(blob.len() <= 2 + values.len() * 8, "{effort}: {} bytes", blob.len());
    }
}

/// Encodes as one chunk and reads each column back alone.
fn check_chunk(columns: &[Vec<f64>]) -> Encoder {
    let mut encoder = Encoder::default();
    for values in columns {
        encoder.push(values);
    }
    for (index, values) in columns.iter().enumerate() {
        let mut back = Vec::new();
        let rows = values.len();
        Decoder::default().decode(encoder.blob(index), rows, index, &encoder, &mut back).unwrap();
        assert_eq!(bits(&back), bits(values), "column {index}");
    }
    encoder
}

fn any_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (-1000i64..100_000).prop_map(|m| m as f64),
        4 => (-1000i64..100_000, 0i32..6).prop_map(|(m, e)| m as f64 / 10f64.powi(e)),
        2 => any::<u64>().prop_map(f64::from_bits),
        1 => (1 - (1i64 << 53)..1 << 53).prop_map(|m| m as f64),
        1 => prop::sample::select(vec![
            STALE, ABSENT, NORMAL_NAN, f64::NAN, 0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY,
            f64::MIN_POSITIVE, 5e-324, f64::MAX, 9_007_199_254_740_992.0, 9_007_199_254_740_991.0,
        ]),
    ]
}

/// Columns as they are met: runs, counters, gauges, noise, and anything at all.
fn any_column(rows: std::ops::Range<usize>) -> impl Strategy<Value = Vec<f64>> {
    let counter = |max: u64| {
        prop::collection::vec(0..max, rows.clone()).prop_map(|deltas| {
            let mut sum = 0.0;
            deltas
                .iter()
                .map(|&d| {
                    sum += d as f64 * 512.0;
                    sum
                })
                .collect::<Vec<f64>>()
        })
    };
    let runs = prop::collection::vec((any_value(), 1usize..20), 1..12).prop_map(|runs| {
        runs.iter().flat_map(|&(v, n)| std::iter::repeat_n(v, n)).collect::<Vec<f64>>()
    });
    let sums = prop::collection::vec(0u64..5000, rows.clone()).prop_map(|deltas| {
        let mut sum = 0.1;
        deltas
            .iter()
            .map(|&d| {
                sum += d as f64 * 0.001;
                sum
            })
            .collect::<Vec<f64>>()
    });
    prop_oneof![
        counter(3),
        counter(1 << 40),
        prop::collection::vec((-500i64..500).prop_map(|m| m as f64 / 100.0), rows.clone()),
        prop::collection::vec((0u32..60).prop_map(|n| f64::from(n) / 60.0), rows.clone()),
        sums,
        runs,
        prop::collection::vec(any_value(), rows.clone()),
        prop::collection::vec(any::<u64>().prop_map(f64::from_bits), rows),
    ]
}

#[test]
fn edge_columns() {
    check(&[]);
    check(&[1.0]);
    check(&[ABSENT]);
    check(&[ABSENT; 100]);
    check(&[STALE]);
    check(&[-0.0, 0.0]);
    check(&[f64::NAN; 40]);
    check(&[1.0, STALE]);
    check(&[STALE, ABSENT, 1.0, ABSENT, ABSENT, 2.5]);
    check(&[i64::MAX as f64, i64::MIN as f64, 0.0, 1e300, 5e-324]);
    check(&[i64::MIN as f64; 3]);
    check(&[i64::MIN as f64, 1_795_258_987_892.0, 1_795_258_992_892.0]);
    check(&[f64::INFINITY, f64::NEG_INFINITY, NORMAL_NAN, STALE]);
    let alternating: Vec<f64> = (0..480).map(|i| if i % 2 == 0 { ABSENT } else { 1.0 }).collect();
    check(&alternating);
    let many_nan: Vec<f64> =
        (0..480).map(|i| if i % 3 == 0 { STALE } else { f64::from(i) }).collect();
    check(&many_nan);
}

#[test]
fn sizes_are_as_designed() {
    let size = |values: &[f64], encode: Encode| {
        let mut blob = Vec::new();
        encode(values, &mut blob);
        blob.len()
    };
    assert_eq!(size(&[42.0; 480], column::encode_best), 2);
    assert_eq!(size(&[42.0; 32], column::encode_fast), 2);
    let clock: Vec<f64> = (0..480).map(|i| 1.7e9 + f64::from(i) * 15.0).collect();
    assert!(size(&clock, column::encode_best) <= 12);
    assert!(size(&clock[..32], column::encode_fast) <= 12);
    let kib: Vec<f64> = (0..480).map(|i| 4096.0 * f64::from(i * 7919 % 13)).collect();
    assert!(size(&kib, column::encode_best) <= 480 / 2 + 30);
    let ratios: Vec<f64> = (0..480).map(|i| f64::from(i * 7919 % 61) / 60.0).collect();
    assert!(size(&ratios, column::encode_best) <= 1000);
}

/// Long runs of whatever is no number come back bit for bit and take next to nothing.
#[test]
fn runs_of_any_nan_are_short() {
    let odd = [
        0x7ff8_0000_0000_0000,
        0x7ff0_0000_0000_0001,
        0x7fff_ffff_ffff_ffff,
        0xfff8_0000_0000_0000,
        0xffff_ffff_ffff_ffff,
        0x8000_0000_0000_0000,
        STALE.to_bits(),
        NORMAL_NAN.to_bits(),
        f64::INFINITY.to_bits(),
        f64::NEG_INFINITY.to_bits(),
    ];
    for bits in odd {
        let mut values = vec![1.5; 480];
        values[20..400].fill(f64::from_bits(bits));
        check(&values);
        let mut blob = Vec::new();
        column::encode_best(&values, &mut blob);
        assert!(blob.len() < 40, "{bits:#x}: {} bytes", blob.len());
    }
    let denormals: Vec<f64> = (0..480u64).map(|i| f64::from_bits(i * i * i)).collect();
    check(&denormals);
}

#[test]
fn twins_and_neighbours_share() {
    let base: Vec<f64> = (0..480).map(|i| f64::from(i * i % 1009)).collect();
    let moved: Vec<f64> = base.iter().map(|v| v + 7.0).collect();
    let near: Vec<f64> =
        base.iter().enumerate().map(|(i, v)| v + f64::from(i as u32 / 100)).collect();
    let encoder = check_chunk(&[base.clone(), moved, near, base]);
    assert!(encoder.blob(1).len() <= 4);
    assert!(encoder.blob(2).len() <= 40);
    assert!(encoder.blob(3).len() <= 4);
}

#[test]
fn long_chains_stay_shallow() {
    let columns: Vec<Vec<f64>> = (0..100u32)
        .map(|c| (0..200u32).map(|r| f64::from(r * r % 977 + c * r / 50)).collect())
        .collect();
    check_chunk(&columns);
}

#[test]
fn steady_times_are_small() {
    let times: Vec<Timestamp> =
        (0..480).map(|i| Timestamp(1_700_000_000_000 + i * 15_000)).collect();
    let mut bytes = Vec::new();
    times::encode(&times, &mut bytes);
    assert!(bytes.len() <= 14, "{}", bytes.len());
    let mut back = Vec::new();
    times::decode(&bytes, times.len(), &mut back).unwrap();
    assert_eq!(back, times);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn short_columns_come_back(values in any_column(0..65)) {
        check(&values);
    }

    #[test]
    fn long_columns_come_back(values in any_column(100..600)) {
        check(&values);
    }

    #[test]
    fn chunks_come_back(columns in (2usize..80).prop_flat_map(|rows| {
        prop::collection::vec(any_column(rows..rows + 1), 1..10)
    })) {
        let rows = columns.iter().map(Vec::len).min().unwrap_or(0);
        let mut cut: Vec<Vec<f64>> = columns.iter().map(|c| c[..rows].to_vec()).collect();
        // Twins and near twins.
        for index in 0..cut.len() {
            let twin: Vec<f64> = cut[index].iter().map(|v| v + 3.0).collect();
            cut.push(twin);
        }
        check_chunk(&cut);
    }

    #[test]
    fn times_come_back(times in prop::collection::vec(any::<i64>(), 0..100)) {
        let times: Vec<Timestamp> = times.into_iter().map(Timestamp).collect();
        let mut bytes = Vec::new();
        times::encode(&times, &mut bytes);
        let mut back = Vec::new();
        times::decode(&bytes, times.len(), &mut back).unwrap();
        prop_assert_eq!(back, times);
    }

    #[test]
    fn any_bytes_never_panic(blob in prop::collection::vec(any::<u8>(), 0..80), rows in 0usize..600) {
        let mut out = Vec::new();
        if column::decode(&blob, rows, &mut out).is_ok() {
            prop_assert_eq!(out.len(), rows);
        } else {
            prop_assert!(out.is_empty());
        }
        let _ = times::decode(&blob, rows, &mut Vec::new());
    }

    /// As above, with first bytes that lead into every kind, transform and coder.
    #[test]
    fn any_fields_never_panic(
        kind in 0u8..8,
        exponent in 0u8..32,
        tag in any::<u8>(),
        rest in prop::collection::vec(any::<u8>(), 0..600),
        rows in 0usize..600,
    ) {
        let mut blob = vec![kind | exponent << 3, tag];
        blob.extend(rest);
        let mut out = Vec::new();
        if column::decode(&blob, rows, &mut out).is_ok() {
            prop_assert_eq!(out.len(), rows);
        }
        let _ = times::decode(&blob[1..], rows, &mut Vec::new());
    }

    #[test]
    fn damaged_chunks_never_panic(
        columns in prop::collection::vec(any_column(40..41), 2..6),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        struct Blobs(Vec<Vec<u8>>);
        impl Peers for Blobs {
            fn blob(&self, column: usize) -> Result<&[u8], Damaged> {
                self.0.get(column).map(Vec::as_slice).ok_or(Damaged("none"))
            }
        }
        let rows = columns.iter().map(Vec::len).min().unwrap_or(0);
        let mut encoder = Encoder::default();
        for column in columns.iter().chain(&columns) {
            encoder.push(&column[..rows]);
        }
        let mut blobs: Vec<Vec<u8>> = (0..encoder.len()).map(|c| encoder.blob(c).to_vec()).collect();
        let victim = at.index(blobs.len());
        let position = at.index(blobs[victim].len());
        blobs[victim][position] = byte;
        let peers = Blobs(blobs);
        for column in 0..encoder.len() {
            let mut out = Vec::new();
            if Decoder::default().decode(&peers.0[column], rows, column, &peers, &mut out).is_ok() {
                prop_assert_eq!(out.len(), rows);
            }
        }
    }
}

/// Every way in which a series can come and go within a small chunk.
#[test]
fn series_that_come_and_go() {
    for pattern in 0..4_usize.pow(8) {
        let of = |row: u32| [1.0, 2.5, ABSENT, STALE][pattern / 4_usize.pow(row) % 4];
        let values: Vec<f64> = (0..8).map(of).collect();
        check(&values);
    }
}
