//! An expression as text, broken into lines as Prometheus' formatter breaks it.

use narthex_model::labels::{is_legacy_label_name, is_legacy_metric_name};
use narthex_model::number::{GoFloat, GoQuoted};
use narthex_model::time::format_duration;
use narthex_model::{METRIC_NAME, MatchOp, Timestamp};
use narthex_promql::plan::duration::Arithmetic;
use narthex_promql::plan::{
    Aggregate, AggregateOp, At, Binary, Call, Card, Edge, Expr, Length, Node, Selector, Subquery,
};

/// What is longer, in bytes, is broken into lines.
const LINE_BYTES_MAX: usize = 100;

/// `node` in its canonical form, `level` steps to the right.
pub(super) fn pretty(node: &Node, level: usize) -> String {
    let indent = "  ".repeat(level);
    let line = line(node);
    let leaf =
        matches!(node.expr, Expr::Number(_) | Expr::String(_) | Expr::Vector(_) | Expr::Matrix(_));
    if leaf || line.len() <= LINE_BYTES_MAX {
        return format!("{indent}{line}");
    }
    match &node.expr {
        Expr::Aggregate(aggregate) => {
            let param = aggregate.param.as_ref();
            let param = param.map_or_else(String::new, |p| format!("{},\n", pretty(p, level + 1)));
            let inner = pretty(&aggregate.inner, level + 1);
            format!("{indent}{}(\n{param}{inner}\n{indent})", aggregate_head(aggregate))
        }
        Expr::Binary(binary) => {
            let (left, right) = (pretty(&binary.left, level + 1), pretty(&binary.right, level + 1));
            format!("{left}\n{indent}{}\n{right}", operator(binary))
        }
        Expr::Call(call) => {
            let args: Vec<String> = call.args.iter().map(|arg| pretty(arg, level + 1)).collect();
            format!("{indent}{}(\n{}\n{indent})", call.function.name, args.join(",\n"))
        }
        Expr::Paren(inner) => format!("{indent}(\n{}\n{indent})", pretty(inner, level + 1)),
        Expr::Unary(minus, inner) => {
            format!("{indent}{}{}", sign(*minus), pretty(inner, level).trim())
        }
        Expr::Subquery(subquery) => {
            format!("{}{}", pretty(&subquery.inner, level), subquery_tail(subquery))
        }
        _ => format!("{indent}{line}"),
    }
}

/// `node` on one line.
fn line(node: &Node) -> String {
    match &node.expr {
        Expr::Number(value) => GoFloat(*value).to_string(),
        Expr::String(text) => GoQuoted(text).to_string(),
        Expr::Vector(vector) => {
            format!("{}{}{}", selector(vector), at(vector.at), offset(&vector.offset))
        }
        Expr::Matrix(matrix) => {
            let vector = &matrix.selector;
            let edge = match vector.edge {
                Edge::Plain => "",
                Edge::Anchored => " anchored",
                Edge::Smoothed => " smoothed",
            };
            let range = length(&matrix.range);
            let place = format!("{}{}", at(vector.at), offset(&vector.offset));
            format!("{}[{range}]{edge}{place}", selector(vector))
        }
        Expr::Subquery(subquery) => format!("{}{}", line(&subquery.inner), subquery_tail(subquery)),
        Expr::Paren(inner) => format!("({})", line(inner)),
        Expr::Unary(minus, inner) => format!("{}{}", sign(*minus), line(inner)),
        Expr::Binary(binary) => {
            format!("{} {} {}", line(&binary.left), operator(binary), line(&binary.right))
        }
        Expr::Aggregate(aggregate) => {
            let param = aggregate.param.as_ref();
            let param = param.map_or_else(String::new, |param| format!("{}, ", line(param)));
            format!("{}({param}{})", aggregate_head(aggregate), line(&aggregate.inner))
        }
        Expr::Call(call) => call_line(call),
    }
}

fn call_line(call: &Call) -> String {
    let args: Vec<String> = call.args.iter().map(line).collect();
    format!("{}({})", call.function.name, args.join(", "))
}

fn sign(minus: bool) -> &'static str {
    if minus { "-" } else { "+" }
}

fn name(label: &str) -> String {
    if is_legacy_label_name(label) { label.to_owned() } else { GoQuoted(label).to_string() }
}

fn names(labels: &[String]) -> String {
    labels.iter().map(|label| name(label)).collect::<Vec<_>>().join(", ")
}

