//! One table per section of the file: its keys, their types and their defaults.

use crate::node::Node;
use crate::read::{Context, Fields};
use crate::write::Out;

/// A mapping with known keys.
pub(crate) trait Section: Sized {
    /// Reads the keys of this section out of `fields`.
    fn take(&mut self, fields: &mut Fields<'_>, cx: &mut Context<'_>);

    /// Writes the keys that are not left out.
    fn put(&self, out: &mut Vec<(String, Out)>);

    /// Checks what the keys say together, and fills in what depends on other keys. Called only
    /// when each key by itself was right.
    fn check(&mut self, _node: &Node, _cx: &mut Context<'_>) {}
}

/// Makes a struct whose fields are the keys of a section, with its defaults, its reading
/// (unknown keys are refused in the words of Go's YAML: "field x not found in type T") and its
/// writing, in the order of the table.
///
/// A key is left out when written if it is zero; `[always]` writes it regardless, `[bytes]` is a
/// `u64` that is written as `16MB`, and `[inline]` means that the keys of that section stand
/// among these. With `check`, the type brings a function of the shape of [`Section::check`].
macro_rules! section {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident as $go_type:literal $(, check $check:path)? {
            $(
                $(#[$field_meta:meta])*
                $field:ident : $type:ty $([$mark:ident])? $(= $default:expr)?
            ),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        $vis struct $name {
            $( $(#[$field_meta])* pub $field: $type, )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: section!(@default $($default)?), )* }
            }
        }

        impl $crate::section::Section for $name {
            fn take(
                &mut self,
                fields: &mut $crate::read::Fields<'_>,
                cx: &mut $crate::read::Context<'_>,
            ) {
                $( section!(@take $([$mark])? $field, self.$field, fields, cx); )*
            }

            fn put(&self, out: &mut Vec<(String, $crate::write::Out)>) {
                $( section!(@put $([$mark])? $field, self.$field, out); )*
            }

            $(
                fn check(
                    &mut self,
                    node: &$crate::node::Node,
                    cx: &mut $crate::read::Context<'_>,
                ) {
                    $check(self, node, cx);
                }
            )?
        }

        impl $crate::read::Value for $name {
            fn read(
                node: &$crate::node::Node,
                cx: &mut $crate::read::Context<'_>,
            ) -> Option<Self> {
                $crate::section::read(node, $go_type, cx)
            }

            fn write(&self) -> $crate::write::Out {
                let mut out = Vec::new();
                $crate::section::Section::put(self, &mut out);
                $crate::write::Out::Map(out)
            }

            fn is_zero(&self) -> bool {
                *self == Self::default()
            }
        }
    };

    (@default) => { Default::default() };
    (@default $default:expr) => { $default };

    (@take [inline] $field:ident, $place:expr, $fields:ident, $cx:ident) => {
        $crate::section::Section::take(&mut $place, $fields, $cx)
    };
    (@take [bytes] $field:ident, $place:expr, $fields:ident, $cx:ident) => {
        $fields.set_with(
            $crate::section::key(stringify!($field)),
            &mut $place,
            $cx,
            $crate::read::bytes::read,
        )
    };
    (@take $([always])? $field:ident, $place:expr, $fields:ident, $cx:ident) => {
        $fields.set($crate::section::key(stringify!($field)), &mut $place, $cx)
    };

    (@put [inline] $field:ident, $place:expr, $out:ident) => {
        $crate::section::Section::put(&$place, $out)
    };
    (@put [bytes] $field:ident, $place:expr, $out:ident) => {
        if $place != 0 {
            let key = $crate::section::key(stringify!($field)).to_owned();
            $out.push((key, $crate::read::bytes::write($place)));
        }
    };
    (@put [always] $field:ident, $place:expr, $out:ident) => {
        let key = $crate::section::key(stringify!($field)).to_owned();
        $out.push((key, $crate::read::Value::write(&$place)))
    };
    (@put $field:ident, $place:expr, $out:ident) => {
        if !$crate::read::Value::is_zero(&$place) {
            let key = $crate::section::key(stringify!($field)).to_owned();
            $out.push((key, $crate::read::Value::write(&$place)));
        }
    };
}

pub(crate) use section;

/// The key of a field: its name, without the mark that Rust wants before its own words.
pub(crate) fn key(field: &'static str) -> &'static str {
    field.strip_prefix("r#").unwrap_or(field)
}

/// Reads a section.
pub(crate) fn read<T: Section + Default>(
    node: &Node,
    go_type: &'static str,
    cx: &mut Context<'_>,
) -> Option<T> {
    let mut fields = Fields::open(node, go_type, cx)?;
    let issues_before = cx.issue_count();
    let mut section = T::default();
    section.take(&mut fields, cx);
    fields.finish(cx);
    if cx.issue_count() == issues_before {
        section.check(node, cx);
    }
    Some(section)
}
