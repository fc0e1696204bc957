//! Writes JSON as Prometheus writes it, straight into bytes.
//!
//! serde_json is not used for answers: samples are pairs of a number and a string, floats have
//! Go's spelling, and a large matrix must not be built twice in memory.

use std::io::Write as _;

use narthex_model::number::{ApiFloat, PlainFloat};
use narthex_model::{Histogram, Labels, Timestamp};

/// Appends `text` as a JSON string. As Prometheus' encoder does, nothing is escaped but what JSON
/// demands; what was no UTF-8 is U+FFFD already.
pub fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut done = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(bytes.get(done..at).unwrap_or_default());
        done = at + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            control => {
                // Writing into a Vec cannot fail.
                let _ = write!(out, "\\u{control:04x}");
            }
        }
    }
    out.extend_from_slice(bytes.get(done..).unwrap_or_default());
    out.push(b'"');
}

/// Appends a time as seconds, with three decimals unless it is whole.
pub fn seconds(out: &mut Vec<u8>, at: Timestamp) {
    let ms = at.millis();
    if ms < 0 {
        out.push(b'-');
    }
    let ms = ms.unsigned_abs();
    out.extend_from_slice(itoa::Buffer::new().format(ms / 1000).as_bytes());
    if !ms.is_multiple_of(1000) {
        let _ = write!(out, ".{:03}", ms % 1000);
    }
}

/// Appends a value as [`ApiFloat`] prints it. Answers consist of little else, so the common cases
/// go by the shortest way.
fn float(out: &mut Vec<u8>, value: f64) {
    /// Whole numbers below this are exact.
    const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
    let magnitude = value.abs();
    #[expect(clippy::cast_possible_truncation, reason = "compared with the value")]
    let whole = value as i64;
    #[expect(clippy::cast_precision_loss, reason = "it is below 2^53")]
    if magnitude < WHOLE_MAX && (whole as f64).to_bits() == value.to_bits() {
        out.extend_from_slice(itoa::Buffer::new().format(whole).as_bytes());
    } else if (1e-5..1e15).contains(&magnitude) {
        // In this range it writes no exponent, and what is not whole has a fraction.
        out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
    } else {
        let _ = write!(out, "{}", ApiFloat(value));
    }
}

/// Appends a value as a string.
pub fn quoted_float(out: &mut Vec<u8>, value: f64) {
    out.push(b'"');
    float(out, value);
    out.push(b'"');
}

/// Appends `[seconds,"value"]`.
pub fn sample(out: &mut Vec<u8>, at: Timestamp, value: f64) {
    out.push(b'[');
    seconds(out, at);
    out.extend_from_slice(b",\"");
    float(out, value);
    out.extend_from_slice(b"\"]");
}

/// Appends samples of which one follows the other in time.
#[derive(Debug, Default)]
pub struct Samples {
    /// What stands before the last value, with the time: `[1750000000,"`. The last four digits of
    /// the time change most often alone.
    text: [u8; Self::TEXT_BYTES],
    len: usize,
    /// The other digits of the time, as a number; 0 if none of this kind was written yet.
    high: u64,
}

impl Samples {
    /// Room for 16 digits and four signs.
    const TEXT_BYTES: usize = 20;
    /// Four decimal digits.
    const LOW: u64 = 10_000;

    /// As [`sample`].
    pub fn put(&mut self, out: &mut Vec<u8>, at: Timestamp, value: f64) {
        if !self.set_time(at) {
            return sample(out, at, value);
        }
        out.extend_from_slice(self.text.get(..self.len).unwrap_or_default());
        float(out, value);
        out.extend_from_slice(b"\"]");
    }

