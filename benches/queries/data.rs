//! Two days of a small fleet, made out of recorded bodies.

use std::collections::HashMap;

use anyhow::{Context, Result};
use narthex_model::{ABSENT, Labels, LabelsBuilder, METRIC_NAME};
use narthex_testkit::recording::{self, Frame};

use crate::options::Options;

/// Milliseconds between two rows.
pub(crate) const INTERVAL_MS: i64 = 15_000;
/// The time of the last rows.
pub(crate) const END_MS: i64 = 1_750_003_200_000;

const NODES: usize = 8;
const SERVERS: usize = 2;
const APPS: usize = 8;
/// Frames between the starts of two instances in the recording.
const PHASE: usize = 97;

/// The whole fleet.
#[derive(Debug)]
pub(crate) struct Data {
    pub(crate) targets: Vec<Target>,
    /// Rows of each target.
    pub(crate) rows: usize,
}

/// One target: the recording's columns, played again and again.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) labels: Vec<Labels>,
    columns: std::sync::Arc<Vec<Column>>,
    phase: usize,
    offset_ms: i64,
    rows: usize,
}

#[derive(Debug, Default)]
struct Column {
    name: String,
    values: Vec<f64>,
    /// What a counter gains each time the recording was played; 0 for what is no counter.
    gain: f64,
    /// 10 to the number of decimals that the recording gives.
    unit: f64,
}

impl Data {
    /// Reads the recordings and lays out the fleet.
    pub(crate) fn new(options: &Options) -> Result<Self> {
        let read = |name: &str| -> Result<Vec<Column>> {
            let path = options.recordings.join(format!("{name}.rec.zst"));
            let frames = recording::read(&path);
            Ok(columns(&frames.with_context(|| format!("reading {}", path.display()))?))
        };
        let rows = usize::try_from(options.hours * 3600 / 15)?;
        let mut targets = Vec::new();
        let kinds =
            [("node", NODES, read("node")?), ("vm", SERVERS, read("vm")?), ("app", APPS, app())];
        for (job, count, columns) in kinds {
            let columns = std::sync::Arc::new(columns);
            for instance in 0..count {
                let number = targets.len();
                let labels =
                    columns.iter().map(|column| series_labels(&column.name, job, instance));
                targets.push(Target {
                    labels: labels.collect(),
                    columns: columns.clone(),
                    phase: number * PHASE,
                    offset_ms: i64::try_from(number)? * 1487 % INTERVAL_MS,
                    rows,
                });
            }
        }
        Ok(Self { targets, rows })
    }

    /// How many series there are.
    pub(crate) fn series(&self) -> usize {
        self.targets.iter().map(|target| target.labels.len()).sum()
    }
}

impl Target {
    /// The time of row `row`.
    pub(crate) fn at(&self, row: usize) -> i64 {
        let back = i64::try_from(self.rows - row).unwrap_or(0);
        END_MS - back * INTERVAL_MS + self.offset_ms
    }

    /// The value of a column in row `row`.
    #[expect(clippy::cast_precision_loss, reason = "the recording is played a few dozen times")]
    pub(crate) fn value(&self, column: usize, row: usize) -> f64 {
        let Some(column) = self.columns.get(column) else { return ABSENT };
        let at = row + self.phase;
        let value = column.values.get(at % column.values.len()).copied().unwrap_or(ABSENT);
        if column.gain == 0.0 || !value.is_finite() {
            return value;
        }
        let played = (at / column.values.len()) as f64;
        ((value + played * column.gain) * column.unit).round() / column.unit
    }
}

/// The columns of the first body's series over all frames.
fn columns(frames: &[Frame]) -> Vec<Column> {
    let mut counters: HashMap<Vec<u8>, bool> = HashMap::new();
    let mut places: HashMap<Vec<u8>, usize> = HashMap::new();
    let mut columns: Vec<Column> = Vec::new();
    let mut decimals: Vec<i32> = Vec::new();
    for (index, frame) in frames.iter().enumerate() {
        for line in frame.body.split(|&byte| byte == b'\n') {
            if let Some(kind) = line.strip_prefix(b"# TYPE ") {
                let mut words = kind.split(|&byte| byte == b' ');
                let name = words.next().unwrap_or_default().to_vec();
                let kind = words.next().unwrap_or_default();
                counters.insert(name, matches!(kind, b"counter" | b"histogram" | b"summary"));
            }
            let Some((series, value)) = split(line) else { continue };
            let place = match places.get(series) {
                Some(&place) => place,
                None if index > 0 => continue,
                None => {
                    places.insert(series.to_vec(), columns.len());
                    let name = String::from_utf8_lossy(series).into_owned();
                    columns.push(Column { name, ..Column::default() });
                    decimals.push(0);
                    columns.len() - 1
                }
            };
            let (Some(column), Ok(number)) = (columns.get_mut(place), value.parse::<f64>()) else {
                continue;
            };
            if let (Some((_, digits)), Some(most)) =
                (value.split_once('.'), decimals.get_mut(place))
            {
                *most = (*most).max(i32::try_from(digits.len()).unwrap_or(9).min(9));
            }
            // What a body lacks stays as it was.
            let last = column.values.last().copied().unwrap_or(number);
            column.values.resize(index, last);
            column.values.push(number);
        }
    }
    for (column, decimals) in columns.iter_mut().zip(decimals) {
        let last = column.values.last().copied().unwrap_or(0.0);
        column.values.resize(frames.len(), last);
        column.unit = 10f64.powi(decimals);
        if is_counter(&column.name, &counters) {
            let before = column.values.iter().rev().nth(1).copied().unwrap_or(last);
            let first = column.values.first().copied().unwrap_or(0.0);
            column.gain = last - first + (last - before).max(0.0);
        }
    }
    columns
}