fn selector(selector: &Selector) -> String {
    let prefix = if is_legacy_metric_name(&selector.name) { selector.name.as_str() } else { "" };
    let shown = selector.matchers.iter().filter(|matcher| {
        prefix.is_empty() || matcher.name() != METRIC_NAME || matcher.op() != MatchOp::Equal
    });
    let mut parts: Vec<String> = shown
        .map(|m| format!("{}{}{}", name(m.name()), m.op().as_str(), GoQuoted(m.value())))
        .collect();
    parts.sort_unstable();
    match (prefix, parts.as_slice()) {
        (name, []) if !name.is_empty() => name.to_owned(),
        _ => format!("{prefix}{{{}}}", parts.join(",")),
    }
}

fn at(at: Option<At>) -> String {
    match at {
        None => String::new(),
        Some(At::Time(Timestamp(ms))) => {
            let sign = if ms < 0 { "-" } else { "" };
            format!(" @ {sign}{}.{:03}", ms.unsigned_abs() / 1000, ms.unsigned_abs() % 1000)
        }
        Some(At::Start) => " @ start()".to_owned(),
        Some(At::End) => " @ end()".to_owned(),
    }
}

fn offset(offset: &Length) -> String {
    if *offset == Length::Fixed(0) { String::new() } else { format!(" offset {}", length(offset)) }
}

fn length(length: &Length) -> String {
    match length {
        Length::Fixed(ms) => {
            let text = format_duration(std::time::Duration::from_millis(ms.unsigned_abs()));
            if *ms < 0 { format!("-{text}") } else { text }
        }
        Length::Computed { arithmetic, .. } => self::arithmetic(arithmetic),
    }
}

fn arithmetic(node: &Arithmetic) -> String {
    match node {
        Arithmetic::Seconds(seconds) => GoFloat(*seconds).to_string(),
        Arithmetic::Step => "step()".to_owned(),
        Arithmetic::Range => "range()".to_owned(),
        Arithmetic::Negate(inner) => format!("-{}", arithmetic(inner)),
        Arithmetic::Min(a, b) => format!("min({}, {})", arithmetic(a), arithmetic(b)),
        Arithmetic::Max(a, b) => format!("max({}, {})", arithmetic(a), arithmetic(b)),
        Arithmetic::Binary(op, a, b) => format!("({} {op} {})", arithmetic(a), arithmetic(b)),
    }
}

fn subquery_tail(subquery: &Subquery) -> String {
    let step = subquery.step.as_ref().map_or_else(String::new, length);
    let place = format!("{}{}", at(subquery.at), offset(&subquery.offset));
    format!("[{}:{step}]{place}", length(&subquery.range))
}

/// `on (a) group_left (b)` and so on behind the operator.
fn operator(binary: &Binary) -> String {
    let mut out = binary.op.as_str().to_owned();
    if binary.returns_bool {
        out.push_str(" bool");
    }
    let matching = &binary.matching;
    if !matching.on && matching.labels.is_empty() {
        return out;
    }
    let word = if matching.on { "on" } else { "ignoring" };
    out = format!("{out} {word} ({})", names(&matching.labels));
    let side = match matching.card {
        Card::OneToOne => return out,
        Card::ManyToOne => "left",
        Card::OneToMany => "right",
    };
    format!("{out} group_{side} ({})", names(&matching.include))
}

fn aggregate_head(aggregate: &Aggregate) -> String {
    let op = op_name(aggregate.op);
    let labels = names(&aggregate.labels);
    if aggregate.without {
        format!("{op} without ({labels}) ")
    } else if labels.is_empty() {
        op.to_owned()
    } else {
        format!("{op} by ({labels}) ")
    }
}

/// The operator's name in queries.
pub(super) fn op_name(op: AggregateOp) -> &'static str {
    match op {
        AggregateOp::Sum => "sum",
        AggregateOp::Avg => "avg",
        AggregateOp::Count => "count",
        AggregateOp::Min => "min",
        AggregateOp::Max => "max",
        AggregateOp::Group => "group",
        AggregateOp::Stddev => "stddev",
        AggregateOp::Stdvar => "stdvar",
        AggregateOp::Topk => "topk",
        AggregateOp::Bottomk => "bottomk",
        AggregateOp::CountValues => "count_values",
        AggregateOp::Quantile => "quantile",
        AggregateOp::Limitk => "limitk",
        AggregateOp::LimitRatio => "limit_ratio",
    }
}