    /// Writes the time into the text, if it is of the usual kind: whole seconds of this epoch.
    fn set_time(&mut self, at: Timestamp) -> bool {
        let Ok(ms) = u64::try_from(at.millis()) else { return false };
        let (seconds, rest) = (ms / 1000, ms % 1000);
        let (high, low) = (seconds / Self::LOW, seconds % Self::LOW);
        if rest != 0 || high == 0 {
            return false;
        }
        if high != self.high {
            let mut digits = itoa::Buffer::new();
            let digits = digits.format(high).as_bytes();
            let mut text = [b"[", digits, b"0000,\""].concat();
            self.len = text.len();
            text.resize(Self::TEXT_BYTES, 0);
            let Ok(text) = text.try_into() else { return false };
            (self.text, self.high) = (text, high);
        }
        let digits = self.len.checked_sub(6).and_then(|from| self.text.get_mut(from..from + 4));
        let mut low = low;
        for digit in digits.unwrap_or_default().iter_mut().rev() {
            *digit = b'0' + u8::try_from(low % 10).unwrap_or(0);
            low /= 10;
        }
        true
    }
}

/// Appends `[seconds,{"count":...,"sum":...,"buckets":[[boundaries,lower,upper,count],...]}]`.
pub fn histogram(out: &mut Vec<u8>, at: Timestamp, histogram: &Histogram) {
    out.push(b'[');
    seconds(out, at);
    let (count, sum) = (ApiFloat(histogram.count), ApiFloat(histogram.sum));
    let _ = write!(out, ",{{\"count\":\"{count}\",\"sum\":\"{sum}\"");
    let mut first = true;
    for bucket in histogram.buckets().filter(|bucket| bucket.count != 0.0) {
        let boundaries = match (bucket.lower_inclusive, bucket.upper_inclusive) {
            (false, true) => 0,
            (true, false) => 1,
            (false, false) => 2,
            (true, true) => 3,
        };
        let (lower, upper) = (ApiFloat(bucket.lower), ApiFloat(bucket.upper));
        let start = if first { ",\"buckets\":[" } else { "," };
        let count = ApiFloat(bucket.count);
        let _ = write!(out, "{start}[{boundaries},\"{lower}\",\"{upper}\",\"{count}\"]");
        first = false;
    }
    out.extend_from_slice(if first { b"}]" } else { b"]}]" });
}

/// Appends `[seconds,"value"]` of a scalar. Prometheus writes it by other code than samples: the
/// time is a plain JSON number, the value never has an exponent.
pub fn scalar(out: &mut Vec<u8>, at: Timestamp, value: f64) {
    out.push(b'[');
    short_seconds(out, at);
    let _ = write!(out, ",\"{}\"]", PlainFloat(value));
}

/// Appends a time as seconds, without zeros at the end.
pub fn short_seconds(out: &mut Vec<u8>, at: Timestamp) {
    seconds(out, at);
    if !at.millis().unsigned_abs().is_multiple_of(1000) {
        while out.last() == Some(&b'0') {
            out.pop();
        }
    }
}

/// Appends labels as an object, in the order of names.
pub fn labels(out: &mut Vec<u8>, labels: &Labels) {
    out.push(b'{');
    for (index, (name, value)) in labels.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        string(out, name);
        out.push(b':');
        string(out, value);
    }
    out.push(b'}');
}

/// Appends a list of strings.
pub fn strings<T: AsRef<str>>(out: &mut Vec<u8>, items: impl IntoIterator<Item = T>) {
    list(out, items, |out, item| string(out, item.as_ref()));
}

/// Appends a list, each item by `put`.
pub fn list<T>(
    out: &mut Vec<u8>,
    items: impl IntoIterator<Item = T>,
    mut put: impl FnMut(&mut Vec<u8>, T),
) {
    out.push(b'[');
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        put(out, item);
    }
    out.push(b']');
}

/// Writes an object field by field.
#[derive(Debug)]
pub struct Object<'a> {
    out: &'a mut Vec<u8>,
    empty: bool,
}

