//! YAML as a tree whose nodes know their place.
//!
//! A scalar keeps its text as written: `version: 1.10` is a label value "1.10", not a number.
//! The YAML reader gives types and places, so the text of what it takes for a number or a
//! boolean is cut from the source again.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::NonFiniteFloatPolicy;
use serde_saphyr::{Location, Spanned};

/// Deepest nesting of lists and maps.
const DEPTH_MAX: usize = 32;

/// Most nodes of one text, aliases written out.
const NODES_MAX: usize = 500_000;

/// Most nodes that aliases may add.
const ALIAS_NODES_MAX: usize = 100_000;

/// Most text in scalars, in bytes, aliases written out.
const SCALAR_BYTES_MAX: usize = 64 << 20;

/// A place in a text, both from 1, columns in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) line: u64,
    pub(crate) column: u64,
}

/// A value and its place.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) value: Yaml,
}

/// A value.
#[derive(Clone, Debug)]
pub(crate) enum Yaml {
    Null,
    /// A scalar's text; whether it is a number or a boolean, as far as YAML can tell.
    Scalar {
        text: String,
        typed: bool,
    },
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// One entry of a map.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) place: Place,
    pub(crate) node: Node,
}

/// A text that is not YAML, or breaks a limit.
#[derive(Clone, Debug)]
pub(crate) struct NotYaml {
    pub(crate) place: Place,
    pub(crate) message: String,
}

impl Node {
    /// Reads a text; an empty one is null.
    pub(crate) fn parse(text: &str) -> Result<Self, NotYaml> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let options = serde_saphyr::options! {
            emit_comments: false,
            with_snippet: false,
            non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
            alias_limits: serde_saphyr::alias_limits! {
                max_total_replayed_events: ALIAS_NODES_MAX,
                max_replay_stack_depth: 16,
            },
            budget: serde_saphyr::budget! {
                max_depth: DEPTH_MAX,
                max_nodes: NODES_MAX,
                max_events: 4 * NODES_MAX,
                max_documents: 1,
                max_total_scalar_bytes: SCALAR_BYTES_MAX,
            },
        };
        // The texts of the reader's errors may show lines of the source, and those may hold
        // secrets: only the bare message and the place go on.
        serde_saphyr::from_str_with_options::<Spanned<Raw>>(text, options)
            .map_err(|error| {
                let message = error.without_snippet().to_string();
                // The place is said once, by the issue.
                let bare = message.rsplit_once(" at line ").map_or(message.as_str(), |(m, _)| m);
                let message = match bare.strip_prefix("budget breached: ") {
                    Some(breach) if breach.starts_with("Documents") => {
                        "expected one YAML document".to_owned()
                    }
                    Some(breach) => format!("larger or more nested than is taken: {breach}"),
                    // The reader goes on with advice to programmers.
                    None => bare.split(", set DuplicateKeyPolicy").next().unwrap_or("").to_owned(),
                };
                NotYaml { place: error.location().map(place).unwrap_or_default(), message }
            })
            .and_then(|raw| build(raw, text))
    }

    /// The node of `key`, where this is a map that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        let Yaml::Map(entries) = &self.value else { return None };
        entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node)
    }

    /// Where to point for `key`: its value, or this node where it has no such key.
    pub(crate) fn place_of(&self, key: &str) -> Place {
        self.get(key).map_or(self.place, |node| node.place)
    }

    /// The items, where this is a list; else none.
    pub(crate) fn items(&self) -> &[Self] {
        match &self.value {
            Yaml::List(items) => items,
            _ => &[],
        }
    }

    pub(crate) fn is_list(&self) -> bool {
        matches!(self.value, Yaml::List(_))
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self.value, Yaml::Null)
    }

    /// What this is, in the words of an error message.
    pub(crate) fn kind(&self) -> &'static str {
        match self.value {
            Yaml::Null => "nothing",
            Yaml::Scalar { .. } => "a single value",
            Yaml::List(_) => "a list",
            Yaml::Map(_) => "a mapping",
        }
    }
}

fn place(location: Location) -> Place {
    Place { line: location.line(), column: location.column() }
}

/// What the YAML reader says of a value.
enum Raw {
    Null,
    /// A number or a boolean, whose text is in the source.
    Typed,
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<Raw>, Spanned<Raw>)>),
}

fn build(raw: Spanned<Raw>, source: &str) -> Result<Node, NotYaml> {
    let place = place(raw.defined);
    let value = match raw.value {
        Raw::Null => Yaml::Null,
        Raw::Typed => Yaml::Scalar { text: cut(raw.defined, source), typed: true },
        Raw::Text(text) => Yaml::Scalar { text, typed: false },
        Raw::List(items) => {
            Yaml::List(items.into_iter().map(|item| build(item, source)).collect::<Result<_, _>>()?)
        }
        Raw::Map(entries) => {
            Yaml::Map(entries.into_iter().map(|e| entry(e, source)).collect::<Result<_, _>>()?)
        }
    };
    Ok(Node { place, value })
}

fn entry((key, node): (Spanned<Raw>, Spanned<Raw>), source: &str) -> Result<Entry, NotYaml> {
    let key = build(key, source)?;
    let kind = key.kind();
    let Yaml::Scalar { text, .. } = key.value else {
        let message = format!("expected a plain key, found {kind}");
        return Err(NotYaml { place: key.place, message });
    };
    Ok(Entry { key: text, place: key.place, node: build(node, source)? })
}

fn cut(location: Location, source: &str) -> String {
    let span = location.span();
    let text = span.byte_offset().zip(span.byte_len()).and_then(|(start, len)| {
        let start = usize::try_from(start).ok()?;
        source.get(start..start.checked_add(usize::try_from(len).ok()?)?)
    });
    text.unwrap_or("").trim_matches(['"', '\'']).to_owned()
}

struct RawVisitor;

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("YAML")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Raw, E> {
        Ok(Raw::Typed)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Raw, E> {
        Ok(Raw::Typed)
    }

    fn visit_i128<E>(self, _: i128) -> Result<Raw, E> {
        Ok(Raw::Typed)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Raw, E> {
        Ok(Raw::Typed)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Raw, E> {
        Ok(Raw::Typed)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Raw, E> {
        Ok(Raw::Typed)
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Text(text.to_owned()))
    }

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Raw, E> {
        let text = std::str::from_utf8(bytes).map_err(|_| E::custom("not UTF-8"))?;
        Ok(Raw::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Raw::Map(map))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<Raw, D::Error> {
        inner.deserialize_any(self)
    }

    fn visit_enum<A>(self, _: A) -> Result<Raw, A::Error>
    where
        A: serde::de::EnumAccess<'de>,
    {
        Err(A::Error::custom("tags of one's own have no meaning here"))
    }
}
