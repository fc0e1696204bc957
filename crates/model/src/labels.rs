//! A set of labels, sorted by name, in one allocation.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// The label that holds the metric's name.
pub const METRIC_NAME: &str = "__name__";

/// The label by which the store keeps the numbers of one histogram apart: its value says which
/// part of the sample a series holds. Nothing from outside may have it: whoever takes labels in
/// refuses this name. It sorts before all others, so that a look at the first label tells.
pub const PART: &str = "\u{1}";

/// A sorted set of labels: unique names, no empty names and no empty values.
///
/// All names and values stand in one string, each behind its length. A length is written in
/// groups of six bits, least first, with bit 6 set when more follow; so every byte of it is
/// ASCII and the whole stays valid UTF-8 without a check on reading.
///
/// Cloning shares the allocation. Equality and hashing are over the string, ordering is label by
/// label as Prometheus orders them (a set that is a prefix of another comes first).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Labels(Arc<str>);

impl Labels {
    /// The empty set.
    pub fn empty() -> Self {
        Self(Arc::from(""))
    }

    /// Builds from pairs in any order; of equal names the last wins, empty values are left out.
    pub fn from_pairs<N: AsRef<str>, V: AsRef<str>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let mut builder = LabelsBuilder::default();
        for (name, value) in pairs {
            builder.set(name.as_ref(), value.as_ref());
        }
        builder.build()
    }

    /// Builds from pairs that come in order of their names, each name once, none empty: what a
    /// table of symbols holds of a set that was built before.
    pub fn from_sorted<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> Self {
        debug_assert!(pairs.clone().is_sorted_by(|a, b| a.0 < b.0));
        let bytes = pairs.clone().map(|(name, value)| name.len() + value.len() + 4).sum();
        let mut text = String::with_capacity(bytes);
        for (name, value) in pairs {
            put(&mut text, name);
            put(&mut text, value);
        }
        Self(Arc::from(text))
    }

    /// The labels whose names `keep` accepts.
    #[must_use]
    pub fn filtered(&self, keep: impl FnMut(&str) -> bool) -> Self {
        let mut text = String::with_capacity(self.0.len());
        self.encode_filtered(keep, &mut text);
        if text.len() == self.0.len() { self.clone() } else { Self(Arc::from(text)) }
    }

    /// Appends the encoded form of [`Labels::filtered`], as [`Labels::as_encoded`] gives it: a key
    /// that is looked up without making a set of its own.
    pub fn encode_filtered(&self, mut keep: impl FnMut(&str) -> bool, out: &mut String) {
        let mut rest: &str = &self.0;
        while !rest.is_empty() {
            let (name, after) = take(rest);
            let (_, next) = take(after);
            if keep(name) {
                out.push_str(&rest[..rest.len() - next.len()]);
            }
            rest = next;
        }
    }

    /// The value of `name`, if the set has it.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|&(n, _)| n == name).map(|(_, value)| value)
    }

    /// The metric's name (`__name__`), or the empty string.
    pub fn metric_name(&self) -> &str {
        self.get(METRIC_NAME).unwrap_or("")
    }

    /// Which part of a sample the series holds (the value of [`PART`]), if it is not whole.
    #[inline]
    pub fn part(&self) -> Option<&str> {
        let rest = self.0.strip_prefix("\u{1}\u{1}")?;
        Some(take(rest).0)
    }

    /// The labels without [`PART`].
    #[must_use]
    pub fn whole(&self) -> Self {
        match self.0.strip_prefix("\u{1}\u{1}") {
            Some(rest) => Self(Arc::from(take(rest).1)),
            None => self.clone(),
        }
    }

    /// The pairs in order of their names.
    pub fn iter(&self) -> Iter<'_> {
        Iter { rest: &self.0 }
    }

    /// How many labels there are.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is no label at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes that the set takes, without the counters of the shared allocation.
    pub fn heap_bytes(&self) -> usize {
        self.0.len()
    }

    /// The encoded form: stable within one version of the program, good as a hash key.
    pub fn as_encoded(&self) -> &str {
        &self.0
    }
}

