//! Writes the text format.

use std::fmt::Write as _;

use narthex_model::number::GoFloat;

/// A page of metrics in text format 0.0.4.
#[derive(Debug, Default)]
pub struct Page {
    out: String,
}

/// One metric family of a page.
#[derive(Debug)]
pub struct Family<'a> {
    out: &'a mut String,
    name: &'static str,
}

impl Page {
    /// Begins a family; `kind` is the word after `# TYPE`.
    pub fn family(&mut self, name: &'static str, kind: &str, help: &str) -> Family<'_> {
        let _ = writeln!(self.out, "# HELP {name} {help}\n# TYPE {name} {kind}");
        Family { out: &mut self.out, name }
    }

    /// A gauge without labels.
    pub fn gauge(&mut self, name: &'static str, help: &str, value: f64) {
        self.family(name, "gauge", help).put("", &[], value);
    }

    /// A counter without labels.
    pub fn counter(&mut self, name: &'static str, help: &str, value: u64) {
        self.family(name, "counter", help).count(&[], value);
    }

    /// The text.
    pub fn into_text(self) -> String {
        self.out
    }
}

impl Family<'_> {
    /// Writes a sample; `suffix` is appended to the family's name.
    pub fn put(&mut self, suffix: &str, labels: &[(&str, &str)], value: f64) -> &mut Self {
        // Writing into a String cannot fail.
        let _ = write!(self.out, "{}{suffix}", self.name);
        for (index, (name, value)) in labels.iter().enumerate() {
            self.out.push(if index == 0 { '{' } else { ',' });
            let _ = write!(self.out, "{name}=\"");
            for c in value.chars() {
                match c {
                    '\\' => self.out.push_str("\\\\"),
                    '"' => self.out.push_str("\\\""),
                    '\n' => self.out.push_str("\\n"),
                    c => self.out.push(c),
                }
            }
            self.out.push('"');
        }
        if !labels.is_empty() {
            self.out.push('}');
        }
        let _ = writeln!(self.out, " {}", GoFloat(value));
        self
    }

    /// Writes a sample that is a count.
    #[expect(clippy::cast_precision_loss, reason = "the format knows floats only")]
    pub fn count(&mut self, labels: &[(&str, &str)], value: u64) -> &mut Self {
        self.put("", labels, value as f64)
    }

    /// Writes the sum and the count of a summary or a histogram.
    #[expect(clippy::cast_precision_loss, reason = "the format knows floats only")]
    pub fn totals(&mut self, labels: &[(&str, &str)], sum: f64, count: u64) {
        self.put("_sum", labels, sum).put("_count", labels, count as f64);
    }

    /// Writes the samples of a histogram.
    #[expect(clippy::cast_precision_loss, reason = "the format knows floats only")]
    pub fn histogram<const N: usize>(&mut self, labels: &[(&str, &str)], histogram: &Histogram<N>) {
        let mut total = 0;
        let bounds = histogram.bounds.iter().map(|bound| GoFloat(*bound).to_string());
        let bounds = bounds.chain(["+Inf".to_owned()]);
        for (bound, count) in bounds.zip(histogram.counts.iter().chain([&histogram.above])) {
            total += count;
            let with_le: Vec<_> = labels.iter().copied().chain([("le", bound.as_str())]).collect();
            self.put("_bucket", &with_le, total as f64);
        }
        self.totals(labels, histogram.sum, total);
    }
}

/// A histogram with fixed upper bounds.
#[derive(Clone, Debug)]
pub struct Histogram<const N: usize> {
    bounds: &'static [f64; N],
    counts: [u64; N],
    above: u64,
    sum: f64,
}

impl<const N: usize> Histogram<N> {
    /// An empty histogram.
    pub fn new(bounds: &'static [f64; N]) -> Self {
        Self { bounds, counts: [0; N], above: 0, sum: 0.0 }
    }

    /// Adds one observation.
    pub fn observe(&mut self, value: f64) {
        self.sum += value;
        let at = self.bounds.partition_point(|bound| *bound < value);
        *self.counts.get_mut(at).unwrap_or(&mut self.above) += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_families() {
        static BOUNDS: [f64; 2] = [0.1, 1.0];
        let mut histogram = Histogram::new(&BOUNDS);
        for value in [0.1, 0.5, 7.0] {
            histogram.observe(value);
        }
        let mut page = Page::default();
        page.gauge("g", "Help.", 1.5);
        page.family("h", "histogram", "Help.").histogram(&[("a", "x\"\\\n")], &histogram);
        let labels = r#"a="x\"\\\n""#;
        let want = format!(
            "# HELP g Help.\n# TYPE g gauge\ng 1.5\n# HELP h Help.\n# TYPE h histogram\n\
             h_bucket{{{labels},le=\"0.1\"}} 1\nh_bucket{{{labels},le=\"1\"}} 2\n\
             h_bucket{{{labels},le=\"+Inf\"}} 3\nh_sum{{{labels}}} 7.6\nh_count{{{labels}}} 3\n"
        );
        assert_eq!(page.into_text(), want);
    }
}
