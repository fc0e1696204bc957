//! `otlp`. Accepted; nothing is received by OTLP.

use crate::section::section;

section! {
    /// `otlp`.
    pub struct Otlp as "config.OTLPConfig" {
        /// Every resource attribute becomes a label.
        promote_all_resource_attributes: bool,
        /// Resource attributes that become labels.
        promote_resource_attributes: Vec<String>,
        /// Resource attributes that do not.
        ignore_resource_attributes: Vec<String>,
        /// How names are made.
        translation_strategy: String = "UnderscoreEscapingWithSuffixes".to_owned(),
        /// Whether `service.*` stay in `target_info`.
        keep_identifying_resource_attributes: bool,
        /// Whether histograms become native ones.
        convert_histograms_to_nhcb: bool,
        /// Whether scopes become labels.
        promote_scope_metadata: bool,
        /// Whether attributes that begin with `_` keep one underscore.
        label_name_underscore_sanitization: bool,
        /// Whether several underscores in a row are kept.
        label_name_preserve_multiple_underscores: bool,
    }
}
