//! A query ends when it holds too much, takes too long or is no longer wanted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use narthex_model::{Clock, Labels, Timestamp};
use narthex_promql::{Error, Options, instant, parse, range};
use narthex_store::{Row, Snapshot};

fn snapshot() -> Snapshot {
    let (store, mut writer) = narthex_store::testing::memory_store();
    let source = writer.new_source();
    let layout = writer.new_layout(source).expect("a layout");
    let up = writer.resolve(&Labels::from_pairs([("__name__", "up")])).expect("a series");
    writer.add_columns(layout, &[up]).expect("a column");
    for step in 0..100 {
        let at = Timestamp(step * 1000);
        writer.append(&Row { layout, at, values: &[1.0], changed: None }).expect("a row");
    }
    store.snapshot()
}

fn run(query: &str, options: &Options) -> Result<(), Error> {
    let plan = parse(query)?;
    instant(&plan, &snapshot(), Timestamp(99_000), options).map(|_| ())
}

#[test]
fn samples_are_limited() {
    let options = Options { max_samples: 50, ..Options::default() };
    assert_eq!(run("sum_over_time(up[2m])", &options), Err(Error::TooManySamples));
    assert_eq!(run("sum_over_time(up[20s])", &options), Ok(()));
    let bomb = "quantile_over_time(0.5, vector(1)[10d:10ms])";
    assert_eq!(run(bomb, &Options::default()), Err(Error::TooManySamples));
    let small = Options { memory_bytes_max: 1 << 20, ..Options::default() };
    let wanted = Error::TooMuchMemory { max_bytes: 1 << 20 };
    assert_eq!(run("vector(1)[1d:100ms]", &small), Err(wanted));
    let plan = parse("vector(1)").expect("a query");
    let (start, end) = (Timestamp(i64::MIN), Timestamp(i64::MAX));
    let step = Duration::from_millis(1);
    let result = range(&plan, &snapshot(), start, end, step, &Options::default());
    assert_eq!(result.map(|_| ()), Err(Error::TooManySamples));
}

/// A clock on which a second goes by whenever it is read.
#[derive(Debug, Default)]
struct Hasty(AtomicI64);

impl Clock for Hasty {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.fetch_add(1000, Ordering::Relaxed))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(u64::try_from(self.0.fetch_add(1, Ordering::Relaxed)).unwrap_or(0))
    }
}

#[test]
fn time_is_limited_and_a_flag_stops() {
    let clock: Option<Arc<dyn Clock>> = Some(Arc::new(Hasty::default()));
    let timeout = Duration::from_secs(2);
    let options = Options { clock, timeout, ..Options::default() };
    assert_eq!(run("up", &options), Ok(()));
    assert_eq!(run("up + up + up + up", &options), Err(Error::Timeout(timeout)));
    let canceled = Some(Arc::new(AtomicBool::new(true)));
    let options = Options { canceled, ..Options::default() };
    assert_eq!(run("up", &options), Err(Error::Canceled));
}

#[test]
fn the_highest_tree_fits_a_small_stack() {
    let query = format!("{}up", "up or ".repeat(190));
    let nested = format!("{}up{}", "-abs(".repeat(60), ")".repeat(60));
    let work = move || {
        for query in [&query, &nested] {
            assert_eq!(run(query, &Options::default()), Ok(()), "{query}");
        }
    };
    let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(work);
    thread.expect("a thread").join().expect("no overflow");
}

#[test]
fn experimental_functions_are_off_by_default() {
    let error = run("mad_over_time(up[1m])", &Options::default()).expect_err("not enabled");
    let wanted = "1:1: parse error: function \"mad_over_time\" is not enabled";
    assert_eq!(error.to_string(), wanted);
    let options = Options { experimental: true, ..Options::default() };
    assert_eq!(run("mad_over_time(up[1m])", &options), Ok(()));
}

#[test]
fn memory_is_counted_besides_samples() {
    let (store, mut writer) = narthex_store::testing::memory_store();
    let source = writer.new_source();
    let layout = writer.new_layout(source).expect("a layout");
    let series: Vec<_> = (0..5000)
        .map(|n| {
            let labels = [("__name__", "many".to_owned()), ("n", n.to_string())];
            writer.resolve(&Labels::from_pairs(labels)).expect("a series")
        })
        .collect();
    writer.add_columns(layout, &series).expect("columns");
    let values = vec![1.0; series.len()];
    writer
        .append(&Row { layout, at: Timestamp(1000), values: &values, changed: None })
        .expect("a row");
    let run = |query: &str, memory_bytes_max| {
        let plan = parse(query).expect("a query");
        let options = Options { memory_bytes_max, ..Options::default() };
        instant(&plan, &store.snapshot(), Timestamp(1000), &options).map(|_| ())
    };
    // Each of the series takes some hundred bytes while they are read.
    let wanted = Error::TooMuchMemory { max_bytes: 1 << 20 };
    assert_eq!(run("sum(many)", 1 << 20), Err(wanted));
    assert_eq!(run("sum(many)", 1 << 22), Ok(()));
    assert_eq!(run("sum(many) + sum(many) + sum(many)", 1 << 22), Ok(()));
    // A subquery's samples are put into rows, which takes more than the samples alone.
    let wanted = Error::TooMuchMemory { max_bytes: 1 << 20 };
    assert_eq!(run("count_over_time(vector(1)[100s:1ms])", 1 << 20), Err(wanted));
    assert_eq!(run("count_over_time(vector(1)[100s:1ms])", 1 << 22), Ok(()));
}

#[test]
fn lengths_of_time_are_not_nested_without_end() {
    for bomb in [
        format!("up[{}1s]", "1s * ".repeat(10_000)),
        format!("up[{}step()]", "step() * ".repeat(6_000)),
        format!("up[{}1s{}]", "(".repeat(20_000), ")".repeat(20_000)),
        format!("up offset {}1s", "-".repeat(60_000)),
        format!("up offset ({}1s)", "-".repeat(60_000)),
        format!("up[{}1s{}]", "min_of(1s, ".repeat(5_000), ")".repeat(5_000)),
        format!("up[{}step(){}]", "(step() * ".repeat(150), ") * step()".repeat(150)),
    ] {
        let error = parse(&bomb).map(|_| ()).expect_err("too high").to_string();
        assert!(error.contains("nested deeper than"), "{bomb:.40}: {error}");
    }
    let long = format!("up[{}1s]", "1s + ".repeat(100));
    assert_eq!(parse(&long).map(|_| ()), Ok(()));
}
