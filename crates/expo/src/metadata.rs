//! What HELP, TYPE and UNIT lines say, read when somebody asks.

use std::collections::BTreeMap;
use std::hash::BuildHasher;

use narthex_model::{Hashing, Metadata, MetricKind};

use crate::format::Format;
use crate::series;

/// One HELP, TYPE or UNIT line; names and texts still escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Meta<'a> {
    Help(&'a [u8], &'a [u8]),
    Kind(&'a [u8], MetricKind),
    Unit(&'a [u8], &'a [u8]),
}

/// A sum over all metadata lines that does not depend on their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Digest(u64);

impl Digest {
    pub(crate) fn add(&mut self, meta: Meta<'_>, hasher: &Hashing) {
        self.0 = self.0.wrapping_add(hasher.hash_one(meta));
    }
}

/// The metadata of a body by the name of the metric family.
#[derive(Clone, Debug, Default)]
pub(crate) struct Families(BTreeMap<String, Metadata>);

impl Families {
    /// Takes one line in; of several for one family the last wins.
    pub(crate) fn add(&mut self, meta: Meta<'_>, format: Format) {
        match meta {
            Meta::Help(name, help) => {
                let quotes = format == Format::OpenMetrics;
                self.family(name).help = series::unescape(help, quotes).into_owned();
            }
            Meta::Kind(name, kind) => self.family(name).kind = kind,
            Meta::Unit(name, unit) => {
                self.family(name).unit = String::from_utf8_lossy(unit).into_owned();
            }
        }
    }

    fn family(&mut self, name: &[u8]) -> &mut Metadata {
        self.0.entry(series::unescaped(name).into_owned()).or_default()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Metadata)> {
        self.0.iter().map(|(name, metadata)| (name.as_str(), metadata))
    }
}
