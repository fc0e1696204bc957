//! Attributes, and their values as text.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::wire::{Field, Fields, Malformed, Value};

/// Most attributes in one place.
const ATTRIBUTES_MAX: usize = 1024;

/// Largest value, as a message, in bytes.
const VALUE_BYTES_MAX: usize = 128 << 10;

/// Lists and maps within each other, at most.
const DEPTH_MAX: u32 = 32;

/// An attribute as it stands in a message: its key and the message of its value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attribute<'a> {
    pub(super) key: &'a [u8],
    value: &'a [u8],
}

impl<'a> Attribute<'a> {
    /// Reads a `KeyValue`.
    fn read(message: &'a [u8]) -> Result<Self, Malformed> {
        let mut attribute = Self { key: &[], value: &[] };
        let mut fields = Fields::new(message);
        while let Some(field) = fields.next()? {
            match field.number {
                1 => attribute.key = field.bytes()?,
                2 => attribute.value = field.bytes()?,
                _ => {}
            }
        }
        Ok(attribute)
    }

    /// Reads one more attribute of a list.
    pub(super) fn push(list: &mut Vec<Self>, field: &Field<'a>) -> Result<(), Malformed> {
        if list.len() == ATTRIBUTES_MAX {
            return Err(Malformed::Crowded);
        }
        list.push(Self::read(field.bytes()?)?);
        Ok(())
    }

    /// Its value as Prometheus writes it in a label.
    pub(super) fn text(&self) -> Result<Vec<u8>, Malformed> {
        if self.value.len() > VALUE_BYTES_MAX {
            return Err(Malformed::Crowded);
        }
        Ok(match any(self.value)? {
            Any::Text(text) => text.to_vec(),
            Any::Bytes(bytes) => base64(bytes).into_bytes(),
            Any::Double(value) => double(value).into_bytes(),
            Any::None => Vec::new(),
            Any::Bool(value) => value.to_string().into_bytes(),
            Any::Whole(value) => value.to_string().into_bytes(),
            Any::List(_) | Any::Map(_) => {
                let mut out = String::new();
                put_json(&mut out, self.value, 0)?;
                out.into_bytes()
            }
        })
    }
}

