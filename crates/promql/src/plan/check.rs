//! Checks the types of a tree, in Prometheus' order and words.

use narthex_model::METRIC_NAME;

use super::parse::error_at;
use super::{Aggregate, Binary, Call, Card, Expr, Func, Node, Selector, Span, ValueType, text};
use crate::Error;

/// Checks `node` and all below it.
pub(super) fn check(query: &str, node: &Node) -> Result<(), Error> {
    Checker { query }.check(node)
}

struct Checker<'a> {
    query: &'a str,
}

impl Checker<'_> {
    fn error(&self, span: Span, message: impl Into<String>) -> Error {
        error_at(self.query, span, message)
    }

    fn check(&self, node: &Node) -> Result<(), Error> {
        match &node.expr {
            Expr::Number(_) | Expr::String(_) => Ok(()),
            Expr::Vector(selector) => self.selector(selector, node.span),
            Expr::Matrix(matrix) => self.selector(&matrix.selector, matrix.span),
            Expr::Paren(inner) => self.check(inner),
            Expr::Subquery(subquery) => {
                self.check(&subquery.inner)?;
                let inner = subquery.inner.value_type();
                if inner == ValueType::Vector {
                    return Ok(());
                }
                let message = format!(
                    "subquery is only allowed on instant vector, got {} instead",
                    inner.as_str()
                );
                Err(self.error(node.span, message))
            }
            Expr::Unary(_, inner) => {
                self.check(inner)?;
                let found = inner.value_type();
                if matches!(found, ValueType::Scalar | ValueType::Vector) {
                    return Ok(());
                }
                let message = format!(
                    "unary expression only allowed on expressions of type scalar or instant \
                     vector, got \"{}\"",
                    found.documented()
                );
                Err(self.error(node.span, message))
            }
            Expr::Binary(binary) => self.binary(binary, node.span),
            Expr::Aggregate(aggregate) => self.aggregate(aggregate),
            Expr::Call(call) => self.call(call, node.span),
        }
    }

    fn expect(&self, node: &Node, wanted: ValueType, context: &str) -> Result<(), Error> {
        self.check(node)?;
        let found = node.value_type();
        if found == wanted {
            return Ok(());
        }
        let message = format!(
            "expected type {} in {context}, got {}",
            wanted.documented(),
            found.documented()
        );
        Err(self.error(node.span, message))
    }

    fn aggregate(&self, aggregate: &Aggregate) -> Result<(), Error> {
        self.expect(&aggregate.inner, ValueType::Vector, "aggregation expression")?;
        match (&aggregate.param, aggregate.op.param_type()) {
            (Some(param), Some(wanted)) => self.expect(param, wanted, "aggregation parameter"),
            _ => Ok(()),
        }
    }

    fn selector(&self, selector: &Selector, span: Span) -> Result<(), Error> {
        let named = selector
            .matchers
            .iter()
            .any(|matcher| matcher.name() == METRIC_NAME && !matcher.matches_empty());
        if named || selector.matchers.iter().any(|matcher| !matcher.matches_empty()) {
            return Ok(());
        }
        Err(self.error(span, "vector selector must contain at least one non-empty matcher"))
    }

    fn binary(&self, binary: &Binary, span: Span) -> Result<(), Error> {
        self.check(&binary.left)?;
        self.check(&binary.right)?;
        let (left, right) = (binary.left.value_type(), binary.right.value_type());
        let operator = Span { start: self.operator_start(binary), end: binary.right.span.start };
        let op = binary.op;
        if binary.returns_bool && !op.is_comparison() {
            let message = "bool modifier can only be used on comparison operators";
            return Err(self.error(operator, message));
        }
        let scalars = left == ValueType::Scalar && right == ValueType::Scalar;
        if op.is_comparison() && !binary.returns_bool && scalars {
            let message = "comparisons between scalars must use BOOL modifier";
            return Err(self.error(operator, message));
        }
        let matching = &binary.matching;
        if let Some(label) = matching.labels.iter().find(|&l| matching.include.contains(l))
            && matching.on
        {
            let message = format!(
                "label {} must not occur in ON and GROUP clause at once",
                text::quoted(label)
            );
            return Err(self.error(operator, message));
        }
        for side in [&binary.left, &binary.right] {
            if !matches!(side.value_type(), ValueType::Scalar | ValueType::Vector) {
                let message = "binary expression must contain only scalar and instant vector types";
                return Err(self.error(side.span, message));
            }
        }
        self.matching(binary, span)
    }

    fn matching(&self, binary: &Binary, span: Span) -> Result<(), Error> {
        let vector = |node: &Node| node.value_type() == ValueType::Vector;
        let matching = &binary.matching;
        let name = binary.op.as_str();
        if !vector(&binary.left) || !vector(&binary.right) {
            if !matching.labels.is_empty() {
                let message = "vector matching only allowed between instant vectors";
                return Err(self.error(span, message));
            }
            if matching.fill_left.is_some() || matching.fill_right.is_some() {
                let message = "filling in missing series only allowed between instant vectors";
                return Err(self.error(span, message));
            }
            if binary.op.is_set() {
                let message =
                    format!("set operator \"{name}\" not allowed in binary scalar expression");
                return Err(self.error(span, message));
            }
            return Ok(());
        }
        if binary.op.is_set() {
            if matching.card != Card::OneToOne {
                let message = format!("no grouping allowed for \"{name}\" operation");
                return Err(self.error(span, message));
            }
            if matching.fill_left.is_some() || matching.fill_right.is_some() {
                let message = "filling in missing series not allowed for set operators";
                return Err(self.error(span, message));
            }
        }
        Ok(())
    }

    /// Where the operator stands: behind the spaces that follow the left side.
    fn operator_start(&self, binary: &Binary) -> usize {
        let end = binary.left.span.end;
        let rest = self.query.get(end..).unwrap_or("");
        end + rest.len() - rest.trim_start().len()
    }

    fn call(&self, call: &Call, span: Span) -> Result<(), Error> {
        let function = call.function;
        let (declared, given) = (function.args.len(), call.args.len());
        let message = |how: &str, wanted: usize| {
            let name = text::quoted(function.name);
            format!("expected {how}{wanted} argument(s) in call to {name}, got {given}")
        };
        if function.variadic == 0 {
            if declared != given {
                return Err(self.error(span, message("", declared)));
            }
        } else {
            let least = declared - 1;
            if given < least {
                return Err(self.error(span, message("at least ", least)));
            }
            if let Ok(more) = usize::try_from(function.variadic)
                && given > least + more
            {
                return Err(self.error(span, message("at most ", least + more)));
            }
        }
        let context = format!("call to function {}", text::quoted(function.name));
        if let (Func::Info, Some(arg)) = (function.func, call.args.get(1)) {
            self.info_selector(arg, &context, span)?;
        }
        for (index, arg) in call.args.iter().enumerate() {
            let wanted = function.args.get(index).or(function.args.last());
            if function.func == Func::Info && index == 1 {
                continue;
            }
            if let Some(&wanted) = wanted {
                self.expect(arg, wanted, &context)?;
            }
        }
        Ok(())
    }

    /// The second argument of `info` is a bare set of matchers, and may match everything.
    fn info_selector(&self, arg: &Node, context: &str, call: Span) -> Result<(), Error> {
        let found = arg.value_type();
        if found != ValueType::Vector {
            let wanted = ValueType::Vector.documented();
            let message =
                format!("expected type {wanted} in {context}, got {}", found.documented());
            return Err(self.error(call, message));
        }
        if !matches!(arg.expr, Expr::Vector(_)) {
            return Err(self.error(arg.span, "expected label selectors only"));
        }
        if self.query.get(arg.span.start..).is_some_and(|text| text.starts_with('{')) {
            return Ok(());
        }
        let message = "expected label selectors only, got vector selector instead";
        Err(self.error(arg.span, message))
    }
}
