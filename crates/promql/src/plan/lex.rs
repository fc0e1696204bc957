//! Splits a query into words.

use narthex_model::number::GoQuotedChar;

use super::{AggregateOp, BinaryOp, Span};

/// U+FFFD, the replacement character.
const REPLACED: &[u8] = "\u{fffd}".as_bytes();

/// A word of the query.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Item {
    pub(super) kind: Kind,
    pub(super) span: Span,
}

/// What a word is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    End,
    Error(String),
    Identifier,
    MetricIdentifier,
    String,
    Number,
    Duration,
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    Comma,
    Assign,
    RegexMatch,
    RegexNoMatch,
    Colon,
    At,
    Operator(BinaryOp),
    Aggregator(AggregateOp),
    Keyword(Keyword),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keyword {
    Offset,
    By,
    Without,
    On,
    Ignoring,
    GroupLeft,
    GroupRight,
    Bool,
    Start,
    End,
    Anchored,
    Smoothed,
    Fill,
    FillLeft,
    FillRight,
}

const KEYWORDS: [(&str, Keyword); 15] = [
    ("offset", Keyword::Offset),
    ("by", Keyword::By),
    ("without", Keyword::Without),
    ("on", Keyword::On),
    ("ignoring", Keyword::Ignoring),
    ("group_left", Keyword::GroupLeft),
    ("group_right", Keyword::GroupRight),
    ("bool", Keyword::Bool),
    ("start", Keyword::Start),
    ("end", Keyword::End),
    ("anchored", Keyword::Anchored),
    ("smoothed", Keyword::Smoothed),
    ("fill", Keyword::Fill),
    ("fill_left", Keyword::FillLeft),
    ("fill_right", Keyword::FillRight),
];

/// Words that may stand in brackets.
const LENGTH_WORDS: [&str; 4] = ["step", "range", "min_of", "max_of"];

/// Splits `text`. The last item is the end or an error.
pub(super) fn lex(text: &str) -> Vec<Item> {
    let mut lexer = Lexer {
        text,
        colon: false,
        at: 0,
        parens: 0,
        in_braces: false,
        brackets: Brackets::Outside,
    };
    let mut items = Vec::new();
    loop {
        lexer.skip_space();
        let start = lexer.at;
        let kind = lexer.next_kind().unwrap_or_else(Kind::Error);
        let last = matches!(kind, Kind::End | Kind::Error(_));
        // A parenthesis too many is noticed behind it.
        let behind = matches!(&kind, Kind::Error(text) if text.ends_with("parenthesis ')'"));
        let start = if behind { lexer.at } else { start };
        items.push(Item { kind, span: Span { start, end: lexer.at } });
        if last {
            return items;
        }
    }
}

struct Lexer<'a> {
    text: &'a str,
    /// Whether a colon was seen in the brackets that are open.
    colon: bool,
    at: usize,
    parens: usize,
    in_braces: bool,
    brackets: Brackets,
}

/// Where the lexer stands beside brackets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Brackets {
    Outside,
    /// Inside, and no number was seen yet.
    Begun,
    Inside,
}

