//! Targets that share a source.

use narthex_config::TargetGroup;
use narthex_model::{Labels, LabelsBuilder};

/// The label that holds a target's address.
pub const ADDRESS: &str = "__address__";

/// The label that names the file which listed a target.
pub const META_FILEPATH: &str = "__meta_filepath";

/// What one source lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Which one: its place in the configuration, or file and place.
    pub source: String,
    /// The targets, before relabelling: their address, the group's labels, `__meta_*`.
    pub targets: Vec<Labels>,
}

impl Group {
    /// The group that `listed` describes. `file` is where it stands, if not in the configuration.
    pub(crate) fn new(source: String, listed: &TargetGroup, file: Option<&str>) -> Self {
        let mut base = LabelsBuilder::from_labels(&listed.labels);
        if let Some(file) = file {
            base.set(META_FILEPATH, file);
        }
        let target = |address: &String| {
            let mut labels = base.clone();
            labels.set(ADDRESS, address);
            labels.build()
        };
        Self { source, targets: listed.targets.iter().map(target).collect() }
    }
}
