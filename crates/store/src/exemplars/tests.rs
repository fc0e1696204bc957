use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const ALL: TimeRange = TimeRange { start: Timestamp::MIN, end: Timestamp::MAX };

fn series(number: u32) -> SeriesRef {
    SeriesRef::new(number + 1).unwrap()
}

fn labels(number: u32) -> Labels {
    Labels::from_pairs([("__name__", format!("s{number}"))])
}

fn incoming(value: f64, at: i64, timed: bool) -> Incoming<'static> {
    let mut incoming = Incoming::new(value, Timestamp(at), timed);
    incoming.label("trace_id", "abc");
    incoming
}

/// Offers with a place that is right, wrong or none.
fn offer(ring: &mut Ring, of: u32, exemplar: &Incoming<'_>) -> Taken {
    let mut place = of.wrapping_mul(7) % 5;
    ring.offer(series(of), &mut place, exemplar, RowSeq(1), || Some(labels(of)))
}

fn shown(ring: &Ring) -> Vec<(String, Vec<(i64, f64)>)> {
    let series = ring.series_in(ALL);
    let mut found: Vec<_> =
        series.iter().map(|(series, _)| ring.read(*series, ALL).unwrap()).collect();
    found.sort_by(|a, b| a.labels.cmp(&b.labels));
    let pairs = |series: &SeriesExemplars| {
        series.exemplars.iter().map(|exemplar| (exemplar.at.0, exemplar.value)).collect()
    };
    found.iter().map(|series| (series.labels.metric_name().to_owned(), pairs(series))).collect()
}

fn ring(max: usize) -> Ring {
    let mut ring = Ring::default();
    ring.set_max(max);
    ring
}

#[test]
fn repeated_ones_are_silent_and_older_ones_refused() {
    let mut ring = ring(10);
    assert_eq!(offer(&mut ring, 0, &incoming(1.0, 100, true)), Taken::Kept);
    assert_eq!(offer(&mut ring, 0, &incoming(1.0, 100, true)), Taken::Repeated);
    // One without a time of its own is another than one that brought it.
    assert_eq!(offer(&mut ring, 0, &incoming(1.0, 99, false)), Taken::OutOfOrder);
    assert_eq!(offer(&mut ring, 0, &incoming(1.0, 101, false)), Taken::Kept);
    assert_eq!(offer(&mut ring, 0, &incoming(1.0, 102, false)), Taken::Repeated);
    assert_eq!(offer(&mut ring, 0, &incoming(2.0, 102, false)), Taken::Kept);
    assert_eq!(offer(&mut ring, 0, &incoming(1.0, 102, true)), Taken::OutOfOrder);
    let mut other = Incoming::new(2.0, Timestamp(102), true);
    other.label("trace_id", "abb");
    assert_eq!(offer(&mut ring, 0, &other), Taken::OutOfOrder);
    other.label("trace_id", "abd");
    assert_eq!(offer(&mut ring, 0, &other), Taken::Kept);
    let nan = incoming(f64::NAN, 200, true);
    assert_eq!([0; 2].map(|_| offer(&mut ring, 0, &nan)), [Taken::Kept; 2]);
}

#[test]
fn labels_have_a_length() {
    let mut ring = ring(10);
    let of = |name: &str, value: &str, ring: &mut Ring| {
        let mut incoming = Incoming::new(1.0, Timestamp(1), true);
        incoming.label(name, value);
        offer(ring, u32::try_from(value.len()).unwrap(), &incoming)
    };
    assert_eq!(of("l", &"\u{1f600}".repeat(127), &mut ring), Taken::Kept);
    assert_eq!(of("l", &"x".repeat(128), &mut ring), Taken::TooLong);
    assert_eq!(of("l", &"x".repeat(100_000), &mut ring), Taken::TooLong);
    let names: Vec<String> = (0..70).map(|at| char::from(b'0' + at).to_string()).collect();
    for (count, taken) in [(64, Taken::Kept), (65, Taken::TooLong)] {
        let mut many = Incoming::new(1.0, Timestamp(count), true);
        for name in names.iter().rev().take(usize::try_from(count).unwrap()) {
            many.label(name, "v");
            many.label("", "no name");
            many.label("empty", "");
        }
        assert!(many.labels().is_sorted());
        assert_eq!(offer(&mut ring, 0, &many), taken);
    }
}