impl Lexer<'_> {
    fn in_brackets(&self) -> bool {
        self.brackets != Brackets::Outside
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn accept(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    fn skip_space(&mut self) {
        loop {
            let rest = self.rest();
            let spaces = rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
            self.at += spaces;
            if !self.rest().starts_with('#') {
                return;
            }
            self.at += self.rest().find('\n').unwrap_or(self.rest().len());
        }
    }

    fn next_kind(&mut self) -> Result<Kind, String> {
        let Some(c) = self.peek() else { return self.end() };
        if self.in_braces {
            return self.inside_braces(c);
        }
        if c.is_ascii_digit()
            || (c == '.' && self.rest().chars().nth(1).is_some_and(|c| c.is_ascii_digit()))
        {
            return self.number();
        }
        if c.is_ascii_alphabetic() || c == '_' || (c == ':' && !self.in_brackets()) {
            return self.word();
        }
        if matches!(c, '"' | '\'' | '`') {
            return self.string(c);
        }
        self.at += c.len_utf8();
        self.symbol(c)
    }

    fn end(&self) -> Result<Kind, String> {
        if self.in_braces {
            Err("unexpected end of input inside braces".to_owned())
        } else if self.brackets == Brackets::Begun {
            Err("unexpected end of input in duration expression".to_owned())
        } else if self.parens > 0 {
            Err("unclosed left parenthesis".to_owned())
        } else if self.in_brackets() {
            Err("unclosed left bracket".to_owned())
        } else {
            Ok(Kind::End)
        }
    }

    fn symbol(&mut self, c: char) -> Result<Kind, String> {
        Ok(match c {
            ',' => Kind::Comma,
            '@' => Kind::At,
            '+' => Kind::Operator(BinaryOp::Add),
            '-' => Kind::Operator(BinaryOp::Subtract),
            '*' => Kind::Operator(BinaryOp::Multiply),
            '/' => Kind::Operator(BinaryOp::Divide),
            '%' => Kind::Operator(BinaryOp::Modulo),
            '^' => Kind::Operator(BinaryOp::Power),
            '=' if self.accept('=') => Kind::Operator(BinaryOp::Equal),
            '=' if self.peek() == Some('~') => {
                return Err("unexpected character after '=': '~'".to_owned());
            }
            '=' => Kind::Assign,
            '!' if self.accept('=') => Kind::Operator(BinaryOp::NotEqual),
            '!' => {
                return Err(match self.peek() {
                    Some(next) => format!("unexpected character after '!': {}", GoQuotedChar(next)),
                    None => "unexpected character after '!': '\u{fffd}'".to_owned(),
                });
            }
            '<' if self.accept('=') => Kind::Operator(BinaryOp::LessEqual),
            '<' if self.accept('/') => Kind::Operator(BinaryOp::TrimBelow),
            '<' => Kind::Operator(BinaryOp::Less),
            '>' if self.accept('=') => Kind::Operator(BinaryOp::GreaterEqual),
            '>' if self.accept('/') => Kind::Operator(BinaryOp::TrimAbove),
            '>' => Kind::Operator(BinaryOp::Greater),
            ':' if self.colon => return Err("unexpected colon ':'".to_owned()),
            ':' if self.in_brackets() => {
                self.colon = true;
                Kind::Colon
            }
            _ => return self.bracket(c),
        })
    }

    fn bracket(&mut self, c: char) -> Result<Kind, String> {
        Ok(match c {
            '(' => {
                self.parens += 1;
                Kind::LeftParen
            }
            ')' if self.parens == 0 => {
                return Err("unexpected right parenthesis ')'".to_owned());
            }
            ')' => {
                self.parens -= 1;
                Kind::RightParen
            }
            '{' => {
                self.in_braces = true;
                Kind::LeftBrace
            }
            '[' if self.in_brackets() => return Err("unexpected left bracket '['".to_owned()),
            '[' => {
                (self.brackets, self.colon) = (Brackets::Begun, false);
                Kind::LeftBracket
            }
            ']' if !self.in_brackets() => return Err("unexpected right bracket ']'".to_owned()),
            ']' => {
                (self.brackets, self.colon) = (Brackets::Outside, false);
                Kind::RightBracket
            }
            c => return Err(format!("unexpected character: {}", GoQuotedChar(c))),
        })
    }

    fn inside_braces(&mut self, c: char) -> Result<Kind, String> {
        if c.is_ascii_alphabetic() || c == '_' {
            let word = self.take_while(|c| c.is_ascii_alphanumeric() || c == '_');
            self.at += word;
            return Ok(Kind::Identifier);
        }
        if matches!(c, '"' | '\'' | '`') {
            return self.string(c);
        }
        self.at += c.len_utf8();
        Ok(match c {
            ',' => Kind::Comma,
            '=' if self.accept('~') => Kind::RegexMatch,
            '=' => Kind::Assign,
            '!' if self.accept('~') => Kind::RegexNoMatch,
            '!' if self.accept('=') => Kind::Operator(BinaryOp::NotEqual),
            '!' => {
                let next = self.peek().unwrap_or('\u{fffd}');
                return Err(format!(
                    "unexpected character after '!' inside braces: {}",
                    GoQuotedChar(next)
                ));
            }
            '{' => return Err("unexpected left brace '{'".to_owned()),
            '}' => {
                self.in_braces = false;
                Kind::RightBrace
            }
            c => return Err(format!("unexpected character inside braces: {}", GoQuotedChar(c))),
        })
    }

    fn take_while(&self, keep: impl Fn(char) -> bool) -> usize {
        self.rest().find(|c| !keep(c)).unwrap_or(self.rest().len())
    }

    /// Reads a quoted text. The quotes are ASCII, so that bytes can be looked at.
    fn string(&mut self, quote: char) -> Result<Kind, String> {
        let body = self.rest().as_bytes();
        let mut at = 1;
        loop {
            match body.get(at) {
                None | Some(b'\n') if quote != '`' => {
                    self.at += at;
                    return Err("unterminated quoted string".to_owned());
                }
                None => {
                    self.at += at;
                    return Err("unterminated raw string".to_owned());
                }
                Some(b'\\') if quote != '`' => at += 2,
                Some(&byte) if char::from(byte) == quote => {
                    self.at = (self.at + at + 1).min(self.text.len());
                    return Ok(Kind::String);
                }
                // What stands for bytes that are no text; Go knows no difference.
                Some(0xef) if body.get(at..).is_some_and(|rest| rest.starts_with(REPLACED)) => {
                    self.at += at;
                    return Err("invalid UTF-8 rune".to_owned());
                }
                Some(_) => at += 1,
            }
        }
    }

    /// Reads a number (`1_000`, `0x1f`, `1.5e-3`) or a duration (`1h30m`).
    fn number(&mut self) -> Result<Kind, String> {
        if self.in_brackets() {
            self.brackets = Brackets::Inside;
        }
        let rest = self.rest();
        let is_word = |byte: Option<&u8>| {
            byte.is_some_and(|&b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.')
        };
        let duration = duration_len(rest);
        if duration > 0 && !is_word(rest.as_bytes().get(duration)) {
            self.at += duration;
            return Ok(Kind::Duration);
        }
        let number = number_len(rest);
        if number > 0 && !is_word(rest.as_bytes().get(number)) {
            self.at += number;
            return Ok(Kind::Number);
        }
        let bad = rest.chars().next().map_or(0, |first| {
            let mut whole = number.max(duration).max(first.len_utf8());
            let exponent = |c: char| matches!(c, 'e' | 'E');
            if whole == number && rest.get(whole..).is_some_and(|rest| rest.starts_with(exponent)) {
                whole += 1;
            }
            // What could be a unit or go on has been looked at.
            let next = rest.get(whole..).and_then(|rest| rest.chars().next());
            whole + next.filter(|c| "smhdwy_".contains(*c)).map_or(0, char::len_utf8)
        });
        let text = rest.get(..bad).unwrap_or(rest);
        let message = format!("bad number or duration syntax: {}", super::quoted(text));
        self.at += bad;
        Err(message)
    }

    fn word(&mut self) -> Result<Kind, String> {
        let len = if self.in_brackets() {
            self.take_while(|c| c.is_ascii_alphanumeric() || c == '_')
        } else {
            self.take_while(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
        };
        let word = self.rest().get(..len).unwrap_or("").to_owned();
        self.at += len;
        if word.contains(':') {
            return Ok(Kind::MetricIdentifier);
        }
        let lower = word.to_ascii_lowercase();
        if self.in_brackets() && !LENGTH_WORDS.contains(&lower.as_str()) {
            let first = word.chars().next().unwrap_or('_');
            return Err(if self.brackets == Brackets::Begun {
                format!("unexpected character in duration expression: {}", GoQuotedChar(first))
            } else {
                format!("unexpected character: {}, expected ':'", GoQuotedChar(first))
            });
        }
        if let Some(kind) = reserved(&lower) {
            if matches!(kind, Kind::Keyword(Keyword::Fill | Keyword::FillLeft | Keyword::FillRight))
                && !self.rest().trim_start().starts_with('(')
            {
                return Ok(Kind::Identifier);
            }
            return Ok(kind);
        }
        Ok(Kind::Identifier)
    }
}

/// What a word in lower case is, if it is not a name.
fn reserved(word: &str) -> Option<Kind> {
    let operator = match word {
        "inf" | "nan" => return Some(Kind::Number),
        "and" => Some(BinaryOp::And),
        "or" => Some(BinaryOp::Or),
        "unless" => Some(BinaryOp::Unless),
        "atan2" => Some(BinaryOp::Atan2),
        _ => None,
    };
    if let Some(op) = operator {
        return Some(Kind::Operator(op));
    }
    if let Some(&(_, op)) = AggregateOp::ALL.iter().find(|(name, _)| *name == word) {
        return Some(Kind::Aggregator(op));
    }
    let keyword = KEYWORDS.iter().find(|(name, _)| *name == word);
    keyword.map(|&(_, keyword)| Kind::Keyword(keyword))
}

/// Length of the duration at the start of `text`; 0 if there is none.
fn duration_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 0;
    loop {
        let rest = bytes.get(at..).unwrap_or(&[]);
        let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        let unit = match (rest.get(digits), rest.get(digits + 1)) {
            _ if digits == 0 => return at,
            (Some(b'm'), Some(b's')) => 2,
            (Some(b's' | b'm' | b'h' | b'd' | b'w' | b'y'), _) => 1,
            _ => return 0,
        };
        at += digits + unit;
    }
}

/// Length of the number at the start of `text`; 0 if there is none.
fn number_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    if let Some(b'x' | b'X') = bytes.get(1).filter(|_| bytes.first() == Some(&b'0')) {
        return 2 + digits_len(bytes, 2, u8::is_ascii_hexdigit);
    }
    let mut at = digits_len(bytes, 0, u8::is_ascii_digit);
    if bytes.get(at) == Some(&b'.') {
        at += 1;
        at += digits_len(bytes, at, u8::is_ascii_digit);
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        let digits = digits_len(bytes, at + 1 + sign, u8::is_ascii_digit);
        if digits > 0 {
            at += 1 + sign + digits;
        }
    }
    at
}

/// Length of a run of digits with single underscores between them.
fn digits_len(bytes: &[u8], start: usize, is_digit: impl Fn(&u8) -> bool) -> usize {
    let mut at = start;
    loop {
        match bytes.get(at) {
            Some(byte) if is_digit(byte) => at += 1,
            Some(b'_')
                if (at > start || start == 2) && bytes.get(at + 1).is_some_and(&is_digit) =>
            {
                at += 1;
            }
            _ => return at - start,
        }
    }
}
