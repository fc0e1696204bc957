//! The JSON form of a request, made the other one piece by piece.
//!
//! As in Prometheus, keys may have either spelling (`timeUnixNano`, `time_unix_nano`), whole numbers
//! may be texts, identities of traces are hexadecimal, and what is not known is passed over.

use std::cell::Cell;
use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use crate::answer::Failure;

/// Largest JSON text, in bytes.
pub(crate) const JSON_BYTES_MAX: usize = 3 << 20;

/// Largest message that is made of one, in bytes: it is copied from part to part on the way.
const MADE_BYTES_MAX: usize = 4 << 20;

/// What a key holds.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Text,
    Bool,
    /// A varint.
    Whole,
    /// A varint, zigzag.
    Signed,
    /// Eight bytes, with or without a sign.
    Fixed,
    Double,
    /// A number, or the name of one of these, in their order.
    Enum(&'static [&'static str]),
    /// Bytes in hexadecimal digits.
    Hex,
    /// Bytes in base 64.
    Base64,
    Message(&'static [Key]),
}

/// A key of a message, as JSON spells it, its number and what it holds.
type Key = (&'static str, u8, Kind);

const TEMPORALITY: &[&str] = &[
    "AGGREGATION_TEMPORALITY_UNSPECIFIED",
    "AGGREGATION_TEMPORALITY_DELTA",
    "AGGREGATION_TEMPORALITY_CUMULATIVE",
];

static ANY: [Key; 7] = [
    ("stringValue", 1, Kind::Text),
    ("boolValue", 2, Kind::Bool),
    ("intValue", 3, Kind::Whole),
    ("doubleValue", 4, Kind::Double),
    ("arrayValue", 5, Kind::Message(&[("values", 1, Kind::Message(&ANY))])),
    ("kvlistValue", 6, Kind::Message(&[("values", 1, Kind::Message(&PAIR))])),
    ("bytesValue", 7, Kind::Base64),
];

static PAIR: [Key; 2] = [("key", 1, Kind::Text), ("value", 2, Kind::Message(&ANY))];

static EXEMPLAR: &[Key] = &[
    ("timeUnixNano", 2, Kind::Fixed),
    ("asDouble", 3, Kind::Double),
    ("spanId", 4, Kind::Hex),
    ("traceId", 5, Kind::Hex),
    ("asInt", 6, Kind::Fixed),
    ("filteredAttributes", 7, Kind::Message(&PAIR)),
];

static NUMBER: &[Key] = &[
    ("timeUnixNano", 3, Kind::Fixed),
    ("asDouble", 4, Kind::Double),
    ("exemplars", 5, Kind::Message(EXEMPLAR)),
    ("asInt", 6, Kind::Fixed),
    ("attributes", 7, Kind::Message(&PAIR)),
    ("flags", 8, Kind::Whole),
];

static HISTOGRAM: &[Key] = &[
    ("timeUnixNano", 3, Kind::Fixed),
    ("count", 4, Kind::Fixed),
    ("sum", 5, Kind::Double),
    ("bucketCounts", 6, Kind::Fixed),
    ("explicitBounds", 7, Kind::Double),
    ("exemplars", 8, Kind::Message(EXEMPLAR)),
    ("attributes", 9, Kind::Message(&PAIR)),
    ("flags", 10, Kind::Whole),
];

static BUCKETS: &[Key] = &[("offset", 1, Kind::Signed), ("bucketCounts", 2, Kind::Whole)];

static EXPONENTIAL: &[Key] = &[
    ("attributes", 1, Kind::Message(&PAIR)),
    ("timeUnixNano", 3, Kind::Fixed),
    ("count", 4, Kind::Fixed),
    ("sum", 5, Kind::Double),
    ("scale", 6, Kind::Signed),
    ("zeroCount", 7, Kind::Fixed),
    ("positive", 8, Kind::Message(BUCKETS)),
    ("negative", 9, Kind::Message(BUCKETS)),
    ("flags", 10, Kind::Whole),
    ("exemplars", 11, Kind::Message(EXEMPLAR)),
];

static SUMMARY: &[Key] = &[
    ("timeUnixNano", 3, Kind::Fixed),
    ("count", 4, Kind::Fixed),
    ("sum", 5, Kind::Double),
    (
        "quantileValues",
        6,
        Kind::Message(&[("quantile", 1, Kind::Double), ("value", 2, Kind::Double)]),
    ),
    ("attributes", 7, Kind::Message(&PAIR)),
    ("flags", 8, Kind::Whole),
];

static METRIC: &[Key] = &[
    ("name", 1, Kind::Text),
    ("unit", 3, Kind::Text),
    ("gauge", 5, Kind::Message(&[("dataPoints", 1, Kind::Message(NUMBER))])),
    (
        "sum",
        7,
        Kind::Message(&[
            ("dataPoints", 1, Kind::Message(NUMBER)),
            ("aggregationTemporality", 2, Kind::Enum(TEMPORALITY)),
            ("isMonotonic", 3, Kind::Bool),
        ]),
    ),
    (
        "histogram",
        9,
        Kind::Message(&[
            ("dataPoints", 1, Kind::Message(HISTOGRAM)),
            ("aggregationTemporality", 2, Kind::Enum(TEMPORALITY)),
        ]),
    ),
    (
        "exponentialHistogram",
        10,
        Kind::Message(&[
            ("dataPoints", 1, Kind::Message(EXPONENTIAL)),
            ("aggregationTemporality", 2, Kind::Enum(TEMPORALITY)),
        ]),
    ),
    ("summary", 11, Kind::Message(&[("dataPoints", 1, Kind::Message(SUMMARY))])),
];

static SCOPE: &[Key] =
    &[("name", 1, Kind::Text), ("version", 2, Kind::Text), ("attributes", 3, Kind::Message(&PAIR))];

static SCOPE_METRICS: &[Key] = &[
    ("scope", 1, Kind::Message(SCOPE)),
    ("metrics", 2, Kind::Message(METRIC)),
    ("schemaUrl", 3, Kind::Text),
];

static RESOURCE_METRICS: &[Key] = &[
    ("resource", 1, Kind::Message(&[("attributes", 1, Kind::Message(&PAIR))])),
    ("scopeMetrics", 2, Kind::Message(SCOPE_METRICS)),
];

static REQUEST: &[Key] = &[("resourceMetrics", 1, Kind::Message(RESOURCE_METRICS))];

/// Writes the request `text` to `out` as protobuf.
pub(crate) fn to_protobuf(text: &[u8], out: &mut Vec<u8>) -> Result<(), Failure> {
    if text.len() > JSON_BYTES_MAX {
        let text = format!("the JSON has {} bytes, {JSON_BYTES_MAX} are allowed", text.len());
        return Err(Failure::TooLarge(text));
    }
    out.clear();
    let mut reader = serde_json::Deserializer::from_slice(text);
    let made = Cell::new(0);
    let read = Message { keys: REQUEST, out, made: &made }.deserialize(&mut reader);
    read.and_then(|()| reader.end()).map_err(|e| Failure::Malformed(e.to_string()))
}

/// Reads a message.
struct Message<'o> {
    keys: &'static [Key],
    out: &'o mut Vec<u8>,
    /// Values that were read so far, in all messages.
    made: &'o Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for Message<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Message<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            let found = self.keys.iter().find(|(name, ..)| is_key(&key, name));
            match found {
                Some(&(_, number, kind)) => {
                    let made = self.made;
                    map.next_value_seed(Field { number, kind, out: self.out, made })?;
                }
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// Whether a key is `name`, in either spelling.
fn is_key(key: &str, name: &str) -> bool {
    if key == name {
        return true;
    }
    let mut rest = key.chars();
    for c in name.chars() {
        let same = if c.is_ascii_uppercase() {
            rest.next() == Some('_') && rest.next() == Some(c.to_ascii_lowercase())
        } else {
            rest.next() == Some(c)
        };
        if !same {
            return false;
        }
    }
    rest.next().is_none()
}

/// Reads the value of a key, or each of a list of them.
struct Field<'o> {
    number: u8,
    kind: Kind,
    out: &'o mut Vec<u8>,
    made: &'o Cell<usize>,
}

impl Field<'_> {
    /// Begins a value that takes `bytes`.
    fn tag(&mut self, wire: u8, bytes: usize) {
        self.made.set(self.made.get() + bytes + 2);
        self.out.push(self.number << 3 | wire);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        // What stands in a message was counted there.
        let counted = if matches!(self.kind, Kind::Message(_)) { 0 } else { bytes.len() };
        self.tag(2, counted);
        put_varint(self.out, bytes.len() as u64);
        self.out.extend_from_slice(bytes);
    }

    fn whole<E: serde::de::Error>(&mut self, number: i128) -> Result<(), E> {
        let out_of_range = || E::custom(format_args!("{number} is out of range"));
        let bits = match (i64::try_from(number), u64::try_from(number)) {
            (Ok(number), _) => number.cast_unsigned(),
            (_, Ok(number)) => number,
            _ => return Err(out_of_range()),
        };
        match self.kind {
            Kind::Signed => {
                let number = bits.cast_signed();
                self.tag(0, size_of::<u64>());
                put_varint(self.out, (number << 1 ^ number >> 63).cast_unsigned());
            }
            Kind::Fixed => {
                self.tag(1, size_of::<u64>());
                self.out.extend_from_slice(&bits.to_le_bytes());
            }
            #[expect(clippy::cast_precision_loss, reason = "a double was asked for")]
            Kind::Double => self.double(number as f64),
            Kind::Whole | Kind::Enum(_) | Kind::Bool => {
                self.tag(0, size_of::<u64>());
                put_varint(self.out, bits);
            }
            _ => return Err(E::custom(format_args!("{number} where a number cannot be"))),
        }
        Ok(())
    }

    fn double(&mut self, value: f64) {
        self.tag(1, size_of::<u64>());
        self.out.extend_from_slice(&value.to_le_bytes());
    }
}