impl<'a> Object<'a> {
    /// Begins an object; [`Object::end`] closes it.
    pub fn begin(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, empty: true }
    }

    /// Writes the name of a field; the value goes into what is returned.
    pub fn field(&mut self, name: &str) -> &mut Vec<u8> {
        if !self.empty {
            self.out.push(b',');
        }
        self.empty = false;
        string(self.out, name);
        self.out.push(b':');
        self.out
    }

    /// A field that is a string.
    pub fn text(&mut self, name: &str, value: &str) -> &mut Self {
        string(self.field(name), value);
        self
    }

    /// A field that prints as a JSON number, boolean or null.
    pub fn plain(&mut self, name: &str, value: impl std::fmt::Display) -> &mut Self {
        let _ = write!(self.field(name), "{value}");
        self
    }

    /// Closes the object.
    pub fn end(self) {
        self.out.push(b'}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(put: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        put(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn samples_in_a_row_are_written_as_single_ones() {
        let times = [
            0,
            15_000,
            9_999_000,
            10_000_000,
            10_015_000,
            10_015_001,
            1_750_003_140_000,
            1_750_003_155_000,
            1_750_009_999_000,
            1_750_010_000_000,
            -1000,
            -10_000_000,
            1,
            i64::MAX,
            i64::MAX / 1000 * 1000,
            20_000_000,
            i64::MIN,
        ];
        let mut samples = Samples::default();
        for at in times.map(Timestamp) {
            let wanted = text(|out| sample(out, at, 0.25));
            assert_eq!(text(|out| samples.put(out, at, 0.25)), wanted);
        }
    }

    #[test]
    fn writes_samples_as_prometheus() {
        let value = |ms, value| text(|out| sample(out, Timestamp(ms), value));
        assert_eq!(value(1_435_781_451_781, 1.5), r#"[1435781451.781,"1.5"]"#);
        assert_eq!(value(1000, f64::NAN), r#"[1,"NaN"]"#);
        assert_eq!(value(1010, f64::INFINITY), r#"[1.010,"+Inf"]"#);
        assert_eq!(value(-1500, 1e-7), r#"[-1.500,"1e-07"]"#);
        let scalar = |ms, value| text(|out| scalar(out, Timestamp(ms), value));
        assert_eq!(scalar(1500, 1e-7), r#"[1.5,"0.0000001"]"#);
        assert_eq!(scalar(10_000, f64::NEG_INFINITY), r#"[10,"-Inf"]"#);
    }

    #[test]
    fn writes_floats_as_the_slow_way_does() {
        let mut bits = 0x9e37_79b9_7f4a_7c15_u64;
        let special = [0.0, -0.0, 1e15, 1e-5, 9.999e-6, -1.0, 1e21, 9_007_199_254_740_993.0];
        let random = (0..200_000).map(|index| {
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            match index % 3 {
                0 => f64::from_bits(bits),
                1 => f64::from((bits >> 40) as u32) / 1000.0,
                _ => f64::from((bits >> 32) as u32) * 10f64.powi((bits % 40) as i32 - 25),
            }
        });
        for value in special.into_iter().chain(random) {
            let (fast, slow) = (text(|out| float(out, value)), ApiFloat(value).to_string());
            // Where two texts are as short and as near, Go takes the even one.
            let tie = fast.len() == slow.len() && fast.parse::<f64>() == Ok(value);
            assert!(fast == slow || tie && value.abs() > 1e12, "{fast} / {slow}");
        }
    }

    #[test]
    fn escapes_what_json_demands() {
        assert_eq!(
            text(|out| string(out, "a\"\\\n\u{1}<\u{e9}")),
            "\"a\\\"\\\\\\n\\u0001<\u{e9}\""
        );
        let pair = Labels::from_pairs([("b", "2"), ("a", "\t")]);
        assert_eq!(text(|out| labels(out, &pair)), r#"{"a":"\t","b":"2"}"#);
    }

    #[test]
    fn separates_fields() {
        let out = text(|out| {
            let mut object = Object::begin(out);
            object.text("a", "x").plain("b", 3);
            object.end();
        });
        assert_eq!(out, r#"{"a":"x","b":3}"#);
    }
}
