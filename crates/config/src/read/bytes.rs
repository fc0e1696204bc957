//! Sizes in bytes, as `16MB` or `16MiB`: the units are powers of two either way.

use crate::node::{Node, Yaml};
use crate::read::Context;
use crate::write::Out;

const UNITS: [&str; 7] = ["B", "KB", "MB", "GB", "TB", "PB", "EB"];

/// Reads a size from a configuration.
pub(crate) fn read(node: &Node, cx: &mut Context<'_>) -> Option<u64> {
    let size = match &node.value {
        Yaml::Scalar { text, .. } => parse(text),
        _ => None,
    };
    if size.is_none() {
        cx.expected(node, "a size such as 512KB, 16MB or 1GB");
    }
    size
}

/// `0`, or numbers with units (`1GB512MB`, `1.5MB`).
pub(crate) fn parse(text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let mut total = 0u64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let (number, tail) = rest.split_at(digits);
        let end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let unit = unit.replace("iB", "B");
        let power = UNITS.iter().position(|&name| name == unit)?;
        total = total.checked_add(scaled(number, 1u64 << (10 * power))?)?;
        rest = tail;
    }
    (!text.is_empty() && i64::try_from(total).is_ok()).then_some(total)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "the range is checked, and only a fraction of a byte is lost"
)]
fn scaled(number: &str, unit: u64) -> Option<u64> {
    if let Ok(number) = number.parse::<u64>() {
        return number.checked_mul(unit);
    }
    let bytes = number.parse::<f64>().ok()? * unit as f64;
    (bytes >= 0.0 && bytes < i64::MAX as f64).then_some(bytes as u64)
}

/// The largest unit that is exact, as Go's `units.Base2Bytes` prints it.
pub(crate) fn write(mut bytes: u64) -> Out {
    let mut out = String::new();
    for (power, unit) in UNITS.iter().enumerate().rev() {
        let size = 1u64 << (10 * power);
        if bytes >= size {
            out.push_str(&(bytes / size).to_string());
            out.push_str(&unit.replace('B', if power > 0 { "iB" } else { "B" }));
            bytes %= size;
        }
    }
    Out::Plain(if out.is_empty() { "0B".to_owned() } else { out })
}