#[test]
fn the_newest_of_all_series_are_kept() {
    let mut ring = ring(3);
    for (of, at) in [(0, 1), (1, 2), (0, 3), (0, 4), (2, 5)] {
        assert_eq!(offer(&mut ring, of, &incoming(0.5, at, true)), Taken::Kept);
    }
    assert_eq!(
        shown(&ring),
        [("s0".to_owned(), vec![(3, 0.5), (4, 0.5)]), ("s2".to_owned(), vec![(5, 0.5)])]
    );
    let stats = ring.stats();
    assert_eq!((stats.exemplars, stats.series, stats.appended), (3, 2, 5));
    assert_eq!((stats.oldest, stats.max), (Some(Timestamp(3)), 3));
    // What was evicted is new when it comes again.
    assert_eq!(offer(&mut ring, 1, &incoming(0.5, 2, true)), Taken::Kept);
    assert_eq!(ring.set_max(1), 3);
    assert_eq!(shown(&ring), [("s1".to_owned(), vec![(2, 0.5)])]);
    ring.set_max(0);
    assert_eq!(offer(&mut ring, 1, &incoming(0.5, 9, true)), Taken::Off);
    assert_eq!((ring.stats().bytes, ring.stats().series), (0, 0));
}

#[test]
fn all_together_have_a_limit_in_bytes() {
    let mut ring = ring(100);
    let long = "\u{1f600}".repeat(126);
    for at in 0..100 {
        let mut incoming = Incoming::new(1.0, Timestamp(at), true);
        incoming.label("l", &long);
        assert_eq!(offer(&mut ring, 0, &incoming), Taken::Kept);
        assert!(ring.stats().bytes <= 100 * 320);
    }
    assert!((40..80).contains(&ring.len()), "{}", ring.len());
}

#[test]
fn receivers_get_those_whose_rows_they_have() {
    let exemplars = Exemplars::default();
    exemplars.set_max(4);
    for at in 1..=6 {
        let mut place = 0;
        let labels = || Some(labels(0));
        let new = incoming(1.0, at, true);
        let row = RowSeq(u64::try_from(at).unwrap());
        let taken = exemplars.ring.lock().offer(series(0), &mut place, &new, row, labels);
        assert_eq!(taken, Taken::Kept);
    }
    let mut out = Vec::new();
    // The first two are gone.
    assert_eq!(exemplars.after(0, RowSeq(4), 10, &mut out), (4, 2));
    let times = |out: &[Outgoing]| out.iter().map(|one| one.exemplar.at.0).collect::<Vec<_>>();
    assert_eq!(times(&out), [3, 4]);
    out.clear();
    assert_eq!(exemplars.after(4, RowSeq(9), 1, &mut out), (5, 0));
    assert_eq!(times(&out), [5]);
    assert_eq!(exemplars.next_number(), 6);
    assert_eq!(exemplars.after(6, RowSeq(9), 1, &mut out), (6, 0));
}

/// Exemplars as a list, with the rules written down once more.
#[derive(Default)]
struct Model {
    list: Vec<(u32, i64, f64)>,
}

impl Model {
    fn offer(&mut self, max: usize, of: u32, at: i64, value: f64) -> Taken {
        let newest = self.list.iter().rev().find(|kept| kept.0 == of);
        if let Some(&(_, newest_at, newest_value)) = newest {
            if (newest_at, newest_value) == (at, value) {
                return Taken::Repeated;
            }
            if (at, value) < (newest_at, newest_value) {
                return Taken::OutOfOrder;
            }
        }
        self.list.push((of, at, value));
        if self.list.len() > max {
            self.list.remove(0);
        }
        Taken::Kept
    }

    fn shown(&self) -> Vec<(String, Vec<(i64, f64)>)> {
        let mut by_series: BTreeMap<String, Vec<(i64, f64)>> = BTreeMap::new();
        for &(of, at, value) in &self.list {
            by_series.entry(format!("s{of}")).or_default().push((at, value));
        }
        by_series.into_iter().collect()
    }
}

proptest! {
    #[test]
    fn the_ring_is_a_list_of_the_newest(
        max in 1_usize..12,
        steps in proptest::collection::vec((0_u32..6, 0_i64..20, 0_u8..3, 0_usize..40), 0..200),
    ) {
        let (mut ring, mut model, mut max) = (ring(max), Model::default(), max);
        for (of, at, value, new_max) in steps {
            if (1..12).contains(&new_max) {
                max = new_max;
                ring.set_max(max);
                let over = model.list.len().saturating_sub(max);
                model.list.drain(..over);
            }
            let value = f64::from(value);
            let taken = offer(&mut ring, of, &incoming(value, at, true));
            prop_assert_eq!(taken, model.offer(max, of, at, value));
            prop_assert_eq!(shown(&ring), model.shown());
        }
    }
}
