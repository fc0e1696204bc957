//! Numbers and strings printed as Go prints them, for the API's text must equal Prometheus'.

use std::fmt;

/// Prints `value` as the API does: the shortest decimal that reads back to the same bits, without
/// an exponent for 1e-6 <= |value| < 1e21, else with one of at least two digits (`1e-07`); `NaN`,
/// `+Inf`, `-Inf`.
#[derive(Clone, Copy, Debug)]
pub struct ApiFloat(pub f64);

impl fmt::Display for ApiFloat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.0.abs();
        let plain = magnitude == 0.0 || (1e-6..1e21).contains(&magnitude);
        write_float(f, self.0, plain)
    }
}

/// Prints `value` as Go's `%v` / `FormatFloat(v, 'g', -1, 64)` does: an exponent for |value| <
/// 1e-4 or >= 1e6.
#[derive(Clone, Copy, Debug)]
pub struct GoFloat(pub f64);

impl fmt::Display for GoFloat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.0.abs();
        let plain = magnitude == 0.0 || (1e-4..1e6).contains(&magnitude);
        write_float(f, self.0, plain)
    }
}

/// Prints `value` as Go's `FormatFloat(v, 'f', -1, 64)` does: never an exponent.
#[derive(Clone, Copy, Debug)]
pub struct PlainFloat(pub f64);

impl fmt::Display for PlainFloat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_float(f, self.0, true)
    }
}

fn write_float(f: &mut fmt::Formatter<'_>, value: f64, plain: bool) -> fmt::Result {
    if value.is_nan() {
        return f.write_str("NaN");
    }
    if value.is_infinite() {
        return f.write_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    }
    if value.is_sign_negative() {
        f.write_str("-")?;
    }
    let (digits, exponent) = decimal(value.abs());
    let point = usize::try_from(exponent + 1);
    match point {
        _ if !plain => {
            let (first, rest) = digits.split_at(1);
            let point = if rest.is_empty() { "" } else { "." };
            let sign = if exponent < 0 { '-' } else { '+' };
            write!(f, "{first}{point}{rest}e{sign}{:0>2}", exponent.unsigned_abs())
        }
        Ok(point) => match digits.split_at_checked(point).filter(|(_, rest)| !rest.is_empty()) {
            Some(("", rest)) => write!(f, "0.{rest}"),
            Some((whole, rest)) => write!(f, "{whole}.{rest}"),
            None => write!(f, "{digits:0<point$}"),
        },
        Err(_) => {
            let zeros = exponent.unsigned_abs() as usize - 1;
            write!(f, "0.{:0<zeros$}{digits}", "")
        }
    }
}

/// The fewest digits that tell `value`, which is finite and not negative, and the power of ten of
/// the first one. Of two that tell it equally well the even one is the last, as in Go; the standard
/// library takes the greater.
fn decimal(value: f64) -> (String, i32) {
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(value);
    let (number, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let all = [whole, fraction].concat();
    let digits = all.trim_start_matches('0');
    let leading = all.len() - digits.len();
    let digits = digits.trim_end_matches('0');
    if digits.is_empty() {
        return ("0".to_owned(), 0);
    }
    // Both are lengths of a text of some twenty digits.
    let place = |length: usize| i32::try_from(length).unwrap_or(0);
    (digits.to_owned(), exponent + place(whole.len()) - 1 - place(leading))
}

/// Prints a string as Go's `strconv.Quote` does.
#[derive(Clone, Copy, Debug)]
pub struct GoQuoted<'a>(pub &'a str);

impl fmt::Display for GoQuoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        f.write_char('"')?;
        for c in self.0.chars() {
            go_char(f, c, '"')?;
        }
        f.write_char('"')
    }
}

/// Prints a character as Go's `strconv.QuoteRune` does.
#[derive(Clone, Copy, Debug)]
pub struct GoQuotedChar(pub char);

impl fmt::Display for GoQuotedChar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        f.write_char('\'')?;
        go_char(f, self.0, '\'')?;
        f.write_char('\'')
    }
}