impl<'de> DeserializeSeed<'de> for Field<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.made.get() > MADE_BYTES_MAX {
            return Err(D::Error::custom("the message is too large"));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Field<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.kind)
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: serde::de::Error>(mut self, value: bool) -> Result<(), E> {
        match self.kind {
            Kind::Bool => self.whole(value.into()),
            _ => Err(E::custom("a truth value where none can be")),
        }
    }

    fn visit_i64<E: serde::de::Error>(mut self, value: i64) -> Result<(), E> {
        self.whole(value.into())
    }

    fn visit_u64<E: serde::de::Error>(mut self, value: u64) -> Result<(), E> {
        self.whole(value.into())
    }

    fn visit_f64<E: serde::de::Error>(mut self, value: f64) -> Result<(), E> {
        match self.kind {
            Kind::Double => self.double(value),
            _ => return Err(E::custom("a fraction where a whole number is")),
        }
        Ok(())
    }

    fn visit_str<E: serde::de::Error>(mut self, text: &str) -> Result<(), E> {
        let bad = || E::custom(format_args!("{text:?} where it cannot be"));
        match self.kind {
            Kind::Text => self.bytes(text.as_bytes()),
            Kind::Whole | Kind::Signed | Kind::Fixed => {
                return self.whole(text.parse().map_err(|_| bad())?);
            }
            Kind::Double => self.double(match text {
                "NaN" => f64::NAN,
                "Infinity" => f64::INFINITY,
                "-Infinity" => f64::NEG_INFINITY,
                text => text.parse().map_err(|_| bad())?,
            }),
            Kind::Enum(names) => {
                let place = names.iter().position(|name| *name == text).ok_or_else(bad)?;
                return self.whole(i128::try_from(place).unwrap_or(0));
            }
            Kind::Hex => self.bytes(&from_hex(text).ok_or_else(bad)?),
            Kind::Base64 => self.bytes(&from_base64(text).ok_or_else(bad)?),
            Kind::Bool | Kind::Message(_) => return Err(bad()),
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Self { number, kind, out, made } = self;
        while seq.next_element_seed(Field { number, kind, out, made })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, map: A) -> Result<(), A::Error> {
        let Kind::Message(keys) = self.kind else {
            return Err(A::Error::custom("an object where none can be"));
        };
        let mut message = Vec::new();
        Message { keys, out: &mut message, made: self.made }.visit_map(map)?;
        self.bytes(&message);
        Ok(())
    }
}

fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let byte = |pair: &[u8; 2]| {
        let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
        u8::try_from(high? << 4 | low?).ok()
    };
    if rest.is_empty() { pairs.iter().map(byte).collect() } else { None }
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    let (mut word, mut bits) = (0_u32, 0);
    for byte in text.bytes() {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        word = word << 6 | u32::from(digit);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((word >> bits).to_le_bytes()[0]);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(text: &str) -> Result<Vec<u8>, String> {
        let mut out = vec![1];
        to_protobuf(text.as_bytes(), &mut out).map_err(|e| e.to_string())?;
        Ok(out)
    }

    #[test]
    fn keys_may_be_spelt_either_way() {
        assert!(is_key("timeUnixNano", "timeUnixNano") && is_key("time_unix_nano", "timeUnixNano"));
        assert!(!is_key("timeunixnano", "timeUnixNano") && !is_key("time", "timeUnixNano"));
        let camel = r#"{"resourceMetrics":[{"scopeMetrics":[{"schemaUrl":"x"}]}]}"#;
        let snake = r#"{"resource_metrics":[{"scope_metrics":{"schema_url":"x"}}],"more":[1,{}]}"#;
        let want = [0x0a, 5, 0x12, 3, 0x1a, 1, b'x'];
        assert_eq!(made(camel).unwrap(), want);
        assert_eq!(made(snake).unwrap(), want);
    }

    #[test]
    fn values_of_every_kind() {
        let field = |keys: &'static [Key], text: &str| {
            let mut out = Vec::new();
            let mut reader = serde_json::Deserializer::from_str(text);
            let made = Cell::new(0);
            Message { keys, out: &mut out, made: &made }.deserialize(&mut reader).map(|()| out)
        };
        assert_eq!(field(&ANY, r#"{"intValue":"-1"}"#).unwrap().len(), 11);
        assert_eq!(field(&ANY, r#"{"boolValue":true,"stringValue":null}"#).unwrap(), [0x10, 1]);
        assert_eq!(field(&ANY, r#"{"bytesValue":"YWI="}"#).unwrap(), [0x3a, 2, b'a', b'b']);
        let double = |value: f64| [&[0x21][..], &value.to_le_bytes()].concat();
        assert_eq!(field(&ANY, r#"{"doubleValue":1}"#).unwrap(), double(1.0));
        assert_eq!(
            field(&ANY, r#"{"doubleValue":"-Infinity"}"#).unwrap(),
            double(f64::NEG_INFINITY)
        );
        assert_eq!(field(EXEMPLAR, r#"{"traceId":"0aFf"}"#).unwrap(), [0x2a, 2, 0x0a, 0xff]);
        assert_eq!(
            field(BUCKETS, r#"{"offset":-2,"bucketCounts":["1",300]}"#).unwrap(),
            [8, 3, 16, 1, 16, 0xac, 2]
        );
        assert_eq!(field(HISTOGRAM, r#"{"count":"2"}"#).unwrap()[..2], [0x21, 2]);
        let sum = METRIC.iter().find(|key| key.0 == "sum").unwrap();
        let Kind::Message(sum) = sum.2 else { panic!("a message") };
        for temporality in [r#""AGGREGATION_TEMPORALITY_CUMULATIVE""#, "2"] {
            let text = format!(r#"{{"aggregationTemporality":{temporality}}}"#);
            assert_eq!(field(sum, &text).unwrap(), [0x10, 2]);
        }
        let bad: [(&'static [Key], &str); 8] = [
            (&ANY, r#"{"intValue":1.5}"#),
            (&ANY, r#"{"intValue":"x"}"#),
            (&ANY, r#"{"boolValue":"x"}"#),
            (&ANY, r#"{"stringValue":{}}"#),
            (&ANY, r#"{"bytesValue":"?"}"#),
            (EXEMPLAR, r#"{"traceId":"abc"}"#),
            (HISTOGRAM, r#"{"count":99999999999999999999}"#),
            (sum, r#"{"aggregationTemporality":"x"}"#),
        ];
        for (keys, bad) in bad {
            assert!(field(keys, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_text_is_too_much() {
        let deep = format!("{{\"resourceMetrics\":{}", "[".repeat(100_000));
        assert!(made(&deep).is_err());
        assert!(made("{} x").is_err() && made("").is_err() && made("[]").is_err());
        let zeros = vec!["0"; 1 << 20].join(",");
        let text = format!(
            "{{\"resourceMetrics\":[{{\"scopeMetrics\":[{{\"metrics\":[{{\"histogram\":{{\
             \"dataPoints\":[{{\"bucketCounts\":[{zeros}]}}]}}}}]}}]}}]}}"
        );
        assert!(made(&text).unwrap_err().contains("too large"));
        assert!(made(&" ".repeat(JSON_BYTES_MAX + 1)).is_err());
    }
}
