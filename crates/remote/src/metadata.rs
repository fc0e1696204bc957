//! Metadata: what the targets say about their metrics, sent now and then.

use std::collections::BTreeMap;
use std::fmt::Debug;

use narthex_model::Metadata;

use crate::encode::put_metadata;

/// Knows the metadata of the active targets.
pub trait MetadataSource: Send + Sync + Debug {
    /// Calls `each` with every metric family's name and metadata; a family that several targets
    /// know may come several times.
    fn visit(&self, each: &mut dyn FnMut(&str, &Metadata));
}

/// The requests that carry what `source` knows, compressed: each with the number of its families,
/// at most `families_max`. Entries that are equal are sent once.
pub(crate) fn requests(source: &dyn MetadataSource, families_max: usize) -> Vec<(usize, Vec<u8>)> {
    let mut all: BTreeMap<String, Vec<Metadata>> = BTreeMap::new();
    source.visit(&mut |name, metadata| match all.get_mut(name) {
        // Most targets say the same: nothing is copied for those.
        Some(known) if known.contains(metadata) => {}
        Some(known) => known.push(metadata.clone()),
        None => {
            all.insert(name.to_owned(), vec![metadata.clone()]);
        }
    });
    let each = |(name, known): (String, Vec<Metadata>)| {
        known.into_iter().map(move |metadata| (name.clone(), metadata))
    };
    let families: Vec<_> = all.into_iter().flat_map(each).collect();
    let mut encoder = snap::raw::Encoder::new();
    let chunks = families.chunks(families_max.max(1)).filter_map(|chunk| {
        let mut raw = Vec::new();
        for (name, metadata) in chunk {
            put_metadata(&mut raw, name, metadata);
        }
        encoder.compress_vec(&raw).ok().map(|body| (chunk.len(), body))
    });
    chunks.collect()
}

/// Endings that a series' name has beyond its family's.
const SUFFIXES: [&str; 6] = ["_bucket", "_count", "_sum", "_total", "_info", "_created"];

/// The metadata of all families, for those who look it up by series.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Families(BTreeMap<String, Metadata>);

impl Families {
    /// What `source` knows; of a family that is described twice, the first description.
    pub(crate) fn of(source: &dyn MetadataSource) -> Self {
        let mut families = BTreeMap::new();
        source.visit(&mut |name, metadata| {
            families.entry(name.to_owned()).or_insert_with(|| metadata.clone());
        });
        Self(families)
    }

    /// The metadata of the family that the series `name` belongs to.
    pub(crate) fn get(&self, name: &str) -> Option<&Metadata> {
        self.0.get(name).or_else(|| {
            let mut families = SUFFIXES.iter().filter_map(|suffix| name.strip_suffix(suffix));
            families.find_map(|family| self.0.get(family))
        })
    }
}
