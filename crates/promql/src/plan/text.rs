//! String literals: Go's escapes, and bytes that are not UTF-8.
//!
//! A literal may name bytes that are not UTF-8 (`"\xff"`). No label can hold such a text, so it
//! only has to stay different from every real text and to print as it was: each such byte becomes
//! a character of the last private plane.

use std::fmt::Write;

use narthex_model::number::GoQuoted;

const STRAY: u32 = 0x10_ff00;

/// Reads a literal with its quotes.
pub(super) fn unquote(literal: &str) -> Result<String, String> {
    let quote = literal.chars().next().unwrap_or('"');
    let body = literal.get(1..literal.len().saturating_sub(1)).unwrap_or("");
    if quote == '`' {
        return Ok(body.replace('\r', ""));
    }
    let mut bytes = Vec::with_capacity(body.len());
    let mut chars = body.chars();
    while let Some(c) = chars.next() {
        if c == '\\' {
            unescape(&mut chars, quote, &mut bytes)?;
        } else {
            push(&mut bytes, c);
        }
    }
    Ok(to_text(&bytes))
}

fn push(bytes: &mut Vec<u8>, c: char) {
    bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

fn unescape(
    chars: &mut std::str::Chars<'_>,
    quote: char,
    bytes: &mut Vec<u8>,
) -> Result<(), String> {
    let c = chars.next().ok_or("escape sequence not terminated")?;
    let plain = match c {
        'a' => '\u{7}',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        '\\' => '\\',
        c if c == quote => c,
        'x' => {
            bytes.push(u8::try_from(digits(chars, 16, 2, 0)?).unwrap_or(0));
            return Ok(());
        }
        '0'..='7' => {
            let code = digits(chars, 8, 2, c.to_digit(8).unwrap_or(0))?;
            let byte = u8::try_from(code).map_err(|_| "escape sequence out of range")?;
            bytes.push(byte);
            return Ok(());
        }
        'u' | 'U' => {
            let code = digits(chars, 16, if c == 'u' { 4 } else { 8 }, 0)?;
            char::from_u32(code).ok_or("escape sequence is an invalid Unicode code point")?
        }
        c => {
            let code = c as u32;
            return Err(format!("unknown escape sequence U+{code:04X} '{c}'"));
        }
    };
    push(bytes, plain);
    Ok(())
}

fn digits(
    chars: &mut std::str::Chars<'_>,
    radix: u32,
    count: usize,
    mut value: u32,
) -> Result<u32, String> {
    for _ in 0..count {
        let c = chars.next().ok_or("escape sequence not terminated")?;
        let digit = c.to_digit(radix).ok_or_else(|| {
            format!("illegal character U+{:04X} '{c}' in escape sequence", c as u32)
        })?;
        value = value.wrapping_mul(radix).wrapping_add(digit);
    }
    Ok(value)
}

fn to_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        let stray = |&byte: &u8| char::from_u32(STRAY + u32::from(byte)).unwrap_or('\u{fffd}');
        text.extend(chunk.invalid().iter().map(stray));
    }
    text
}

/// The byte that a character stands for, if it stands for one that is not UTF-8.
fn stray_byte(c: char) -> Option<u8> {
    (c as u32).checked_sub(STRAY).and_then(|byte| u8::try_from(byte).ok())
}

/// Whether `text` is UTF-8 as it was written.
pub(crate) fn is_utf8(text: &str) -> bool {
    !text.chars().any(|c| stray_byte(c).is_some())
}

/// `text` quoted as Go does, with the bytes that are not UTF-8.
pub(crate) fn quoted(text: &str) -> String {
    if is_utf8(text) {
        return GoQuoted(text).to_string();
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        if let Some(byte) = stray_byte(c) {
            let _ = write!(out, "\\x{byte:02x}");
        } else {
            let one = GoQuoted(c.encode_utf8(&mut [0; 4])).to_string();
            out.push_str(one.get(1..one.len() - 1).unwrap_or(""));
        }
    }
    out.push('"');
    out
}
