//! Go's regular expression syntax, read and written anew in the syntax of the `regex` crate.
//!
//! The two dialects are close enough to be mistaken for each other, which is the danger:
//! `[a&&b]` and `[[a]]` are plain sets in Go and set algebra in Rust, `\d` is ASCII in Go and
//! Unicode in Rust, `a{,2}` is literal text in Go. So nothing is passed through unread: every
//! construct is understood here and written in a form that means the same to both.
//!
//! The error texts are those of Go's `regexp/syntax`.

use std::fmt::Write;

use super::PatternError;

/// Deepest nesting of groups. It keeps the recursion of the compiler behind us shallow.
pub(super) const GROUPS_NESTED_MAX: u32 = 100;

/// Largest count in `x{n,m}`, and largest product of nested counts, as in Go.
const REPEAT_MAX: u32 = 1000;

const POSIX_CLASSES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
    "space", "upper", "word", "xdigit",
];

/// A pattern in the `regex` crate's syntax.
#[derive(Debug)]
pub(super) struct Translated {
    /// The pattern.
    pub(super) text: String,
    /// The names of the capture groups from 1 on; they are not in `text`, because Go allows
    /// names that Rust does not.
    pub(super) groups: Vec<Option<String>>,
}

/// Translates `whole`, which is complete: anchors and flags are part of it.
pub(super) fn translate(whole: &str) -> Result<Translated, PatternError> {
    let mut translator = Translator {
        whole,
        at: 0,
        out: String::with_capacity(whole.len() + 16),
        groups: Vec::new(),
        frames: vec![Frame { weight: 1 }],
        argument: None,
        last_repeat: None,
    };
    translator.run()?;
    Ok(Translated { text: translator.out, groups: translator.groups })
}

/// One open group: the largest product of repeat counts inside it.
struct Frame {
    weight: u32,
}

struct Translator<'a> {
    whole: &'a str,
    at: usize,
    out: String,
    groups: Vec<Option<String>>,
    frames: Vec<Frame>,
    /// What a repetition here would apply to: its product of repeat counts.
    argument: Option<u32>,
    /// Where the repetition that ended just here began.
    last_repeat: Option<usize>,
}

fn error(code: &str, text: &str) -> PatternError {
    PatternError::new(code, text)
}

