#![expect(clippy::float_cmp, reason = "the numbers of these tests are exact")]

use proptest::prelude::*;

use super::*;

fn bars(first: i32, counts: &[f64]) -> Vec<Bar> {
    counts.iter().zip(first..).map(|(&count, index)| Bar { index, count }).collect()
}

fn histogram(counts: &[f64]) -> Histogram {
    let count = counts.iter().sum();
    Histogram { count, sum: 5.0, positive: bars(0, counts), ..Histogram::default() }
}

fn custom(bounds: &[f64], counts: &[f64]) -> Histogram {
    let bounds = Arc::from(bounds);
    Histogram { schema: CUSTOM_SCHEMA, bounds, ..histogram(counts) }
}

#[test]
fn bounds_are_powers() {
    for (index, schema, want) in [
        (0, 0, 1.0),
        (1, 0, 2.0),
        (-1, 0, 0.5),
        (1, -1, 4.0),
        (1, -4, 65_536.0),
        (64, -4, f64::MAX),
        (65, -4, f64::INFINITY),
        (1024, 0, f64::MAX),
        (1025, 0, f64::INFINITY),
        (-1074, 0, 5e-324),
        (256, 8, 2.0),
        (-256, 8, 0.5),
        (1, 1, 2.0_f64.sqrt().next_down()),
        (1 << 18, 8, f64::MAX),
    ] {
        assert_eq!(exponential_bound(index, schema).to_bits(), f64::to_bits(want), "{index}");
    }
    for schema in EXPONENTIAL_SCHEMAS {
        for index in -60..60 {
            let exact = (f64::from(index) * f64::from(-schema).exp2()).exp2();
            let bound = exponential_bound(index, schema);
            let close = (bound / exact - 1.0).abs() < 1e-15 || exact > f64::MAX;
            assert!(close, "{index} {schema}: {bound} {exact}");
        }
    }
}

#[test]
fn it_prints_as_prometheus_prints_it() {
    let mut h = histogram(&[1.0, 0.0, 2.0]);
    h.zero_count = 1.0;
    h.zero_threshold = 0.001;
    h.negative = bars(0, &[1e6]);
    assert_eq!(
        h.to_string(),
        "{count:3, sum:5, [-1,-0.5):1e+06, [-0.001,0.001]:1, (0.5,1]:1, (2,4]:2}"
    );
    assert_eq!(custom(&[1.0], &[1.0, 2.0]).to_string(), "{count:3, sum:5, [-Inf,1]:1, (1,+Inf]:2}");
}

#[test]
fn spans_and_buckets_are_the_same() {
    let spans = [Span { offset: -2, length: 2 }, Span { offset: 3, length: 1 }];
    let bars = from_spans(&spans, [1.0, 2.0, 3.0]).unwrap();
    assert_eq!(bars.iter().map(|bar| bar.index).collect::<Vec<_>>(), [-2, -1, 3]);
    assert_eq!(to_spans(&bars), spans);
    assert_eq!(from_spans(&spans, [1.0, 2.0]), None);
    assert_eq!(from_spans(&spans, [1.0; 4]), None);
    assert_eq!(from_spans(&[Span { offset: i32::MAX, length: 2 }], [1.0; 2]), None);
    assert_eq!(from_spans(&[spans[1], spans[0]], [1.0; 3]), None);
}

#[test]
fn resolutions_and_zero_buckets_are_reconciled() {
    let mut low = Histogram { schema: -1, ..histogram(&[0.0, 1.0]) };
    let fine = histogram(&[0.0, 0.0, 2.0, 2.0]);
    assert_eq!(low.add(&fine), Ok(Reconciled::default()));
    // (2,4] and (4,8] are in (1,4] and (4,16].
    assert_eq!(low.compacted().positive, bars(1, &[3.0, 2.0]));
    let mut narrow = histogram(&[1.0, 2.0]);
    let wide = Histogram { zero_threshold: 0.7, zero_count: 5.0, ..Histogram::default() };
    narrow.add(&wide).unwrap();
    // 0.7 lies in (0.5,1], which holds something, so the zero bucket ends at 1.
    assert_eq!((narrow.zero_threshold, narrow.zero_count), (1.0, 6.0));
    assert_eq!(narrow.positive, bars(1, &[2.0]));
}

#[test]
fn custom_bounds_are_reconciled() {
    let mut a = custom(&[1.0, 2.0, 3.0], &[1.0, 1.0, 1.0, 1.0]);
    let b = custom(&[2.0, 4.0], &[10.0, 20.0, 40.0]);
    assert_eq!(a.add(&b), Ok(Reconciled { collision: false, bounds: true }));
    assert_eq!((&*a.bounds, &a.positive), (&[2.0][..], &bars(0, &[12.0, 62.0])));
    assert_eq!(a.add(&histogram(&[1.0])), Err(Incompatible));
    assert!(b.is_reset_since(&a) && !b.is_reset_since(&custom(&[2.0], &[10.0, 60.0])));
}

