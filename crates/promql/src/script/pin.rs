//! A query whose selectors are pinned to a time must give the same whenever it is computed.

use narthex_model::Timestamp;

use crate::Plan;
use crate::plan::{At, Expr, Func, Node};

/// The query pinned to `at`, with other times to compute it at; none if its functions look at the
/// time themselves.
pub(super) fn variants(plan: &Plan, at: i64) -> Vec<(Plan, i64)> {
    let mut pinned = plan.clone();
    if !pin(&mut pinned.root, at, false) {
        return Vec::new();
    }
    let times: &[i64] = if at == 0 { &[-1000, 1000] } else { &[-10 * at, 0, at / 5, 10 * at] };
    times.iter().map(|&time| (pinned.clone(), time)).collect()
}

/// Pins the selectors below `node`; `held` where a subquery above has a time already.
fn pin(node: &mut Node, at: i64, held: bool) -> bool {
    let slot = match &mut node.expr {
        Expr::Vector(selector) => Some(&mut selector.at),
        Expr::Matrix(matrix) => Some(&mut matrix.selector.at),
        Expr::Subquery(subquery) => Some(&mut subquery.at),
        _ => None,
    };
    let mut held_below = held;
    if let Some(slot) = slot {
        held_below |= slot.is_some();
        if slot.is_none() && !held {
            *slot = Some(At::Time(Timestamp(at)));
            held_below = true;
        }
    }
    let steady = match &mut node.expr {
        Expr::Number(_) | Expr::String(_) | Expr::Vector(_) | Expr::Matrix(_) => true,
        Expr::Subquery(subquery) => pin(&mut subquery.inner, at, held_below),
        Expr::Paren(inner) | Expr::Unary(_, inner) => pin(inner, at, held),
        Expr::Binary(binary) => pin(&mut binary.left, at, held) & pin(&mut binary.right, at, held),
        Expr::Aggregate(aggregate) => {
            let param = aggregate.param.as_mut().is_none_or(|param| pin(param, at, held));
            param & pin(&mut aggregate.inner, at, held)
        }
        Expr::Call(call) => {
            let func = call.function.func;
            let context = matches!(func, Func::Start | Func::End | Func::Step | Func::Range);
            let info = func == Func::Info;
            let steady = call.args.iter_mut().fold(true, |all, arg| pin(arg, at, held) & all);
            steady && !func.depends_on_time() && !context && !info
        }
    };
    *node = Node::new(node.expr.clone(), node.span);
    steady
}
