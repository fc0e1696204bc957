//! Samples in the text format; native histograms have no place in it.

use std::fmt::Write as _;

use narthex_model::labels::is_legacy_metric_name;
use narthex_model::number::GoFloat;

use super::form::Escaping;
use super::{Found, Latest, Write};

/// Lines that are being written.
#[derive(Debug)]
pub(super) struct Lines {
    escaping: Escaping,
    metric: String,
    out: String,
}

impl Lines {
    pub(super) fn new(escaping: Escaping) -> Self {
        Self { escaping, metric: String::new(), out: String::new() }
    }

    /// Writes a name, in quotes where it needs them.
    fn name(&mut self, name: &str) {
        let name = self.escaping.name(name);
        if is_legacy_metric_name(&name) {
            self.out.push_str(&name);
        } else {
            self.quoted(&name);
        }
    }

    fn quoted(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '\\' => self.out.push_str("\\\\"),
                '"' => self.out.push_str("\\\""),
                '\n' => self.out.push_str("\\n"),
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }
}

impl Write for Lines {
    fn sample(&mut self, found: &Found, labels: &[(&str, &str)]) {
        let Latest::Number(value) = found.value else { return };
        let metric = found.labels.metric_name();
        if self.metric != metric {
            metric.clone_into(&mut self.metric);
            self.out.push_str("# TYPE ");
            self.name(metric);
            self.out.push_str(" untyped\n");
        }
        let mut separator = '{';
        if !is_legacy_metric_name(&self.escaping.name(metric)) {
            self.out.push('{');
            separator = ',';
        }
        self.name(metric);
        for (name, value) in labels {
            self.out.push(separator);
            self.name(name);
            self.out.push('=');
            self.quoted(value);
            separator = ',';
        }
        if separator == ',' {
            self.out.push('}');
        }
        // Writing into a String cannot fail.
        let _ = writeln!(self.out, " {} {}", GoFloat(value), found.at);
    }

    fn len(&self) -> usize {
        self.out.capacity()
    }

    fn finish(self: Box<Self>) -> Vec<u8> {
        self.out.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use narthex_model::Histogram;

    use super::*;
    use crate::web::federate::tests::written;

    #[test]
    fn lines_as_prometheus_writes_them() {
        let text = |escaping, labels: &[(&str, &str)], value| {
            let samples = [(labels, Latest::Number(value))];
            String::from_utf8(written(Box::new(Lines::new(escaping)), &samples)).unwrap()
        };
        assert_eq!(
            text(
                Escaping::Underscores,
                &[("__name__", "up"), ("job", "a\"b"), ("instance", "h:1")],
                1.0
            ),
            "# TYPE up untyped\nup{instance=\"h:1\",job=\"a\\\"b\",site=\"n1\"} 1 1500\n"
        );
        let odd = &[("__name__", "a.b"), ("c.d", "\n")];
        assert_eq!(
            text(Escaping::Underscores, odd, f64::INFINITY),
            "# TYPE a_b untyped\na_b{c_d=\"\\n\",instance=\"\",job=\"x\",site=\"n1\"} +Inf 1500\n"
        );
        assert_eq!(
            text(Escaping::Utf8, odd, 1.0),
            "# TYPE \"a.b\" untyped\n\
             {\"a.b\",\"c.d\"=\"\\n\",instance=\"\",job=\"x\",site=\"n1\"} 1 1500\n"
        );
    }

    #[test]
    fn native_histograms_are_left_out() {
        let histogram = Latest::Histogram(std::sync::Arc::new(Histogram::default()));
        let samples = [(&[("__name__", "h")][..], histogram)];
        assert!(written(Box::new(Lines::new(Escaping::Utf8)), &samples).is_empty());
    }

    #[test]
    fn floats_as_exporters_write_them() {
        for (value, want) in [
            (0.0, "0"),
            (999_999.5, "999999.5"),
            (1e6, "1e+06"),
            (1_795_256_407.206, "1.795256407206e+09"),
            (0.0001, "0.0001"),
            (0.000_01, "1e-05"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(GoFloat(value).to_string(), want);
        }
    }
}
