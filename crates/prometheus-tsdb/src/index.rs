//! The file `index` of a block: symbols, series with their chunks, postings.

mod reader;
mod writer;

pub use reader::Index;
pub use writer::Writer;

const MAGIC: u32 = 0xBAAA_D700;
const VERSION: u8 = 2;
/// Series begin at multiples of this, so that four bytes name them.
const SERIES_ALIGN: u64 = 16;
/// Six offsets and a checksum.
const TOC_BYTES: usize = 6 * 8 + 4;

/// A chunk of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkMeta {
    /// Where it stands; see [`crate::chunks::place`].
    pub reference: u64,
    /// The times of its first and last sample.
    pub times: (i64, i64),
}

#[cfg(test)]
mod tests {
    use narthex_model::Labels;

    use super::*;

    fn example() -> (Vec<u8>, Vec<(Labels, Vec<ChunkMeta>)>) {
        let chunk = |reference, start, end| ChunkMeta { reference, times: (start, end) };
        let mut series: Vec<(Labels, Vec<ChunkMeta>)> = (0..30i64)
            .map(|n| {
                let labels = [("__name__", format!("m{}", n % 7)), ("n", format!("{n}"))];
                let chunks = vec![chunk(8, -n, n), chunk(1 << 32 | 8, n + 1, n + 90)];
                (Labels::from_pairs(labels), chunks)
            })
            .collect();
        series.sort_by(|a, b| a.0.cmp(&b.0));
        let texts = series.iter().flat_map(|(labels, _)| labels.iter());
        let mut writer = Writer::new(texts.flat_map(|(name, value)| [name, value]));
        for (labels, chunks) in &series {
            writer.series(labels, chunks);
        }
        (writer.finish(), series)
    }

    #[test]
    fn what_is_written_is_read() {
        let (bytes, series) = example();
        let index = Index::open(bytes).unwrap();
        let found: Vec<_> = index
            .all_series()
            .unwrap()
            .into_iter()
            .map(|reference| {
                let mut chunks = Vec::new();
                (index.series(reference, &mut chunks).unwrap(), chunks)
            })
            .collect();
        assert_eq!(found, series);
    }

    #[test]
    fn damage_is_found_or_harmless() {
        let (bytes, series) = example();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x04;
            let Ok(index) = Index::open(damaged) else { continue };
            let Ok(all) = index.all_series() else { continue };
            for (reference, (labels, chunks)) in all.into_iter().zip(&series) {
                let mut found = Vec::new();
                if let Ok(name) = index.series(reference, &mut found) {
                    assert_eq!((&name, &found), (labels, chunks), "byte {at}");
                }
            }
        }
    }
}
