use narthex_model::{Labels, relabel};
use narthex_store::Exemplar;
use prost::Message as _;

use super::*;

/// A request of protocol 1.0, as far as it is about exemplars.
#[derive(Clone, PartialEq, prost::Message)]
struct Write1 {
    #[prost(message, repeated, tag = "1")]
    series: Vec<Series1>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Series1 {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<crate::proto::Label>,
    #[prost(message, repeated, tag = "3")]
    exemplars: Vec<Exemplar1>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Exemplar1 {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<crate::proto::Label>,
    #[prost(double, tag = "2")]
    value: f64,
    #[prost(int64, tag = "3")]
    at: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Write2 {
    #[prost(string, repeated, tag = "4")]
    symbols: Vec<String>,
    #[prost(message, repeated, tag = "5")]
    series: Vec<Series2>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Series2 {
    #[prost(uint32, repeated, tag = "1")]
    labels: Vec<u32>,
    #[prost(message, repeated, tag = "4")]
    exemplars: Vec<Exemplar2>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Exemplar2 {
    #[prost(uint32, repeated, tag = "1")]
    labels: Vec<u32>,
    #[prost(double, tag = "2")]
    value: f64,
    #[prost(int64, tag = "3")]
    at: i64,
}

/// The exemplars of a request: `series labels value time`.
pub(crate) fn read(version: Version, plain: &[u8]) -> Vec<String> {
    let mut read = Vec::new();
    let mut put = |series: &Labels, labels: &Labels, value: f64, at: i64| {
        read.push(format!("{series} {labels} {value} {at}"));
    };
    if version == Version::V1 {
        let labels = |labels: &[crate::proto::Label]| {
            Labels::from_pairs(labels.iter().map(|label| (&label.name, &label.value)))
        };
        for series in &Write1::decode(plain).unwrap().series {
            for one in &series.exemplars {
                put(&labels(&series.labels), &labels(&one.labels), one.value, one.at);
            }
        }
        return read;
    }
    let request = Write2::decode(plain).unwrap();
    assert_eq!(request.symbols[0], "");
    let text = |number: u32| &request.symbols[number as usize];
    let labels = |references: &[u32]| {
        assert!(references.len().is_multiple_of(2));
        Labels::from_pairs(references.chunks(2).map(|pair| (text(pair[0]), text(pair[1]))))
    };
    for series in &request.series {
        for one in &series.exemplars {
            put(&labels(&series.labels), &labels(&one.labels), one.value, one.at);
        }
    }
    read
}

#[test]
fn requests_decode_to_what_was_kept() {
    let outgoing = |name: &str, id: &str, value, at| {
        let series = Labels::from_pairs([("__name__", name), ("job", "j")]);
        let labels = Labels::from_pairs([("id", id)]);
        Outgoing { series, exemplar: Exemplar { labels, value, at: Timestamp(at) } }
    };
    let all = [
        outgoing("a", "1", 0.5, 1_795_000_000_000),
        outgoing("gone", "2", 1.0, 20),
        outgoing("b", "3", 1.0, 9),
        outgoing("a", "", f64::INFINITY, 30),
    ];
    let mut drop = relabel::Rule::new(relabel::Action::Drop).unwrap();
    drop.source_labels = vec!["__name__".to_owned()];
    drop.regex = narthex_model::regex::Pattern::new("gone").unwrap();
    let external = Labels::from_pairs([("dc", "x")]);
    let prepare = Prepare { external, rules: vec![drop], histograms: false };
    for version in [Version::V1, Version::V2] {
        let request = Request::new(&all, version, &prepare, |at| at < Timestamp(10));
        assert_eq!((request.exemplars, request.dropped, request.too_old), (2, 1, 1));
        let plain = snap::raw::Decoder::new().decompress_vec(&request.body).unwrap();
        assert_eq!(
            read(version, &plain),
            [
                r#"{__name__="a", dc="x", job="j"} {id="1"} 0.5 1795000000000"#,
                r#"{__name__="a", dc="x", job="j"} {} inf 30"#,
            ]
        );
    }
}
