//! What a pattern looks like from outside: which patterns need no automaton at all.
//!
//! Most patterns of real queries and rules are a word, a few words, or a word with `.*` about
//! it. Those are answered by comparing strings, and an index can look their words up instead of
//! trying every value.

use regex_syntax::hir::{Class, Hir, HirKind, Look, Repetition};

/// Most strings that a set made by multiplying out (`(a|b)(c|d)`, `[0-9]x`) may have.
const PRODUCT_MAX: usize = 1024;

/// Most strings that a plain alternation may have.
const LITERALS_MAX: usize = 1 << 17;

/// How to decide a match.
#[derive(Debug)]
pub(super) enum Shape {
    /// Exactly one of these, sorted and unique.
    Literals(Vec<String>),
    /// `prefix`, then anything of at least `gap_bytes_min` bytes, then `suffix`.
    Affix { prefix: String, gap_bytes_min: usize, suffix: String },
    /// This text somewhere.
    Contains(String),
    /// Only the automaton knows; all that can be said is how every match starts.
    Other { prefix: String },
}

impl Shape {
    /// The shape of a pattern that is nothing but literal words with bars between, without
    /// parsing it; `None` if it is more than that.
    pub(super) fn of_words(text: &str) -> Option<Self> {
        const SPECIAL: &[u8] = br"\.+*?()[]{}^$";
        if text.bytes().any(|byte| SPECIAL.contains(&byte)) {
            return None;
        }
        let words: Vec<String> = text.split('|').take(LITERALS_MAX + 1).map(String::from).collect();
        (words.len() <= LITERALS_MAX).then(|| Self::literals(words))
    }

    /// The shape of a whole parsed pattern, anchors included.
    pub(super) fn of(hir: &Hir) -> Self {
        let mut parts = Vec::new();
        flatten(hir, &mut parts);
        let anchored = match parts.as_slice() {
            [first, inner @ .., last]
                if is_look(first, Look::Start) && is_look(last, Look::End) =>
            {
                Some(inner)
            }
            _ => None,
        };
        let Some(inner) = anchored else {
            return Self::Other { prefix: String::new() };
        };
        if let Some(words) = product(inner.iter().copied()) {
            return Self::literals(words);
        }
        affix(inner).unwrap_or_else(|| Self::Other { prefix: leading_text(inner).0 })
    }

    fn literals(mut words: Vec<String>) -> Self {
        words.sort_unstable();
        words.dedup();
        Self::Literals(words)
    }
}

/// Undoes the nesting of concatenations and groups, which mean nothing to a match.
fn flatten<'h>(hir: &'h Hir, out: &mut Vec<&'h Hir>) {
    match hir.kind() {
        HirKind::Concat(parts) => parts.iter().for_each(|part| flatten(part, out)),
        HirKind::Capture(capture) => flatten(&capture.sub, out),
        HirKind::Empty => {}
        _ => out.push(hir),
    }
}

fn is_look(hir: &Hir, look: Look) -> bool {
    matches!(hir.kind(), HirKind::Look(have) if *have == look)
}

/// Recognises `text`, `.*`, `.+` in an order that plain string functions can decide.
fn affix(parts: &[&Hir]) -> Option<Shape> {
    let (prefix, used) = leading_text(parts);
    let rest = parts.get(used..)?;
    let (gap, rest) = rest.split_first()?;
    let gap_bytes_min = any_text(gap)?;
    let (suffix, used) = leading_text(rest);
    match rest.get(used..)? {
        [] => Some(Shape::Affix { prefix, gap_bytes_min, suffix }),
        [last] if prefix.is_empty() && gap_bytes_min == 0 && any_text(last) == Some(0) => {
            Some(Shape::Contains(suffix))
        }
        _ => None,
    }
}

/// The literal text that the parts begin with, and how many parts it takes.
fn leading_text(parts: &[&Hir]) -> (String, usize) {
    let mut text = String::new();
    for (index, part) in parts.iter().enumerate() {
        let literal = match part.kind() {
            HirKind::Literal(literal) => std::str::from_utf8(&literal.0).ok(),
            _ => None,
        };
        match literal {
            Some(literal) => text.push_str(literal),
            None => return (text, index),
        }
    }
    (text, parts.len())
}

/// For `.*` and `.+` that match newlines too: how many bytes they need at least.
fn any_text(hir: &Hir) -> Option<usize> {
    let HirKind::Repetition(Repetition { min, max: None, sub, .. }) = hir.kind() else {
        return None;
    };
    let mut sub = sub.as_ref();
    while let HirKind::Capture(capture) = sub.kind() {
        sub = &capture.sub;
    }
    let HirKind::Class(Class::Unicode(class)) = sub.kind() else { return None };
    let all =
        matches!(class.ranges(), [range] if range.start() == '\0' && range.end() == char::MAX);
    (all && *min <= 1).then_some(*min as usize)
}

/// Every string that `hir` can match, if they are few.
fn strings(hir: &Hir) -> Option<Vec<String>> {
    match hir.kind() {
        HirKind::Empty => Some(vec![String::new()]),
        HirKind::Literal(literal) => {
            std::str::from_utf8(&literal.0).ok().map(|text| vec![text.to_owned()])
        }
        HirKind::Class(class) => class_strings(class),
        HirKind::Look(_) => None,
        HirKind::Repetition(repetition) => repeated(repetition),
        HirKind::Capture(capture) => strings(&capture.sub),
        HirKind::Concat(parts) => product(parts.iter()),
        HirKind::Alternation(parts) => {
            let mut all = Vec::new();
            for part in parts {
                all.extend(strings(part)?);
                if all.len() > LITERALS_MAX {
                    return None;
                }
            }
            Some(all)
        }
    }
}

fn class_strings(class: &Class) -> Option<Vec<String>> {
    let Class::Unicode(class) = class else { return None };
    let mut all = Vec::new();
    for range in class.iter() {
        for c in range.start()..=range.end() {
            if all.len() == PRODUCT_MAX {
                return None;
            }
            all.push(String::from(c));
        }
    }
    Some(all)
}

fn repeated(repetition: &Repetition) -> Option<Vec<String>> {
    let max = repetition.max.filter(|&max| max as usize <= PRODUCT_MAX)?;
    let once = strings(&repetition.sub)?;
    let mut power = vec![String::new()];
    let mut all = Vec::new();
    for count in 0..=max {
        if count >= repetition.min {
            all.extend(power.iter().cloned());
        }
        if all.len() > PRODUCT_MAX {
            return None;
        }
        if count < max {
            power = join(&power, &once)?;
        }
    }
    Some(all)
}

/// All ways to put one string of each part after another.
fn product<'h>(parts: impl Iterator<Item = &'h Hir>) -> Option<Vec<String>> {
    let mut all = vec![String::new()];
    for part in parts {
        let more = strings(part)?;
        all = if matches!(all.as_slice(), [only] if only.is_empty()) {
            more
        } else {
            join(&all, &more)?
        };
    }
    Some(all)
}

fn join(left: &[String], right: &[String]) -> Option<Vec<String>> {
    if left.len().checked_mul(right.len())? > PRODUCT_MAX.max(left.len()) {
        return None;
    }
    Some(left.iter().flat_map(|a| right.iter().map(move |b| format!("{a}{b}"))).collect())
}
