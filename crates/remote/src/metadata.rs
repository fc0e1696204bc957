//! Metadata: what the targets say about their metrics, sent now and then.

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
    let mut families = std::collections::BTreeSet::new();
    source.visit(&mut |name, metadata| {
        families.insert((name.to_owned(), metadata.clone()));
    });
    let families: Vec<_> = families.into_iter().collect();
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