/// Writes a character between quotes.
fn go_char(f: &mut fmt::Formatter<'_>, c: char, quote: char) -> fmt::Result {
    use fmt::Write;
    match c {
        '\\' => f.write_str("\\\\"),
        '\n' => f.write_str("\\n"),
        '\r' => f.write_str("\\r"),
        '\t' => f.write_str("\\t"),
        '\u{7}' => f.write_str("\\a"),
        '\u{8}' => f.write_str("\\b"),
        '\u{b}' => f.write_str("\\v"),
        '\u{c}' => f.write_str("\\f"),
        c if c == quote => write!(f, "\\{c}"),
        c if (c as u32) < 0x20 || c as u32 == 0x7f => write!(f, "\\x{:02x}", c as u32),
        c if is_go_printable(c) => f.write_char(c),
        c if (c as u32) < 0x10000 => write!(f, "\\u{:04x}", c as u32),
        c => write!(f, "\\U{:08x}", c as u32),
    }
}

/// Whether Go calls `c` printable; near enough: controls, odd spaces and private use are not.
fn is_go_printable(c: char) -> bool {
    !(c.is_control()
        || (c.is_whitespace() && c != ' ')
        || matches!(c as u32, 0xad | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f
            | 0xe000..=0xf8ff | 0xfeff | 0xfff0..=0xfffb | 0xf0000..))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_as_go_does() {
        assert_eq!(GoQuoted("a\"'\\\n").to_string(), r#""a\"'\\\n""#);
        for (c, want) in
            [('x', "'x'"), ('\'', r"'\''"), ('"', "'\"'"), ('\\', r"'\\'"), ('\0', r"'\x00'")]
        {
            assert_eq!(GoQuotedChar(c).to_string(), want);
        }
    }

    #[test]
    fn floats_read_as_in_the_api() {
        for (value, want) in [
            (1.0, "1"),
            (0.0, "0"),
            (-0.0, "-0"),
            (1e-6, "0.000001"),
            (1e-7, "1e-07"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.5e-300, "1.5e-300"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (0.1 + 0.2, "0.30000000000000004"),
            // Two texts are equally near: the even one is taken.
            (742_948_507_583_598.0 + 0.25, "742948507583598.2"),
            (742_948_507_583_598.0 + 0.75, "742948507583598.8"),
            (71_933_850_551_131.0 + 0.625, "71933850551131.62"),
            (1.0 + 1.0 / 131_072.0, "1.0000076293945312"),
            (-90_071_992_547_409_936.0, "-90071992547409940"),
            (123_000.0, "123000"),
            (0.001_5, "0.0015"),
            (12.75, "12.75"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
        ] {
            assert_eq!(ApiFloat(value).to_string(), want);
        }
        assert_eq!(GoFloat(0.00001).to_string(), "1e-05");
        assert_eq!(GoFloat(123_456.5).to_string(), "123456.5");
        assert_eq!(GoFloat(2e6).to_string(), "2e+06");
        assert_eq!(GoFloat(69_902_336.0).to_string(), "6.9902336e+07");
        assert_eq!(PlainFloat(1e-7).to_string(), "0.0000001");
    }

    #[test]
    fn floats_are_as_short_as_they_can_be() {
        let mut bits = 1_u64;
        for _ in 0..20_000 {
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
            let value = f64::from_bits(bits);
            if !value.is_finite() {
                continue;
            }
            let plain = PlainFloat(value).to_string();
            // Only the last digit may be another one.
            assert_eq!(plain.len(), value.to_string().len());
            assert_eq!(plain.parse::<f64>().unwrap().to_bits(), bits);
            assert_eq!(ApiFloat(value).to_string().parse::<f64>().unwrap().to_bits(), bits);
        }
    }

    #[test]
    fn strings_are_quoted_as_in_go() {
        assert_eq!(GoQuoted("a\"b\\\n\u{1}\u{e9}").to_string(), "\"a\\\"b\\\\\\n\\x01\u{e9}\"");
    }
}