impl<'a> Translator<'a> {
    fn rest(&self) -> &'a str {
        self.whole.get(self.at..).unwrap_or("")
    }

    fn since(&self, start: usize) -> &'a str {
        self.whole.get(start..self.at).unwrap_or("")
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn eat(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        if found {
            self.at += text.len();
        }
        found
    }

    fn run(&mut self) -> Result<(), PatternError> {
        while let Some(c) = self.peek() {
            let last_repeat = self.last_repeat.take();
            match c {
                '(' => self.open()?,
                ')' => self.close()?,
                '|' => {
                    self.at += 1;
                    self.out.push('|');
                    self.argument = None;
                }
                '*' | '+' | '?' => self.repeat_simple(c, last_repeat)?,
                '{' => self.repeat_counted(last_repeat)?,
                '^' | '$' | '.' => {
                    self.at += 1;
                    self.atom(&c.to_string());
                }
                '[' => {
                    let class = self.class()?;
                    self.atom(&class);
                }
                '\\' => self.escape()?,
                _ => {
                    self.at += c.len_utf8();
                    self.literal(c);
                }
            }
        }
        if self.frames.len() > 1 {
            return Err(error("missing closing )", self.whole));
        }
        Ok(())
    }

    fn atom(&mut self, text: &str) {
        self.out.push_str(text);
        self.argument = Some(1);
    }

    fn literal(&mut self, c: char) {
        push_char(&mut self.out, c);
        self.argument = Some(1);
    }

    fn open(&mut self) -> Result<(), PatternError> {
        if self.rest().starts_with("(?") {
            return self.open_special();
        }
        self.at += 1;
        self.groups.push(None);
        self.out.push('(');
        self.enter()
    }

    fn enter(&mut self) -> Result<(), PatternError> {
        self.frames.push(Frame { weight: 1 });
        self.argument = None;
        if self.frames.len() > GROUPS_NESTED_MAX as usize {
            return Err(error("expression nests too deeply", self.whole));
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), PatternError> {
        if self.frames.len() < 2 {
            return Err(error("unexpected )", self.whole));
        }
        self.at += 1;
        self.out.push(')');
        let weight = self.frames.pop().map_or(1, |frame| frame.weight);
        self.set_argument(weight);
        Ok(())
    }

    fn set_argument(&mut self, weight: u32) {
        self.argument = Some(weight);
        if let Some(frame) = self.frames.last_mut() {
            frame.weight = frame.weight.max(weight);
        }
    }

    /// `(?P<name>`, `(?<name>`, `(?flags)` and `(?flags:`.
    fn open_special(&mut self) -> Result<(), PatternError> {
        let start = self.at;
        let rest = self.rest();
        if rest.starts_with("(?P<") || rest.starts_with("(?<") {
            return self.open_named();
        }
        self.at += 2;
        // Later flags win over earlier ones; the `regex` crate refuses a flag that stands twice.
        let mut flags: [Option<bool>; 4] = [None; 4];
        let mut on = true;
        let mut seen = true;
        loop {
            let c = self.next();
            let index = match c {
                Some('i') => 0,
                Some('m') => 1,
                Some('s') => 2,
                Some('U') => 3,
                Some('-') if on => {
                    (on, seen) = (false, false);
                    continue;
                }
                Some(end @ (':' | ')')) if seen => return self.put_flags(flags, end),
                _ => return Err(error("invalid or unsupported Perl syntax", self.since(start))),
            };
            seen = true;
            if let Some(flag) = flags.get_mut(index) {
                *flag = Some(on);
            }
        }
    }

    fn put_flags(&mut self, flags: [Option<bool>; 4], end: char) -> Result<(), PatternError> {
        let letters = |value: bool| {
            flags
                .iter()
                .zip("imsU".chars())
                .filter(move |(f, _)| **f == Some(value))
                .map(|(_, c)| c)
        };
        let (on, off): (String, String) = (letters(true).collect(), letters(false).collect());
        if end == ')' {
            if on.is_empty() && off.is_empty() {
                return Ok(());
            }
            // Rust would take a repetition after the flags for an error; so do we.
            self.argument = None;
        }
        self.out.push_str("(?");
        self.out.push_str(&on);
        if !off.is_empty() {
            self.out.push('-');
            self.out.push_str(&off);
        }
        self.out.push(end);
        if end == ':' { self.enter() } else { Ok(()) }
    }

    fn open_named(&mut self) -> Result<(), PatternError> {
        let rest = self.rest();
        let name_start = if rest.starts_with("(?P<") { 4 } else { 3 };
        let Some(end) = rest.find('>') else {
            return Err(error("invalid named capture", rest));
        };
        let name = rest.get(name_start..end).unwrap_or("");
        let valid =
            !name.is_empty() && name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric());
        if !valid {
            return Err(error("invalid named capture", rest.get(..=end).unwrap_or(rest)));
        }
        if self.groups.iter().flatten().any(|have| have == name) {
            return Err(error("duplicate capture group name", name));
        }
        self.at += end + 1;
        self.groups.push(Some(name.to_owned()));
        self.out.push('(');
        self.enter()
    }

    fn repeat_simple(&mut self, c: char, last: Option<usize>) -> Result<(), PatternError> {
        let start = self.at;
        self.at += 1;
        let lazy = self.eat("?");
        self.check_repeat(start, last)?;
        self.out.push(c);
        if lazy {
            self.out.push('?');
        }
        self.last_repeat = Some(start);
        Ok(())
    }

    fn check_repeat(&self, start: usize, last: Option<usize>) -> Result<u32, PatternError> {
        if let Some(last) = last {
            return Err(error("invalid nested repetition operator", self.since(last)));
        }
        self.argument
            .ok_or_else(|| error("missing argument to repetition operator", self.since(start)))
    }

    fn repeat_counted(&mut self, last: Option<usize>) -> Result<(), PatternError> {
        let start = self.at;
        let Some((min, max, len)) = parse_counts(self.rest()) else {
            // Go reads a brace that opens no proper count as itself.
            self.at += 1;
            self.literal('{');
            return Ok(());
        };
        self.at += len;
        let refused = |this: &Self| Err(error("invalid repeat count", this.since(start)));
        if min > REPEAT_MAX || max.is_some_and(|max| max > REPEAT_MAX || min > max) {
            return refused(self);
        }
        let lazy = self.eat("?");
        let argument = self.check_repeat(start, last)?;
        let weight = match max.unwrap_or(min) {
            0 => 1,
            count => argument.saturating_mul(count),
        };
        if weight > REPEAT_MAX {
            return refused(self);
        }
        let counts = match max {
            Some(max) if max == min => format!("{{{min}}}"),
            Some(max) => format!("{{{min},{max}}}"),
            None => format!("{{{min},}}"),
        };
        self.out.push_str(&counts);
        if lazy {
            self.out.push('?');
        }
        self.set_argument(weight);
        self.last_repeat = Some(start);
        Ok(())
    }

    /// A backslash outside a class.
    fn escape(&mut self) -> Result<(), PatternError> {
        let rest = self.rest();
        let as_is = match rest.as_bytes().get(1) {
            Some(b'A') => r"\A",
            Some(b'z') => r"\z",
            Some(b'b') => r"(?-u:\b)",
            Some(b'B') => r"(?-u:\B)",
            Some(b'C') => return Err(error("invalid escape sequence", r"\C")),
            Some(b'Q') => {
                self.quoted();
                return Ok(());
            }
            _ => {
                if let Some(class) = self.class_escape()? {
                    self.atom(&format!("[{class}]"));
                } else {
                    let c = self.char_escape()?;
                    self.literal(c);
                }
                return Ok(());
            }
        };
        self.at += 2;
        self.atom(as_is);
        Ok(())
    }

    /// `\Q...\E`: the text between is literal; without `\E`, all the rest is.
    fn quoted(&mut self) {
        self.at += 2;
        let rest = self.rest();
        let (text, len) = match rest.find(r"\E") {
            Some(end) => (rest.get(..end).unwrap_or(""), end + 2),
            None => (rest, rest.len()),
        };
        self.at += len;
        for c in text.chars() {
            self.literal(c);
        }
    }

    /// `\d \D \s \S \w \W \pN \p{Name} \PN \P{Name}`, as members of a class.
    fn class_escape(&mut self) -> Result<Option<String>, PatternError> {
        let items = match self.rest().as_bytes().get(1) {
            Some(b'd') => "0-9",
            Some(b'D') => "[^0-9]",
            Some(b's') => r"\t\n\x0C\r\x20",
            Some(b'S') => r"[^\t\n\x0C\r\x20]",
            Some(b'w') => "0-9A-Za-z_",
            Some(b'W') => "[^0-9A-Za-z_]",
            Some(b'p' | b'P') => return self.unicode_class().map(Some),
            _ => return Ok(None),
        };
        self.at += 2;
        Ok(Some(items.to_owned()))
    }

    fn unicode_class(&mut self) -> Result<String, PatternError> {
        let start = self.at;
        let mut negated = self.rest().starts_with(r"\P");
        self.at += 2;
        let name = if self.eat("{") {
            let Some(end) = self.rest().find('}') else {
                let text = self.whole.get(start..).unwrap_or("");
                return Err(error("invalid character class range", text));
            };
            let name = self.rest().get(..end).unwrap_or("");
            self.at += end + 1;
            name.to_owned()
        } else {
            self.next().map(String::from).unwrap_or_default()
        };
        let bare = name.strip_prefix('^').inspect(|_| negated = !negated).unwrap_or(&name);
        let class = known_class(bare, negated)
            .ok_or_else(|| error("invalid character class range", self.since(start)))?;
        Ok(class)
    }

    /// A backslash and what makes one character with it.
    fn char_escape(&mut self) -> Result<char, PatternError> {
        let start = self.at;
        self.at += 1;
        let Some(c) = self.next() else {
            return Err(error("trailing backslash at end of expression", ""));
        };
        let code = match c {
            '0' => Some(self.octal(0, 2)),
            '1'..='7' if matches!(self.peek(), Some('0'..='7')) => {
                Some(self.octal(c.to_digit(8).unwrap_or(0), 2))
            }
            'x' => self.hex(),
            'a' => Some(7),
            'f' => Some(12),
            'n' => Some(10),
            'r' => Some(13),
            't' => Some(9),
            'v' => Some(11),
            _ if c.is_ascii() && !c.is_ascii_alphanumeric() => Some(u32::from(c)),
            _ => None,
        };
        code.and_then(char::from_u32)
            .ok_or_else(|| error("invalid escape sequence", self.since(start)))
    }

    fn octal(&mut self, mut code: u32, digits_max: usize) -> u32 {
        for _ in 0..digits_max {
            let Some(digit) = self.peek().and_then(|c| c.to_digit(8)) else { break };
            self.at += 1;
            code = code * 8 + digit;
        }
        code
    }

    fn hex(&mut self) -> Option<u32> {
        if !self.eat("{") {
            let high = self.next()?.to_digit(16)?;
            let low = self.next()?.to_digit(16)?;
            return Some(high * 16 + low);
        }
        let mut code = None;
        loop {
            match self.next()? {
                '}' => return code,
                c => {
                    let value = code.unwrap_or(0) * 16 + c.to_digit(16)?;
                    code = Some(value).filter(|&value| value <= u32::from(char::MAX));
                    code?;
                }
            }
        }
    }

    /// `[...]`, written so that nothing in it can be taken for set algebra.
    fn class(&mut self) -> Result<String, PatternError> {
        let whole_class = self.rest();
        self.at += 1;
        let mut out = String::from("[");
        if self.eat("^") {
            out.push('^');
        }
        let mut first = true;
        loop {
            match self.peek() {
                None => return Err(error("missing closing ]", whole_class)),
                Some(']') if !first => break,
                _ => {}
            }
            first = false;
            if let Some(class) = self.posix_class()? {
                out.push_str(&class);
                continue;
            }
            if self.peek() == Some('\\')
                && let Some(class) = self.class_escape()?
            {
                // A nested set keeps a `-` that follows from making a range with it.
                out.push('[');
                out.push_str(&class);
                out.push(']');
                continue;
            }
            self.class_range(whole_class, &mut out)?;
        }
        self.at += 1;
        out.push(']');
        Ok(out)
    }

    fn class_range(&mut self, whole_class: &str, out: &mut String) -> Result<(), PatternError> {
        let start = self.at;
        let low = self.class_char(whole_class)?;
        let rest = self.rest();
        let mut high = low;
        if rest.len() >= 2 && rest.starts_with('-') && !rest.starts_with("-]") {
            self.at += 1;
            high = self.class_char(whole_class)?;
            if high < low {
                return Err(error("invalid character class range", self.since(start)));
            }
        }
        push_char(out, low);
        if high != low {
            out.push('-');
            push_char(out, high);
        }
        Ok(())
    }

    fn class_char(&mut self, whole_class: &str) -> Result<char, PatternError> {
        match self.peek() {
            None => Err(error("missing closing ]", whole_class)),
            Some('\\') => self.char_escape(),
            Some(c) => {
                self.at += c.len_utf8();
                Ok(c)
            }
        }
    }

    fn posix_class(&mut self) -> Result<Option<String>, PatternError> {
        let rest = self.rest();
        let Some(inner) = rest.strip_prefix("[:") else { return Ok(None) };
        let Some(end) = inner.find(":]") else { return Ok(None) };
        let text = rest.get(..end + 4).unwrap_or(rest);
        let name = inner.get(..end).unwrap_or("");
        if !POSIX_CLASSES.contains(&name.strip_prefix('^').unwrap_or(name)) {
            return Err(error("invalid character class range", text));
        }
        self.at += text.len();
        Ok(Some(text.to_owned()))
    }
}

