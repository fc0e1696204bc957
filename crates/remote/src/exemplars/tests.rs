use narthex_model::{Labels, relabel};
use narthex_store::Exemplar;
use narthex_testkit::proto::{self, WriteRequest, v2};
use prost::Message as _;

use super::*;

/// The exemplars of a request: `series labels value time`.
pub(crate) fn read(version: Version, plain: &[u8]) -> Vec<String> {
    let mut read = Vec::new();
    let mut put = |series: &Labels, labels: &Labels, value: f64, at: i64| {
        read.push(format!("{series} {labels} {value} {at}"));
    };
    if version == Version::V1 {
        let labels = |labels: &[proto::Label]| {
            Labels::from_pairs(labels.iter().map(|label| (&label.name, &label.value)))
        };
        for series in &WriteRequest::decode(plain).unwrap().timeseries {
            for one in &series.exemplars {
                put(&labels(&series.labels), &labels(&one.labels), one.value, one.timestamp);
            }
        }
        return read;
    }
    let request = v2::Request::decode(plain).unwrap();
    assert_eq!(request.symbols[0], "");
    let text = |number: u32| &request.symbols[number as usize];
    let labels = |references: &[u32]| {
        assert!(references.len().is_multiple_of(2));
        Labels::from_pairs(references.chunks(2).map(|pair| (text(pair[0]), text(pair[1]))))
    };
    for series in &request.timeseries {
        for one in &series.exemplars {
            put(&labels(&series.labels_refs), &labels(&one.labels_refs), one.value, one.timestamp);
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
