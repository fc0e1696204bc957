//! What the configuration does to series on their way out.

use narthex_model::{Labels, LabelsBuilder, relabel};

/// What happens to labels on their way out.
#[derive(Debug, Default)]
pub(crate) struct Prepare {
    /// Added where a series lacks them.
    pub(crate) external: Labels,
    /// The `write_relabel_configs`.
    pub(crate) rules: Vec<relabel::Rule>,
    /// Whether native histograms are sent.
    pub(crate) histograms: bool,
}

impl Prepare {
    /// The labels that are sent for `labels`, left in `builder`; `false` when nothing is.
    pub(crate) fn apply(&self, labels: &Labels, builder: &mut LabelsBuilder) -> bool {
        builder.clear();
        for (name, value) in labels {
            builder.set(name, value);
        }
        for (name, value) in &self.external {
            if builder.get(name).is_none() {
                builder.set(name, value);
            }
        }
        relabel::process(&self.rules, builder) && !builder.is_empty()
    }
}