/// Writes `c` so that it stands for itself, inside a class and outside.
fn push_char(out: &mut String, c: char) {
    if c.is_ascii_alphanumeric() || (!c.is_ascii() && !c.is_control()) {
        out.push(c);
    } else {
        // Writing to a string cannot fail.
        let _ = write!(out, r"\x{{{:X}}}", u32::from(c));
    }
}

/// Writes the class of a Unicode category or script, if there is one of that name.
fn known_class(name: &str, negated: bool) -> Option<String> {
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ' '));
    if name.is_empty() || !plain {
        return None;
    }
    let letter = if negated { 'P' } else { 'p' };
    // The kind is named, because Rust also knows properties (`\p{Alphabetic}`) and Go does not.
    ["gc", "sc"].iter().find_map(|kind| {
        let class = format!(r"\{letter}{{{kind}={name}}}");
        regex_syntax::Parser::new().parse(&class).ok().map(|_| class)
    })
}

/// Reads `{n}`, `{n,}` or `{n,m}` at the start of `text`: the counts and the length. A number
/// too big for any use comes out as `u32::MAX`.
fn parse_counts(text: &str) -> Option<(u32, Option<u32>, usize)> {
    let inner = text.strip_prefix('{')?;
    let (counts, _) = inner.split_once('}')?;
    let (min, max) = match counts.split_once(',') {
        None => {
            let count = parse_count(counts)?;
            (count, Some(count))
        }
        Some((min, "")) => (parse_count(min)?, None),
        Some((min, max)) => (parse_count(min)?, Some(parse_count(max)?)),
    };
    Some((min, max, counts.len() + 2))
}

fn parse_count(text: &str) -> Option<u32> {
    let leading_zero = text.len() > 1 && text.starts_with('0');
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (digits && !leading_zero).then(|| text.parse().unwrap_or(u32::MAX))
}
