//! The messages of remote write 2.0 (`proto/remote_write_v2.proto`).

use super::{Histogram, Sample};

/// What one request carries.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Request {
    /// The texts that the rest refers to by number; the first is empty.
    #[prost(string, repeated, tag = "4")]
    pub symbols: Vec<String>,
    /// Samples, with what is known of their series.
    #[prost(message, repeated, tag = "5")]
    pub timeseries: Vec<TimeSeries>,
}

/// Samples of one series.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TimeSeries {
    /// Names and values by turns, sorted by name.
    #[prost(uint32, repeated, tag = "1")]
    pub labels_refs: Vec<u32>,
    /// In time order.
    #[prost(message, repeated, tag = "2")]
    pub samples: Vec<Sample>,
    /// In time order.
    #[prost(message, repeated, tag = "3")]
    pub histograms: Vec<Histogram>,
    /// In time order.
    #[prost(message, repeated, tag = "4")]
    pub exemplars: Vec<Exemplar>,
    /// What is known of its family.
    #[prost(message, optional, tag = "5")]
    pub metadata: Option<Metadata>,
    /// When it began to count, in milliseconds since 1970; 0 when that is not known.
    #[prost(int64, tag = "6")]
    pub created_timestamp: i64,
}

/// One exemplar.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Exemplar {
    /// Names and values by turns.
    #[prost(uint32, repeated, tag = "1")]
    pub labels_refs: Vec<u32>,
    /// The value.
    #[prost(double, tag = "2")]
    pub value: f64,
    /// Milliseconds since 1970.
    #[prost(int64, tag = "3")]
    pub timestamp: i64,
}

/// What is known of one metric family.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Metadata {
    /// Its kind, with the numbers of protocol 1.0.
    #[prost(int32, tag = "1")]
    pub r#type: i32,
    /// Its help text.
    #[prost(uint32, tag = "3")]
    pub help_ref: u32,
    /// Its unit.
    #[prost(uint32, tag = "4")]
    pub unit_ref: u32,
}