#[test]
fn hints_of_sums() {
    use Hint::{Gauge, NotReset, Reset, Unknown};
    for (a, b, want, collision) in [
        (Reset, NotReset, Unknown, true),
        (Reset, Reset, Reset, false),
        (Gauge, Reset, Gauge, false),
        (NotReset, Gauge, Gauge, false),
        (NotReset, Unknown, Unknown, false),
    ] {
        let mut sum = Histogram { hint: a, ..histogram(&[1.0]) };
        let done = sum.add(&Histogram { hint: b, ..histogram(&[1.0]) }).unwrap();
        assert_eq!((sum.hint, done.collision), (want, collision));
    }
}

#[test]
fn resets_are_found() {
    let before = histogram(&[1.0, 2.0, 1.0]);
    assert!(!histogram(&[1.0, 2.0, 1.0]).is_reset_since(&before));
    assert!(histogram(&[1.0, 1.0, 3.0]).is_reset_since(&before));
    assert!(histogram(&[5.0, 2.0]).is_reset_since(&before));
    assert!(Histogram { schema: 1, ..before.clone() }.is_reset_since(&before));
    assert!(!Histogram { schema: -1, ..histogram(&[2.0, 3.0]) }.is_reset_since(&before));
    let told = Histogram { hint: Hint::NotReset, ..histogram(&[]) };
    assert!(!told.is_reset_since(&before) && !told.continues(&before));
}

#[test]
fn quantiles_and_fractions() {
    let h = histogram(&[1.0, 2.0, 1.0]);
    assert!((h.quantile(0.5).value - 2_f64.sqrt()).abs() < 1e-12);
    assert_eq!(h.fraction(1.0, 2.0).value, 0.5);
    assert_eq!(h.fraction(f64::NEG_INFINITY, f64::INFINITY).value, 1.0);
    assert!(histogram(&[]).quantile(0.5).value.is_nan());
    let nans = Histogram { sum: f64::NAN, count: 8.0, ..h.clone() };
    assert_eq!(nans.quantile(0.9).oddity, Some(Oddity::NanResult));
    assert_eq!(nans.quantile(0.1).oddity, Some(Oddity::NanSkew));
    assert_eq!(nans.fraction(0.0, 1.0).oddity, Some(Oddity::NanExcluded));
    assert_eq!(custom(&[1.0, 2.0], &[0.0, 2.0, 2.0]).quantile(0.9).value, 2.0);
}

#[test]
fn trimming_leaves_one_side() {
    let h = histogram(&[1.0, 2.0, 1.0]);
    assert_eq!(h.trimmed(2.0, TrimSide::Below).count, 3.0);
    assert_eq!(h.trimmed(2.0, TrimSide::Above).count, 1.0);
    let endless = custom(&[2.0], &[4.0, 1.0]).trimmed(1.0, TrimSide::Below);
    assert_eq!((endless.count, endless.positive), (2.0, bars(0, &[2.0])));
}

prop_compose! {
    fn any_histogram()(
        schema in -4..9_i32,
        threshold in prop_oneof![Just(0.0), Just(1.0)],
        zero in 0..5_u8,
        positive in prop::collection::btree_map(-20..20_i32, 0..9_u8, 0..8),
        negative in prop::collection::btree_map(-20..20_i32, 0..9_u8, 0..8),
    ) -> Histogram {
        let side = |map: std::collections::BTreeMap<i32, u8>| {
            map.into_iter()
                .map(|(index, count)| Bar { index, count: f64::from(count) })
                .filter(|bar| exponential_bound(bar.index - 1, schema) >= threshold)
                .collect::<Vec<_>>()
        };
        let (positive, negative) = (side(positive), side(negative));
        let sum_of = |bars: &[Bar]| bars.iter().map(|bar| bar.count).sum::<f64>();
        let count = f64::from(zero) + sum_of(&positive) + sum_of(&negative);
        let zero_count = f64::from(zero);
        Histogram {
            schema, zero_threshold: threshold, zero_count, count, positive, negative,
            ..Histogram::default()
        }
    }
}

proptest! {
    #[test]
    fn no_observation_is_lost(a in any_histogram(), b in any_histogram()) {
        let inside = |h: &Histogram| h.buckets().map(|bucket| bucket.count).sum::<f64>();
        let mut sum = a.clone();
        sum.add(&b).unwrap();
        prop_assert_eq!(inside(&sum), a.count + b.count);
        let mut running = Running::new(&a);
        running.add(&b).unwrap();
        let total = running.total(1.0).compacted();
        prop_assert_eq!(&total, &sum.clone().compacted());
        prop_assert!(!sum.is_reset_since(&b));
        sum.subtract(&b).unwrap();
        prop_assert_eq!(sum.count, a.count);
    }
}
