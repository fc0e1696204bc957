//! Whether two servers gave the same answer.

use serde_json::Value;

/// Values may differ by this share.
const TOLERANCE: f64 = 1e-9;

/// What is different, if anything is.
pub(crate) fn difference(ours: &[u8], theirs: &[u8]) -> Option<String> {
    let ours: Value = serde_json::from_slice(ours).ok()?;
    let theirs: Value = serde_json::from_slice(theirs).ok()?;
    if ours["status"] != "success" || theirs["status"] != "success" {
        return (ours["error"] != theirs["error"])
            .then(|| format!("{} / {}", ours["error"], theirs["error"]));
    }
    let (ours, theirs) = (series(&ours), series(&theirs));
    if ours.len() != theirs.len() {
        return Some(format!("{} series / {}", ours.len(), theirs.len()));
    }
    for ((our_name, our), (their_name, their)) in ours.iter().zip(&theirs) {
        if our_name != their_name {
            return Some(format!("{our_name} / {their_name}"));
        }
        if our.len() != their.len() {
            return Some(format!("{our_name}: {} samples / {}", our.len(), their.len()));
        }
        if let Some((a, b)) = our.iter().zip(their).find(|(a, b)| !same(a, b)) {
            return Some(format!("{our_name}: {a} / {b}"));
        }
    }
    None
}

/// Series by their labels, with their samples.
fn series(answer: &Value) -> Vec<(String, Vec<Value>)> {
    let result = answer["data"]["result"].as_array().cloned().unwrap_or_default();
    let mut all: Vec<_> = result
        .into_iter()
        .map(|item| {
            let samples = match &item["values"] {
                Value::Array(values) => values.clone(),
                _ => vec![item["value"].clone()],
            };
            (item["metric"].to_string(), samples)
        })
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

fn same(a: &Value, b: &Value) -> bool {
    let number = |value: &Value| value[1].as_str().and_then(|text| text.parse::<f64>().ok());
    let (Some(x), Some(y)) = (number(a), number(b)) else { return a == b };
    let close = (x - y).abs() <= TOLERANCE * x.abs().max(y.abs());
    a[0] == b[0] && (close || x.to_bits() == y.to_bits() || x.is_nan() && y.is_nan())
}
