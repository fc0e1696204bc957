//! Numbers and times as Prometheus writes them in labels and annotations of histograms.

use narthex_model::number::GoFloat;

/// As OpenMetrics writes a number: `1.0` for 1.
pub(super) fn open_metrics(value: f64) -> String {
    let text = GoFloat(value).to_string();
    let whole = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    if whole { format!("{text}.0") } else { text }
}

/// Go's `%.2g`.
pub(super) fn two_digits(value: f64) -> String {
    if !value.is_finite() {
        return GoFloat(value).to_string();
    }
    let text = format!("{value:.1e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..2).contains(&exponent) {
        let decimals = usize::try_from(1 - exponent).unwrap_or(0);
        let plain = format!("{value:.decimals$}");
        return if plain.contains('.') {
            plain.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            plain
        };
    }
    let mantissa = mantissa.trim_end_matches('0').trim_end_matches('.');
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

/// A time to the second, in UTC.
pub(super) fn rfc3339(ms: i64) -> String {
    crate::functions::date::rfc3339(ms.div_euclid(1000))
}
