//! Numbers as labels have them.

use narthex_model::number::GoFloat;

/// As OpenMetrics writes a number: `1.0` for 1.
pub(super) fn open_metrics(value: f64) -> String {
    let text = GoFloat(value).to_string();
    let whole = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    if whole { format!("{text}.0") } else { text }
}