fn is_counter(series: &str, kinds: &HashMap<Vec<u8>, bool>) -> bool {
    let name = series.split('{').next().unwrap_or_default();
    let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
    let known = |name: &str| kinds.get(name.as_bytes()).copied();
    let named = name.ends_with("_total") || name.ends_with("_bucket");
    known(name).or_else(|| family.and_then(known)).unwrap_or(false) || named
}

/// A sample line's series and value.
fn split(line: &[u8]) -> Option<(&[u8], &str)> {
    if line.first().is_none_or(|&byte| byte == b'#') {
        return None;
    }
    let at = line.iter().rposition(|&byte| byte == b' ')?;
    Some((line.get(..at)?, std::str::from_utf8(line.get(at + 1..)?).ok()?))
}

/// The labels of `name{label="value",...}` with job and instance.
fn series_labels(series: &str, job: &str, instance: usize) -> Labels {
    let mut builder = LabelsBuilder::default();
    let (name, mut rest) = series.split_once('{').unwrap_or((series, ""));
    builder.set(METRIC_NAME, name);
    while let Some((label, after)) = rest.split_once("=\"") {
        let mut value = String::new();
        let mut chars = after.char_indices();
        let mut end = after.len();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    end = at + 1;
                    break;
                }
                '\\' => {
                    value.push(chars.next().map_or('\\', |(_, c)| if c == 'n' { '\n' } else { c }));
                }
                c => value.push(c),
            }
        }
        builder.set(label.trim_start_matches(','), &value);
        rest = after.get(end..).unwrap_or("");
    }
    builder.set("job", job).set("instance", &format!("{job}-{instance}:9100"));
    builder.build()
}

/// A web service: requests per handler, as classic histograms.
fn app() -> Vec<Column> {
    const FRAMES: usize = 840;
    const BOUNDS: [&str; 12] =
        ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"];
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    let mut columns = Vec::new();
    for handler in ["/", "/api/items", "/api/items/:id", "/login", "/search", "/static"] {
        let mut buckets = vec![vec![0.0; FRAMES]; BOUNDS.len()];
        let mut sums = vec![0.0; FRAMES];
        let (mut counts, mut sum) = ([0u32; BOUNDS.len()], 0u32);
        for frame in 0..FRAMES {
            for _ in 0..random(40) {
                let bucket = usize::try_from(random(4) + random(4) + random(5)).unwrap_or(0);
                counts.iter_mut().skip(bucket).for_each(|count| *count += 1);
                sum += 1 << bucket;
            }
            for (column, &count) in buckets.iter_mut().zip(&counts) {
                column.splice(frame..=frame, [f64::from(count)]);
            }
            sums.splice(frame..=frame, [f64::from(sum) / 1000.0]);
        }
        let name = |end: &str, le: &str| {
            format!("http_request_duration_seconds_{end}{{handler=\"{handler}\"{le}}}")
        };
        let count = buckets.last().cloned().unwrap_or_default();
        for (bound, values) in BOUNDS.iter().zip(buckets) {
            columns.push(counter(name("bucket", &format!(",le=\"{bound}\"")), values));
        }
        columns.push(counter(name("sum", ""), sums));
        columns.push(counter(name("count", ""), count));
    }
    for gauge in ["app_connections", "app_queue_length", "app_workers", "app_temperature"] {
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let values = (0..FRAMES).map(|_| random(1000) as f64 / 10.0).collect();
        columns.push(Column { name: gauge.to_owned(), values, gain: 0.0, unit: 1.0 });
    }
    columns
}

fn counter(name: String, values: Vec<f64>) -> Column {
    let gain = values.last().copied().unwrap_or(0.0);
    Column { name, values, gain, unit: 1000.0 }
}