/// What an `AnyValue` holds.
#[derive(Clone, Copy, Debug)]
enum Any<'a> {
    None,
    Text(&'a [u8]),
    Bool(bool),
    Whole(i64),
    Double(f64),
    List(&'a [u8]),
    Map(&'a [u8]),
    Bytes(&'a [u8]),
}

fn any(message: &[u8]) -> Result<Any<'_>, Malformed> {
    let mut found = Any::None;
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next()? {
        found = match field.number {
            1 => Any::Text(field.bytes()?),
            2 => Any::Bool(field.varint()? != 0),
            3 => Any::Whole(field.varint()?.cast_signed()),
            4 => Any::Double(field.double()?),
            5 => Any::List(field.bytes()?),
            6 => Any::Map(field.bytes()?),
            7 => Any::Bytes(field.bytes()?),
            _ => found,
        };
    }
    Ok(found)
}

/// The values of a list.
fn each_value<'a>(
    message: &'a [u8],
    mut each: impl FnMut(&'a [u8]) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next()? {
        if let (1, Value::Bytes(value)) = (field.number, field.value) {
            each(value)?;
        }
    }
    Ok(())
}

/// Writes a value as Go's JSON does.
fn put_json(out: &mut String, message: &[u8], depth: u32) -> Result<(), Malformed> {
    if depth == DEPTH_MAX {
        return Err(Malformed::Depth);
    }
    match any(message)? {
        Any::None => out.push_str("null"),
        Any::Text(text) => put_string(out, &String::from_utf8_lossy(text)),
        Any::Bytes(bytes) => put_string(out, &base64(bytes)),
        Any::Double(value) => out.push_str(&double(value)),
        Any::Bool(value) => out.push_str(&value.to_string()),
        Any::Whole(value) => out.push_str(&value.to_string()),
        Any::List(list) => {
            out.push('[');
            let mut separator = "";
            each_value(list, |value| {
                out.push_str(separator);
                separator = ",";
                put_json(out, value, depth + 1)
            })?;
            out.push(']');
        }
        Any::Map(map) => {
            let mut pairs: BTreeMap<&[u8], &[u8]> = BTreeMap::new();
            each_value(map, |pair| {
                let Attribute { key, value } = Attribute::read(pair)?;
                pairs.insert(key, value);
                Ok(())
            })?;
            out.push('{');
            let mut separator = "";
            for (key, value) in pairs {
                out.push_str(separator);
                separator = ",";
                put_string(out, &String::from_utf8_lossy(key));
                out.push(':');
                put_json(out, value, depth + 1)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

fn put_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                // Writing into a String cannot fail.
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// A number as JSON has it.
fn double(value: f64) -> String {
    if !value.is_finite() {
        let text = if value.is_nan() {
            "NaN"
        } else if value > 0.0 {
            "+Inf"
        } else {
            "-Inf"
        };
        return format!("json: unsupported value: {text}");
    }
    let size = value.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{value:e}");
        return match text.split_once('e') {
            Some((digits, exponent)) if !exponent.starts_with('-') => {
                format!("{digits}e+{exponent}")
            }
            _ => text,
        };
    }
    value.to_string()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let mut word = 0_u32;
        for at in 0..3 {
            word = word << 8 | u32::from(three.get(at).copied().unwrap_or(0));
        }
        for at in 0..4 {
            let digit = (word >> (18 - 6 * at) & 63) as usize;
            let digit = DIGITS.get(digit).copied().unwrap_or(b'=');
            out.push(if at <= three.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &[u8]) -> String {
        String::from_utf8(Attribute { key: b"k", value }.text().unwrap()).unwrap()
    }

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let length = u8::try_from(bytes.len() & 127).unwrap();
        let more = u8::try_from(bytes.len() >> 7).unwrap();
        let length = if more > 0 { vec![length | 128, more] } else { vec![length] };
        [&[number << 3 | 2], length.as_slice(), bytes].concat()
    }

    fn number(value: f64) -> Vec<u8> {
        [&[0x21][..], &value.to_le_bytes()].concat()
    }

    #[test]
    fn values_as_prometheus_writes_them() {
        assert_eq!(text(&field(1, b"a<b")), "a<b");
        assert_eq!(text(&[0x10, 1]), "true");
        let minus = [0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        assert_eq!(text(&minus), "-1");
        for (value, want) in [
            (0.5, "0.5"),
            (3.0, "3"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.5e-7, "1.5e-7"),
            (1e-6, "0.000001"),
            (f64::NAN, "json: unsupported value: NaN"),
            (f64::NEG_INFINITY, "json: unsupported value: -Inf"),
        ] {
            assert_eq!(text(&number(value)), want);
        }
        for (bytes, want) in [(&b"a"[..], "YQ=="), (b"ab", "YWI="), (b"abc", "YWJj"), (b"", "")] {
            assert_eq!(text(&field(7, bytes)), want);
        }
        assert_eq!(text(&[]), "");
        let pair = |key: &[u8], value: &[u8]| field(1, &[field(1, key), field(2, value)].concat());
        let list = field(5, &[field(1, &field(1, b"<\"\n")), field(1, &[])].concat());
        let map = [pair(b"b", &list), pair(b"a", &number(1.0)), pair(b"a", &[0x18, 2])].concat();
        assert_eq!(text(&field(6, &map)), r#"{"a":2,"b":["\u003c\"\n",null]}"#);
    }

    #[test]
    fn no_value_is_too_deep() {
        let mut value = Vec::new();
        for _ in 0..40 {
            value = field(5, &field(1, &value));
        }
        assert_eq!(Attribute { key: b"k", value: &value }.text(), Err(Malformed::Depth));
    }
}
