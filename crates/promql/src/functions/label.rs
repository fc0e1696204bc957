//! Functions that change labels.

use narthex_model::regex::Pattern;
use narthex_model::{LabelsBuilder, METRIC_NAME};

use crate::Error;
use crate::column::{Column, join_same};
use crate::eval::Evaluator;
use crate::options::Release;
use crate::plan::{Call, is_utf8, quoted};
use crate::steps::Steps;

/// Longest label value that a query may build, in bytes.
const VALUE_BYTES_MAX: usize = 1 << 20;

fn check_name(name: &str, what: &str) -> Result<(), Error> {
    if !name.is_empty() && is_utf8(name) {
        return Ok(());
    }
    let shown = if is_utf8(name) { name.to_owned() } else { quoted(name) };
    Err(Error::Execution(format!("invalid {what}: {shown}")))
}

impl Evaluator<'_> {
    pub(super) fn label_replace(
        &mut self,
        call: &Call,
        steps: Steps,
    ) -> Result<Vec<Column>, Error> {
        let (target, template) = (call.text(1)?, call.text(2)?);
        let (source, pattern) = (call.text(3)?, call.text(4)?);
        let pattern = Pattern::new(pattern).map_err(|_| {
            let message = format!("invalid regular expression in label_replace(): {pattern}");
            Error::Execution(message)
        })?;
        check_name(target, "destination label name in label_replace()")?;
        let mut columns = self.vector(call.arg(0)?, steps)?;
        for column in &mut columns {
            let value = column.labels.get(source).unwrap_or("");
            // Each reference of the template may stand for all of the value.
            let references = template.bytes().filter(|&byte| byte == b'$').count();
            self.grow(references.saturating_mul(value.len()).saturating_add(template.len()))?;
            if let Some(value) = pattern.replace(value, template) {
                self.set_label(column, target, &value)?;
            }
        }
        join_same(columns, self.options.release == Release::V3_5)
    }

    pub(super) fn label_join(&mut self, call: &Call, steps: Steps) -> Result<Vec<Column>, Error> {
        let (target, separator) = (call.text(1)?, call.text(2)?);
        let mut sources = Vec::new();
        for index in 3..call.args.len() {
            let source = call.text(index)?;
            check_name(source, "source label name in label_join()")?;
            sources.push(source);
        }
        check_name(target, "destination label name in label_join()")?;
        let mut columns = self.vector(call.arg(0)?, steps)?;
        for column in &mut columns {
            let values = sources.iter().map(|source| column.labels.get(source).unwrap_or(""));
            let values: Vec<_> = values.collect();
            let length: usize = values.iter().map(|value| value.len() + separator.len()).sum();
            self.grow(length)?;
            self.set_label(column, target, &values.join(separator))?;
        }
        join_same(columns, self.options.release == Release::V3_5)
    }

    /// Checks the length of a value before it is built.
    fn grow(&mut self, length: usize) -> Result<(), Error> {
        if length > VALUE_BYTES_MAX {
            let message = format!("label value would be longer than {VALUE_BYTES_MAX} bytes");
            return Err(Error::Execution(message));
        }
        self.budget.work(length)
    }

    fn set_label(&mut self, column: &mut Column, name: &str, value: &str) -> Result<(), Error> {
        let mut builder = LabelsBuilder::from_labels(&column.labels);
        builder.set(name, value);
        let labels = builder.build();
        self.budget.hold_bytes(labels.heap_bytes())?;
        column.labels = labels;
        if name == METRIC_NAME {
            column.drop_name = false;
        }
        Ok(())
    }
}
