//! What form an answer has, and how names are written in it.

use std::borrow::Cow;
use std::fmt::Write as _;

use narthex_model::labels::is_legacy_metric_name;

/// How samples are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Text,
    /// Metric families, each behind its length.
    Protobuf,
}

/// How names are written that are not of the classic alphabet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escaping {
    Underscores,
    Dots,
    Values,
    /// As they are.
    Utf8,
}

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) encoding: Encoding,
    pub(super) escaping: Escaping,
}

/// A media range of an `Accept` header.
#[derive(Debug)]
struct Range<'a> {
    kind: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
    quality: f32,
}

impl<'a> Range<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut pieces = text.split(';');
        let kind = pieces.next()?.trim_matches(' ');
        if kind.matches('/').count() != 1 {
            return None;
        }
        let (mut parameters, mut quality) = (Vec::new(), 1.0);
        for (name, value) in pieces.filter_map(|piece| piece.split_once('=')) {
            match (name.trim_matches(' '), value.trim_matches(' ')) {
                ("q", value) => quality = value.parse().unwrap_or(0.0),
                pair => parameters.push(pair),
            }
        }
        Some(Self { kind, parameters, quality })
    }

    fn get(&self, name: &str) -> &str {
        let found = self.parameters.iter().find(|(have, _)| *have == name);
        found.map_or("", |(_, value)| value)
    }
}

impl Form {
    /// The form that an `Accept` header asks for; plain text where it names nothing that there is.
    pub(super) fn wanted(accept: &str) -> Self {
        let mut ranges: Vec<Range<'_>> = accept.split(',').filter_map(Range::parse).collect();
        ranges.sort_by(|a, b| b.quality.total_cmp(&a.quality));
        let mut form = Self { encoding: Encoding::Text, escaping: Escaping::Underscores };
        for range in ranges {
            // As in Prometheus, that of what cannot be served counts as well.
            form.escaping = match range.get("escaping") {
                "underscores" => Escaping::Underscores,
                "dots" => Escaping::Dots,
                "values" => Escaping::Values,
                "allow-utf-8" => Escaping::Utf8,
                _ => form.escaping,
            };
            let protobuf = range.kind == "application/vnd.google.protobuf"
                && range.get("proto") == "io.prometheus.client.MetricFamily"
                && range.get("encoding") == "delimited";
            if protobuf {
                return Self { encoding: Encoding::Protobuf, ..form };
            }
            if range.kind == "text/plain" && matches!(range.get("version"), "" | "0.0.4") {
                return form;
            }
        }
        form
    }

    /// The value of `Content-Type`.
    pub(super) fn content_type(self) -> String {
        let escaping = match self.escaping {
            Escaping::Underscores => "underscores",
            Escaping::Dots => "dots",
            Escaping::Values => "values",
            Escaping::Utf8 => "allow-utf-8",
        };
        let kind = match self.encoding {
            Encoding::Text => "text/plain; version=0.0.4; charset=utf-8",
            Encoding::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; \
                 encoding=delimited"
            }
        };
        format!("{kind}; escaping={escaping}")
    }
}

impl Escaping {
    /// A name as it is written; names of the classic alphabet stay.
    pub(super) fn name(self, name: &str) -> Cow<'_, str> {
        if self == Self::Utf8 || is_legacy_metric_name(name) {
            return Cow::Borrowed(name);
        }
        let mut out = String::with_capacity(name.len() + 8);
        if self == Self::Values {
            out.push_str("U__");
        }
        for (at, c) in name.char_indices() {
            let fits = c.is_ascii_alphabetic() || matches!(c, '_' | ':');
            let fits = fits || (at > 0 && c.is_ascii_digit());
            match (self, c) {
                (Self::Dots | Self::Values, '_') => out.push_str("__"),
                (Self::Dots, '.') => out.push_str("_dot_"),
                _ if fits => out.push(c),
                (Self::Dots, _) => out.push_str("__"),
                // Writing into a String cannot fail.
                (Self::Values, c) => drop(write!(out, "_{:x}_", c as u32)),
                (Self::Underscores | Self::Utf8, _) => out.push('_'),
            }
        }
        Cow::Owned(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_chosen_as_prometheus_does() {
        let protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
                        encoding=";
        for (accept, encoding, escaping) in [
            ("", Encoding::Text, Escaping::Underscores),
            ("*/*", Encoding::Text, Escaping::Underscores),
            ("text/plain; escaping=dots", Encoding::Text, Escaping::Dots),
            ("text/plain;escaping=bogus", Encoding::Text, Escaping::Underscores),
            (
                "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.4",
                Encoding::Text,
                Escaping::Utf8,
            ),
            (&format!("{protobuf}delimited"), Encoding::Protobuf, Escaping::Underscores),
            (&format!("{protobuf}delimited;escaping=values"), Encoding::Protobuf, Escaping::Values),
            (
                &format!("{protobuf}delimited;q=0.3,text/plain;q=0.5"),
                Encoding::Text,
                Escaping::Underscores,
            ),
            (
                &format!("text/plain;q=0,{protobuf}delimited;q=0.1"),
                Encoding::Protobuf,
                Escaping::Underscores,
            ),
            (&format!("{protobuf}bogus"), Encoding::Text, Escaping::Underscores),
            ("application/vnd.google.protobuf", Encoding::Text, Escaping::Underscores),
        ] {
            assert_eq!(Form::wanted(accept), Form { encoding, escaping }, "{accept}");
        }
        assert_eq!(
            Form::wanted("").content_type(),
            "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
        );
    }

    #[test]
    fn names_are_escaped_as_prometheus_does() {
        for (name, underscores, dots, values) in [
            ("with.dots_", "with_dots_", "with_dot_dots__", "U__with_2e_dots__"),
            ("1a:b_\u{fc}\n", "_a:b___", "__a:b______", "U___31_a:b___fc__a_"),
            ("a_b:c", "a_b:c", "a_b:c", "a_b:c"),
        ] {
            assert_eq!(Escaping::Underscores.name(name), underscores);
            assert_eq!(Escaping::Dots.name(name), dots);
            assert_eq!(Escaping::Values.name(name), values);
            assert_eq!(Escaping::Utf8.name(name), name);
        }
    }
}
