//! What a target says about its metrics: kind, help and unit.

use std::fmt;

/// The kind of a metric family, as the exposition formats name it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MetricKind {
    /// Only ever goes up, but for resets.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Cumulative buckets, a sum and a count.
    Histogram,
    /// A histogram whose buckets may shrink.
    GaugeHistogram,
    /// Quantiles, a sum and a count.
    Summary,
    /// Constant labels with the value 1.
    Info,
    /// One series per state, 0 or 1.
    StateSet,
    /// Nothing was said, or something not known.
    #[default]
    Unknown,
}

impl MetricKind {
    /// The word in the API and in OpenMetrics (`unknown`, not `untyped`).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::GaugeHistogram => "gaugehistogram",
            Self::Summary => "summary",
            Self::Info => "info",
            Self::StateSet => "stateset",
            Self::Unknown => "unknown",
        }
    }

    /// Reads the word of a `# TYPE` line; `untyped` and `unknown` are the same.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "counter" => Self::Counter,
            "gauge" => Self::Gauge,
            "histogram" => Self::Histogram,
            "gaugehistogram" => Self::GaugeHistogram,
            "summary" => Self::Summary,
            "info" => Self::Info,
            "stateset" => Self::StateSet,
            "unknown" | "untyped" => Self::Unknown,
            _ => return None,
        })
    }
}

impl fmt::Display for MetricKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a target says about one metric family.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Metadata {
    /// Its kind.
    pub kind: MetricKind,
    /// Its unit, or empty.
    pub unit: String,
    /// Its help text, unescaped, or empty.
    pub help: String,
}