/// A set is found by its encoded form.
impl Borrow<str> for Labels {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Default for Labels {
    fn default() -> Self {
        Self::empty()
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(self.0.as_bytes(), other.0.as_bytes())
    }
}

impl<'a> IntoIterator for &'a Labels {
    type Item = (&'a str, &'a str);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// Prints the Prometheus form: `{__name__="up", job="node"}`, values quoted as Go quotes them.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (index, (name, value)) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            if is_legacy_label_name(name) {
                write!(f, "{name}=")?;
            } else {
                write!(f, "{}=", crate::number::GoQuoted(name))?;
            }
            write!(f, "{}", crate::number::GoQuoted(value))?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Iterates over a [`Labels`]' pairs in order of their names.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let (name, rest) = take(self.rest);
        let (value, rest) = take(rest);
        self.rest = rest;
        Some((name, value))
    }
}

/// Orders two encoded sets as their labels are ordered: name, value, name, value...
fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let same = common(a, b);
    if same == a.len() || same == b.len() {
        return a.len().cmp(&b.len());
    }
    // What they have in common is skipped text by text, to see what the first difference lies in.
    let mut at = 0;
    loop {
        let (start, end) = text_at(a, at);
        if same < start {
            // One text is longer than the other; what they begin with may differ too.
            let (other_start, other_end) = text_at(b, at);
            return a[start..end].cmp(&b[other_start..other_end]);
        }
        if same < end {
            return a[same].cmp(&b[same]);
        }
        at = end;
    }
}

/// How many bytes two slices begin with in common.
fn common(a: &[u8], b: &[u8]) -> usize {
    let (words, rest) = (a.as_chunks::<16>().0, b.as_chunks::<16>().0);
    let equal = words.iter().zip(rest).take_while(|(a, b)| a == b).count() * 16;
    let tail = a[equal..].iter().zip(&b[equal..]);
    equal + tail.take_while(|(a, b)| a == b).count()
}

/// Where the text begins and ends whose length stands at `at`.
fn text_at(bytes: &[u8], mut at: usize) -> (usize, usize) {
    let (mut len, mut shift) = (0, 0);
    while let Some(&byte) = bytes.get(at) {
        len |= usize::from(byte & 0x3f) << shift;
        shift += 6;
        at += 1;
        if byte & 0x40 == 0 {
            break;
        }
    }
    (at, at + len)
}

/// Splits the first length-prefixed string off `text`.
fn take(text: &str) -> (&str, &str) {
    // Nearly all texts are shorter than 64 bytes.
    if let Some(&byte) = text.as_bytes().first()
        && byte & 0x40 == 0
    {
        return text[1..].split_at(usize::from(byte));
    }
    let mut len = 0usize;
    let mut shift = 0;
    for (index, &byte) in text.as_bytes().iter().enumerate() {
        len |= usize::from(byte & 0x3f) << shift;
        shift += 6;
        if byte & 0x40 == 0 {
            return text[index + 1..].split_at(len);
        }
    }
    (text, "")
}

#[expect(clippy::cast_possible_truncation, reason = "masked to six bits")]
fn put(out: &mut String, text: &str) {
    let mut len = text.len();
    while len >= 0x40 {
        out.push(char::from((len & 0x3f) as u8 | 0x40));
        len >>= 6;
    }
    out.push(char::from((len & 0x3f) as u8));
    out.push_str(text);
}

/// Whether `name` is a label name of the classic alphabet: `[a-zA-Z_][a-zA-Z0-9_]*`.
pub fn is_legacy_label_name(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().enumerate().all(|(index, byte)| {
            byte == b'_' || byte.is_ascii_alphabetic() || (index > 0 && byte.is_ascii_digit())
        })
}

/// Whether `name` is a metric name of the classic alphabet: a label name that may hold colons.
pub fn is_legacy_metric_name(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().enumerate().all(|(index, byte)| {
            byte == b'_'
                || byte == b':'
                || byte.is_ascii_alphabetic()
                || (index > 0 && byte.is_ascii_digit())
        })
}

/// Collects and edits labels before they are frozen into [`Labels`].
///
/// Kept sorted, so that look-ups are binary searches; a label set to the empty value is removed,
/// for in Prometheus' model it does not exist.
#[derive(Clone, Debug, Default)]
pub struct LabelsBuilder {
    pairs: Vec<(String, String)>,
    /// Memory of pairs that are gone, for others.
    spare: Vec<(String, String)>,
}

/// A name and value that take more bytes than this are not kept for others.
const SPARE_BYTES_MAX: usize = 512;

impl LabelsBuilder {
    /// Starts from the labels of `base`.
    pub fn from_labels(base: &Labels) -> Self {
        let pairs = base.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        Self { pairs, spare: Vec::new() }
    }

