//! From the labels of a request to [`Labels`], for a series that is seen for the first time.

use narthex_model::{Labels, METRIC_NAME, PART};

use crate::answer::Reason;
use crate::wire::{Fields, Malformed};

/// Most labels of a series.
pub(crate) const LABELS_MAX: usize = 256;

/// Longest name of a label, in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 1024;

/// Longest value of a label, in bytes.
pub(crate) const VALUE_BYTES_MAX: usize = 64 << 10;

/// The pairs of a series, as they come; reused from series to series.
#[derive(Debug, Default)]
pub(crate) struct Pairs<'a> {
    pairs: Vec<(&'a [u8], &'a [u8])>,
}

impl<'a> Pairs<'a> {
    /// Adds a pair.
    pub(crate) fn push(&mut self, name: &'a [u8], value: &'a [u8]) -> Result<(), Reason> {
        if self.pairs.len() == LABELS_MAX {
            return Err(Reason::TooManyLabels);
        }
        self.pairs.push((name, value));
        Ok(())
    }

    /// The pairs as they came.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + '_ {
        self.pairs.iter().copied()
    }

    /// Adds the pair of a `Label` message.
    pub(crate) fn push_message(
        &mut self,
        message: &'a [u8],
    ) -> Result<Result<(), Reason>, Malformed> {
        let (mut name, mut value) = (&[][..], &[][..]);
        let mut fields = Fields::new(message);
        while let Some(field) = fields.next()? {
            match field.number {
                1 => name = field.bytes()?,
                2 => value = field.bytes()?,
                _ => {}
            }
        }
        Ok(self.push(name, value))
    }

    /// The labels, sorted. A label without a value does not exist.
    pub(crate) fn build(mut self) -> Result<Labels, Reason> {
        let text = |bytes| std::str::from_utf8(bytes).map_err(|_| Reason::BadUtf8);
        let mut pairs = Vec::with_capacity(self.pairs.len());
        for (name, value) in self.pairs.drain(..) {
            if name.len() > NAME_BYTES_MAX || value.len() > VALUE_BYTES_MAX {
                return Err(Reason::LabelTooLong);
            }
            let (name, value) = (text(name)?, text(value)?);
            if name.is_empty() {
                return Err(Reason::EmptyName);
            }
            if name == PART {
                return Err(Reason::ReservedName);
            }
            pairs.push((name, value));
        }
        pairs.sort_unstable();
        if pairs.windows(2).any(|two| matches!(two, [a, b] if a.0 == b.0)) {
            return Err(Reason::DuplicateLabel);
        }
        pairs.retain(|(_, value)| !value.is_empty());
        if !pairs.iter().any(|&(name, _)| name == METRIC_NAME) {
            return Err(Reason::NoName);
        }
        Ok(Labels::from_sorted(pairs.iter().copied()))
    }
}

/// Names of labels that tell which of a metric's series it is, never where it comes from.
const PARTS: [&str; 3] = [METRIC_NAME, "le", "quantile"];

/// The labels that name where a series comes from: its target, or all but those that tell apart
/// the series of one thing.
pub(crate) fn source_of(labels: &Labels) -> Labels {
    if labels.get("instance").is_some() {
        let target = labels.iter().filter(|(name, _)| matches!(*name, "instance" | "job"));
        return Labels::from_sorted(target);
    }
    Labels::from_sorted(labels.iter().filter(|(name, _)| !PARTS.contains(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(pairs: &[(&str, &str)]) -> Result<String, Reason> {
        let mut all = Pairs::default();
        for (name, value) in pairs {
            all.push(name.as_bytes(), value.as_bytes())?;
        }
        all.build().map(|labels| labels.to_string())
    }

    #[test]
    fn labels_are_sorted_and_checked() {
        let up = ("__name__", "up");
        let sorted = r#"{__name__="up", a="1", z="2"}"#.to_owned();
        assert_eq!(build(&[("z", "2"), up, ("none", ""), ("a", "1")]), Ok(sorted));
        assert_eq!(build(&[("a", "1")]), Err(Reason::NoName));
        assert_eq!(build(&[("__name__", "")]), Err(Reason::NoName));
        assert_eq!(build(&[up, ("a", "1"), ("a", "1")]), Err(Reason::DuplicateLabel));
        assert_eq!(build(&[up, ("", "1")]), Err(Reason::EmptyName));
        assert_eq!(build(&[up, ("\u{1}", "sum")]), Err(Reason::ReservedName));
        let long = "x".repeat(VALUE_BYTES_MAX + 1);
        assert_eq!(build(&[up, ("a", &long)]), Err(Reason::LabelTooLong));
        assert_eq!(build(&[up; LABELS_MAX + 1]), Err(Reason::TooManyLabels));
        let mut bad = Pairs::default();
        bad.push(b"__name__", b"\xff").unwrap();
        assert_eq!(bad.build(), Err(Reason::BadUtf8));
    }

    #[test]
    fn a_target_is_a_source() {
        let of = |pairs: &[(&str, &str)]| source_of(&Labels::from_pairs(pairs.iter().copied()));
        let target = [("instance", "h:1"), ("job", "node")];
        let mut more = target.to_vec();
        more.extend([("__name__", "x"), ("cpu", "0")]);
        assert_eq!(of(&more), Labels::from_pairs(target));
        let bucket = [("__name__", "x_bucket"), ("le", "1"), ("host", "a")];
        assert_eq!(of(&bucket), Labels::from_pairs([("host", "a")]));
    }
}
