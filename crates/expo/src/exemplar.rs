//! Exemplars, as they stand in an OpenMetrics body.

use narthex_model::Timestamp;

use crate::series;

/// Fewest bytes from the value of a line with an exemplar to its end: `1 # {} 1` and a newline.
pub(crate) const REST_BYTES_MIN: usize = 9;

/// What stands behind the ` # ` of a line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exemplar<'a> {
    /// The labels in their braces, checked.
    pub(crate) braces: &'a [u8],
    /// What was observed.
    pub value: f64,
    /// Its own time, if it tells one.
    pub at: Option<Timestamp>,
}

impl<'a> Exemplar<'a> {
    /// Calls `each` with every label, in the order of the body. As in Prometheus, escapes in
    /// values are not resolved.
    pub fn each_label(&self, each: impl FnMut(&'a str, &'a str)) {
        series::each_exemplar_label(self.braces, each);
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;

    use crate::{Format, Limits, Stencil};

    /// Every exemplar of a body: series, labels, the bits of the value, time in ms.
    type Seen = Vec<(String, Vec<(String, String)>, u64, Option<i64>)>;

    fn seen(stencil: &Stencil) -> Seen {
        let mut seen = Seen::new();
        stencil.each_exemplar(|slot, exemplar| {
            let mut labels = Vec::new();
            exemplar.each_label(|name, value| labels.push((name.to_owned(), value.to_owned())));
            let series = String::from_utf8_lossy(stencil.series_text(slot)).into_owned();
            seen.push((series, labels, exemplar.value.to_bits(), exemplar.at.map(|at| at.0)));
        });
        seen
    }

    #[test]
    fn exemplars_are_found_where_they_are() {
        let mut stencil = Stencil::new(Format::OpenMetrics, Limits::default());
        let body = "# HELP a not # {one} 1\na{x=\" # {y=\\\"z\\\"} 1\"} 1\na 1 # {t=\"# {\\\"x\"} -.5 7\n\
                    b 2 3.5 # {} Inf\nb 2 # {\"q.r\"=\"s\",} 1e3\nb 2 # {z=\"\"} 4\n# EOF\n";
        for _ in 0..2 {
            stencil.fit(body.as_bytes()).unwrap();
            let pair = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
            let of = |series: &str, labels, value: f64, at| {
                (series.to_owned(), labels, value.to_bits(), at)
            };
            let infinite = f64::INFINITY;
            assert_eq!(
                seen(&stencil),
                [
                    of("a", pair("t", "# {\\\"x"), -0.5, Some(7000)),
                    of("b", Vec::new(), infinite, None),
                ],
                "the later lines repeat a series"
            );
        }
        let body = "b 2 # {\"q.r\"=\"s\",} 1e3\na 1234567890\n# EOF\n";
        stencil.fit(body.as_bytes()).unwrap();
        assert_eq!(seen(&stencil).len(), 1);
        assert_eq!(stencil.slot_of_sample(1), Some(crate::Slot(1)));
        stencil.forget();
        assert!(seen(&stencil).is_empty());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            lines in proptest::collection::vec(
                (
                    proptest::collection::btree_map("[a-z_][a-z0-9_]{0,5}", "[ -!#-\\[\\]-~\u{e9}]{0,9}", 0..5),
                    any::<f64>(),
                    proptest::option::of(-1_000_000_000_000_i64..1_000_000_000_000),
                    any::<bool>(),
                ),
                1..20,
            ),
        ) {
            let (mut body, mut want) = (String::new(), Seen::new());
            for (index, (labels, value, at, there)) in lines.into_iter().enumerate() {
                let _ = write!(body, "s{index} {index}.25");
                if there {
                    body.push_str(" # {");
                    for (name, value) in &labels {
                        let _ = write!(body, "{name}=\"{value}\",");
                    }
                    let _ = write!(body, "}} {value:e}");
                    if let Some(ms) = at {
                        let _ = write!(body, " {}", ms / 1000);
                    }
                    let at = at.map(|ms| ms / 1000 * 1000);
                    let bits = if value.is_nan() { None } else { Some(value.to_bits()) };
                    let labels = labels.into_iter().collect();
                    want.push((format!("s{index}"), labels, bits.unwrap_or(0), at));
                }
                body.push('\n');
            }
            body.push_str("# EOF\n");
            let mut stencil = Stencil::new(Format::OpenMetrics, Limits::default());
            stencil.fit(body.as_bytes()).unwrap();
            let mut seen = seen(&stencil);
            for one in seen.iter_mut().filter(|one| f64::from_bits(one.2).is_nan()) {
                one.2 = 0;
            }
            prop_assert_eq!(seen, want);
        }

        #[test]
        fn any_line_is_read_or_refused(
            lines in proptest::collection::vec(
                "(s|t|s\\{a=\"\\}\"\\}) 1( 2)? # \\{([a-c=\",}\\\\ #{]|a=\"b\"){0,12}\\}? ?[-0-9.eNaInf]{0,5}( [0-9.-]{1,4})?",
                0..6,
            ),
            noise in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let mut stencil = Stencil::new(Format::OpenMetrics, Limits::default());
            for line in &lines {
                for end in ["\n# EOF\n", ""] {
                    let body = [line.as_bytes(), end.as_bytes()].concat();
                    let read = stencil.fit(&body).is_ok();
                    prop_assert!(seen(&stencil).len() <= usize::from(read));
                }
            }
            let body = [lines.join("\n").as_bytes(), b"\n", &noise, b"\n# EOF\n"].concat();
            let _ = stencil.fit(&body);
            seen(&stencil);
        }
    }
}
