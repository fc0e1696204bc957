//! `meta.json` of a block.

use serde::{Deserialize, Serialize};

use crate::Error;

/// What a block is about. Fields that are not named here are passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Meta {
    /// The name of the block's folder.
    pub ulid: String,
    /// The first millisecond that the block covers.
    pub min_time: i64,
    /// The first millisecond behind those that the block covers.
    pub max_time: i64,
    /// Counts.
    pub stats: Stats,
    /// Where the block came from.
    pub compaction: Compaction,
    /// The version of the format: 1.
    pub version: u32,
}

/// Counts of a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Stats {
    /// Samples.
    pub num_samples: u64,
    /// Samples that are floats; not written by old versions.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_float_samples: u64,
    /// Samples that are native histograms; not written by old versions.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_histogram_samples: u64,
    /// Series.
    pub num_series: u64,
    /// Chunks.
    pub num_chunks: u64,
}

/// Where a block came from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Compaction {
    /// 1: straight from samples.
    pub level: u32,
    /// The blocks that it was made of.
    pub sources: Vec<String>,
    /// The blocks that it took the place of, whatever is known of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<Parent>,
    /// Words such as `from-out-of-order`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
}

/// A block that another took the place of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Parent {
    /// The name of its folder.
    pub ulid: String,
    /// The first millisecond that it covered.
    pub min_time: i64,
    /// The first millisecond behind.
    pub max_time: i64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// The hint of blocks that hold what came out of order.
pub const OUT_OF_ORDER: &str = "from-out-of-order";

impl Meta {
    /// Reads the file.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let meta: Self = serde_json::from_slice(bytes).map_err(|e| Error::Meta(e.to_string()))?;
        match meta.version {
            1 => Ok(meta),
            other => Err(Error::Unsupported(format!("version {other} of meta.json"))),
        }
    }

    /// The file's text, as Prometheus indents it.
    pub fn to_json(&self) -> String {
        let pretty = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut out = Vec::new();
        let mut serializer = serde_json::Serializer::with_formatter(&mut out, pretty);
        // Numbers, strings and lists of them: there is nothing that could not be written.
        let _ = self.serialize(&mut serializer);
        String::from_utf8(out).unwrap_or_default()
    }

    /// Whether the block holds what came out of order.
    pub fn is_out_of_order(&self) -> bool {
        self.compaction.hints.iter().any(|hint| hint == OUT_OF_ORDER)
    }
}
