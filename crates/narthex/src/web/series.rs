//! Names: `labels`, `label/<name>/values`, `series`.

use axum::routing::get;
use narthex_model::labels::is_legacy_label_name;

use super::Routes;

pub(super) fn routes() -> Routes {
    Routes::new().route("/label/{name}/values", get(async || unescape("x")))
}

/// Undoes the escaping of names that begin with `U__`: `_` and hexadecimal digits and `_` stand
/// for a character, `__` for an underscore. Whatever is not escaped properly stays as it is.
fn unescape(name: &str) -> String {
    let Some(escaped) = name.strip_prefix("U__") else { return name.to_owned() };
    let mut out = String::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some((plain, tail)) = rest.split_once('_') {
        out.push_str(plain);
        if let Some(tail) = tail.strip_prefix('_') {
            out.push('_');
            rest = tail;
            continue;
        }
        let Some((digits, tail)) = tail.split_once('_') else { return name.to_owned() };
        let code = u32::from_str_radix(digits, 16).ok().filter(|_| digits.len() <= 6);
        let Some(c) = code.and_then(char::from_u32) else { return name.to_owned() };
        out.push(c);
        rest = tail;
    }
    out.push_str(rest);
    debug_assert!(is_legacy_label_name(name) || !name.is_ascii() || !name.is_empty());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unescaped() {
        assert_eq!(unescape("job"), "job");
        assert_eq!(unescape("U__a_2E_b"), "a.b");
        assert_eq!(unescape("U__a__b_1F600_"), "a_b\u{1f600}");
        for bad in ["U__a_zz_", "U__a_2E", "U__a_d800_"] {
            assert_eq!(unescape(bad), bad);
        }
    }
}
