//! Which selector 3.5 reads without the buckets of histograms.

use super::{Expr, Func, Node};

/// Marks the selector of which 3.5 reads counts and sums only, because that is all that the function
/// around it wants. It looks at the first selector of the expression and at none behind it, and
/// overlooks the outermost node.
pub(super) fn mark(root: &mut Node) {
    each(root, None);
}

/// Looks into a node for the first selector; says whether there is one.
fn each(node: &mut Node, inside: Option<bool>) -> bool {
    let within = |node: &mut Node| below(node, inside);
    match &mut node.expr {
        Expr::Number(_) | Expr::String(_) => false,
        Expr::Vector(selector) => {
            selector.counts_only = inside == Some(true);
            true
        }
        Expr::Matrix(matrix) => {
            matrix.selector.counts_only = inside == Some(true);
            true
        }
        Expr::Subquery(subquery) => within(&mut subquery.inner),
        Expr::Paren(inner) | Expr::Unary(_, inner) => within(inner),
        Expr::Binary(binary) => within(&mut binary.left) || within(&mut binary.right),
        Expr::Aggregate(aggregate) => {
            within(&mut aggregate.inner) || aggregate.param.as_mut().is_some_and(within)
        }
        Expr::Call(call) => call.args.iter_mut().any(within),
    }
}

/// Looks into a node that is not the outermost; `inside` tells of the nearest function around it
/// that wants something of histograms whether that is counts and sums only.
fn below(node: &mut Node, inside: Option<bool>) -> bool {
    let wants = match &node.expr {
        Expr::Call(call) => match call.function.func {
            Func::HistogramCount | Func::HistogramSum | Func::HistogramAvg => Some(true),
            Func::HistogramQuantile | Func::HistogramFraction => Some(false),
            _ => None,
        },
        _ => None,
    };
    each(node, wants.or(inside))
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn marked(node: &Node, out: &mut Vec<bool>) {
        match &node.expr {
            Expr::Vector(selector) => out.push(selector.counts_only),
            Expr::Matrix(matrix) => out.push(matrix.selector.counts_only),
            _ => node.children().for_each(|child| marked(child, out)),
        }
    }

    #[test]
    fn the_first_selector_alone_and_not_of_the_outermost_function() {
        for (query, wanted) in [
            ("histogram_count(a)", &[false][..]),
            ("(histogram_count(a))", &[true]),
            ("-histogram_sum(rate(a[5m]))", &[true]),
            ("1 + histogram_avg(a - b)", &[true, false]),
            ("b + histogram_avg(a)", &[false, false]),
            ("sum(histogram_count(histogram_quantile(1, a)))", &[false]),
            ("abs(histogram_quantile(1, histogram_count(a)))", &[true]),
            ("abs(histogram_count(last_over_time(a[1h:1m])))", &[true]),
        ] {
            let mut found = Vec::new();
            marked(&parse(query).unwrap().root, &mut found);
            assert_eq!(found, wanted, "{query}");
        }
    }
}
