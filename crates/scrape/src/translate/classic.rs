//! Series of classic histograms, gathered until a histogram is whole.

use std::cmp::Ordering;
use std::collections::HashSet;

use narthex_expo::bound;
use narthex_model::histogram::Classic;
use narthex_model::{Hashing, Labels, LabelsBuilder, METRIC_NAME, MetricKind};

use super::text::Text;
use super::{LineExemplar, TranslateError};

/// The label with the bound of a bucket.
const BOUND: &str = "le";

/// One number of a classic histogram.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Number {
    Bucket(f64),
    Count,
    Sum,
}

/// A series that may be one of a histogram.
#[derive(Debug)]
pub(super) struct Series {
    /// The metric's name without the suffix of such a series.
    base: String,
    /// Its labels but for the name and the bound.
    labels: Labels,
    number: Option<Number>,
    value: f64,
}

impl Series {
    pub(super) fn new(name: &str, labels: Labels, le: Option<f64>, value: f64) -> Self {
        let (base, number) = if let Some(base) = name.strip_suffix("_bucket") {
            (base, le.map(Number::Bucket))
        } else if let Some(base) = name.strip_suffix("_count") {
            (base, Some(Number::Count))
        } else if let Some(base) = name.strip_suffix("_sum") {
            (base, Some(Number::Sum))
        } else {
            (name, None)
        };
        Self { base: base.to_owned(), labels, number, value }
    }

    /// A series as it stands in a text.
    pub(super) fn of(labels: &LabelsBuilder, value: f64) -> Self {
        let name = labels.get(METRIC_NAME).unwrap_or("");
        let le = labels.get(BOUND).and_then(bound);
        let rest = labels.iter().filter(|(name, _)| *name != METRIC_NAME && *name != BOUND);
        Self::new(name, Labels::from_pairs(rest), le, value)
    }
}

/// A histogram of which more series may come.
#[derive(Debug)]
struct Pending {
    name: String,
    labels: Labels,
    classic: Classic,
    /// The timestamp of the last series.
    stamp: Vec<u8>,
    exemplars: Vec<LineExemplar>,
}

impl Pending {
    fn is_of(&self, name: &str, labels: &Labels) -> bool {
        self.name == name && self.labels == *labels
    }
}

/// What is known between two lines of a body.
#[derive(Debug)]
pub(super) struct Gather {
    family: String,
    kind: MetricKind,
    pending: Option<Pending>,
    /// The last native histogram: the classic form of the same one is not converted.
    native: Option<(String, Labels)>,
    /// Histograms that were written, with their timestamps.
    done: HashSet<(String, Labels, Vec<u8>), Hashing>,
}

impl Default for Gather {
    fn default() -> Self {
        Self {
            family: String::new(),
            kind: MetricKind::Unknown,
            pending: None,
            native: None,
            done: HashSet::default(),
        }
    }
}

impl Gather {
    /// Begins a family.
    pub(super) fn family(
        &mut self,
        text: &mut Text<'_>,
        name: &str,
        kind: MetricKind,
    ) -> Result<(), TranslateError> {
        self.flush(text)?;
        name.clone_into(&mut self.family);
        self.kind = kind;
        Ok(())
    }

    /// Whether series of the family can be those of a histogram.
    pub(super) fn may_take(&self) -> bool {
        self.kind == MetricKind::Histogram
    }

    /// Whether a series tells when its metric was created. Prometheus leaves these out where it
    /// converts, as the start of the histogram.
    pub(super) fn is_creation(&self, name: &str) -> bool {
        let counts = [MetricKind::Counter, MetricKind::Histogram, MetricKind::Summary];
        counts.contains(&self.kind) && name.ends_with("_created")
    }

    /// Takes notice of a native histogram.
    pub(super) fn native(
        &mut self,
        text: &mut Text<'_>,
        name: &str,
        labels: Labels,
    ) -> Result<(), TranslateError> {
        self.flush(text)?;
        self.native = Some((name.to_owned(), labels));
        Ok(())
    }

    /// Takes a series, if it is one of a histogram; tells whether it is.
    pub(super) fn series(
        &mut self,
        text: &mut Text<'_>,
        series: Series,
        stamp: &[u8],
        exemplar: Option<&LineExemplar>,
    ) -> Result<bool, TranslateError> {
        let Series { base, labels, number, value } = series;
        let same = |pending: &Pending| self.may_take() && pending.is_of(&base, &labels);
        if !self.pending.as_ref().is_some_and(same) {
            self.flush(text)?;
        }
        let native = |(name, of): &(String, Labels)| *name == base && *of == labels;
        let Some(number) = number.filter(|_| {
            self.may_take() && base == self.family && !self.native.as_ref().is_some_and(native)
        }) else {
            return Ok(false);
        };
        let pending = self.pending.get_or_insert_with(|| Pending {
            name: base,
            labels,
            classic: Classic::default(),
            stamp: Vec::new(),
            exemplars: Vec::new(),
        });
        match number {
            Number::Bucket(bound) => pending.classic.bucket(bound, value),
            Number::Count => pending.classic.count(value),
            Number::Sum => pending.classic.sum(value),
        }
        pending.stamp.clear();
        pending.stamp.extend_from_slice(stamp);
        pending.exemplars.extend(exemplar.cloned());
        Ok(true)
    }

    /// Writes the histogram that is whole now, if its series agree.
    pub(super) fn flush(&mut self, text: &mut Text<'_>) -> Result<(), TranslateError> {
        let Some(pending) = self.pending.take() else { return Ok(()) };
        let Pending { name, labels, classic, stamp, mut exemplars } = pending;
        let Some(histogram) = classic.convert() else { return Ok(()) };
        // As with other native histograms: without its time nobody could say whether it is new.
        exemplars.retain(|exemplar| exemplar.at.is_some());
        exemplars.sort_by(|a, b| {
            let by_value = || a.value.partial_cmp(&b.value).unwrap_or(Ordering::Equal);
            a.at.cmp(&b.at).then_with(by_value).then_with(|| a.labels.cmp(&b.labels))
        });
        let pairs: Vec<(&str, &str)> = labels.iter().collect();
        let key = (name.clone(), labels.clone(), stamp.clone());
        if self.done.insert(key) {
            text.histogram(&name, &pairs, histogram, &stamp, exemplars)
        } else {
            text.repeated(&name, &pairs, histogram.0.count, &stamp)
        }
    }
}