    /// Removes every label, keeping the memory.
    pub fn clear(&mut self) {
        self.spare.append(&mut self.pairs);
        self.spare.retain(|(name, value)| name.capacity() + value.capacity() <= SPARE_BYTES_MAX);
    }

    /// Sets `name` to `value`; an empty `value` removes the label. An empty name is ignored.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        match self.find(name) {
            _ if name.is_empty() => {}
            Ok(at) if value.is_empty() => {
                self.pairs.remove(at);
            }
            Ok(at) => {
                if let Some((_, old)) = self.pairs.get_mut(at) {
                    value.clone_into(old);
                }
            }
            Err(_) if value.is_empty() => {}
            Err(at) => {
                let (mut own_name, mut own_value) = self.spare.pop().unwrap_or_default();
                name.clone_into(&mut own_name);
                value.clone_into(&mut own_value);
                self.pairs.insert(at, (own_name, own_value));
            }
        }
        self
    }

    /// Removes `name`, if it is there.
    pub fn remove(&mut self, name: &str) -> &mut Self {
        if let Ok(at) = self.find(name) {
            self.pairs.remove(at);
        }
        self
    }

    /// Keeps only the labels whose name and value `keep` accepts.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &str) -> bool) {
        self.pairs.retain(|(name, value)| keep(name, value));
    }

    /// The value of `name`, if it is set.
    pub fn get(&self, name: &str) -> Option<&str> {
        let at = self.find(name).ok()?;
        self.pairs.get(at).map(|(_, value)| value.as_str())
    }

    /// The pairs in order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// How many labels are set.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Freezes the labels as they are now; the builder stays usable.
    pub fn build(&self) -> Labels {
        let bytes = self.pairs.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
        let mut text = String::with_capacity(bytes);
        for (name, value) in &self.pairs {
            put(&mut text, name);
            put(&mut text, value);
        }
        Labels(Arc::from(text))
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        self.pairs.binary_search_by(|(have, _)| have.as_str().cmp(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn orders_prints_and_finds() {
        let labels = Labels::from_pairs([("job", "n\"x"), ("__name__", "up"), ("gone", "")]);
        assert_eq!(labels.to_string(), r#"{__name__="up", job="n\"x"}"#);
        assert_eq!(labels.get("job"), Some("n\"x"));
        assert_eq!(labels.get("gone"), None);
        assert_eq!(labels.metric_name(), "up");
        assert!(Labels::empty() < labels);
    }

    #[test]
    fn a_part_is_told_from_a_whole() {
        let whole = Labels::from_pairs([("a", "x"), ("b", "y")]);
        let part = Labels::from_pairs([("a", "x"), ("b", "y"), (PART, "sum")]);
        assert_eq!((part.part(), part.whole()), (Some("sum"), whole.clone()));
        assert_eq!((whole.part(), whole.whole()), (None, whole.clone()));
        assert!(part < whole && Labels::empty().part().is_none());
    }

    #[test]
    fn leaves_labels_out() {
        let labels = Labels::from_pairs([("a", "1"), ("b", "2"), ("c", "3")]);
        assert_eq!(labels.filtered(|name| name != "b").to_string(), r#"{a="1", c="3"}"#);
        assert_eq!(labels.filtered(|_| false), Labels::empty());
        let known = std::collections::HashSet::from([labels.filtered(|name| name == "c")]);
        let mut key = String::new();
        labels.encode_filtered(|name| name == "c", &mut key);
        assert!(known.contains(key.as_str()));
        assert!(!known.contains(labels.as_encoded()));
    }

    proptest! {
        #[test]
        fn orders_label_by_label(
            a in proptest::collection::btree_map("[ab]{1,3}", "[ab]{1,3}|[ab]{62,66}", 0..4),
            b in proptest::collection::btree_map("[ab]{1,3}", "[ab]{1,3}|[ab]{62,66}", 0..4),
        ) {
            let (first, second) = (Labels::from_pairs(a.iter()), Labels::from_pairs(b.iter()));
            prop_assert_eq!(first.cmp(&second), a.iter().cmp(b.iter()));
        }

        #[test]
        fn keeps_what_it_was_given(pairs in proptest::collection::btree_map(".{1,80}", ".{1,300}", 0..12)) {
            let labels = Labels::from_pairs(pairs.iter());
            let back: Vec<_> = labels.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
            let want: Vec<_> = pairs.into_iter().collect();
            prop_assert_eq!(back, want);
        }
    }
}
