//! Where nothing is.

use narthex_model::{ABSENT, Labels, LabelsBuilder, METRIC_NAME, MatchOp};

use crate::Error;
use crate::column::{Column, Slots};
use crate::eval::Evaluator;
use crate::plan::{Call, Expr, Node};
use crate::steps::Steps;

impl Evaluator<'_> {
    pub(super) fn absent(&mut self, call: &Call, steps: Steps) -> Result<Vec<Column>, Error> {
        let arg = call.arg(0)?;
        let columns = self.vector(arg, steps)?;
        Ok(gaps(&columns, steps, labels_of(arg), false))
    }

    pub(super) fn absent_over_time(
        &mut self,
        range: &Node,
        columns: &[Column],
        steps: Steps,
    ) -> Result<Vec<Column>, Error> {
        self.budget.hold(steps.count)?;
        Ok(gaps(columns, steps, labels_of(range), true))
    }
}

/// 1 at the steps at which no column has a value.
fn gaps(columns: &[Column], steps: Steps, labels: Labels, drop_name: bool) -> Vec<Column> {
    let mut present = vec![false; steps.count];
    for column in columns {
        for (step, _) in column.iter() {
            if let Some(slot) = present.get_mut(step) {
                *slot = true;
            }
        }
    }
    let mut slots = Slots::default();
    for there in present {
        slots.push(if there { ABSENT } else { 1.0 });
    }
    slots.column(labels, drop_name).into_iter().collect()
}

/// The labels that a selector fixes: those with one equality matcher.
fn labels_of(node: &Node) -> Labels {
    let matchers = match &node.bare().expr {
        Expr::Vector(selector) => &selector.matchers,
        Expr::Matrix(matrix) => &matrix.selector.matchers,
        _ => return Labels::empty(),
    };
    let mut builder = LabelsBuilder::default();
    let mut seen = Vec::new();
    for matcher in matchers.iter().filter(|matcher| matcher.name() != METRIC_NAME) {
        if matcher.op() == MatchOp::Equal && !seen.contains(&matcher.name()) {
            builder.set(matcher.name(), matcher.value());
            seen.push(matcher.name());
        } else {
            builder.remove(matcher.name());
        }
    }
    builder.build()
}
