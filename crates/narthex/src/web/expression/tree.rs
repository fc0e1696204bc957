//! An expression as a tree in JSON; fields in alphabetical order, as Prometheus writes them.

use narthex_model::Matcher;
use narthex_model::number::PlainFloat;
use narthex_promql::ValueType;
use narthex_promql::plan::duration::QueryTimes;
use narthex_promql::plan::{At, Binary, Call, Card, Expr, Length, Node, Selector, Subquery};

use super::text::op_name;
use crate::web::json::{self, Object};

/// Writes `node`.
pub(super) fn put(out: &mut Vec<u8>, node: &Node) {
    let mut object = Object::begin(out);
    match &node.expr {
        Expr::Number(value) => {
            object.text("type", "numberLiteral").text("val", &PlainFloat(*value).to_string());
        }
        Expr::String(text) => {
            object.text("type", "stringLiteral").text("val", text);
        }
        Expr::Vector(selector) => put_selector(&mut object, selector, None, "vectorSelector"),
        Expr::Matrix(matrix) => {
            put_selector(&mut object, &matrix.selector, Some(&matrix.range), "matrixSelector");
        }
        Expr::Subquery(subquery) => put_subquery(&mut object, subquery),
        Expr::Paren(inner) => {
            put(object.field("expr"), inner);
            object.text("type", "parenExpr");
        }
        Expr::Unary(minus, inner) => {
            put(object.field("expr"), inner);
            object.text("op", if *minus { "-" } else { "+" }).text("type", "unaryExpr");
        }
        Expr::Binary(binary) => put_binary(&mut object, binary),
        Expr::Aggregate(aggregate) => {
            put(object.field("expr"), &aggregate.inner);
            json::strings(object.field("grouping"), &aggregate.labels);
            object.text("op", op_name(aggregate.op));
            match &aggregate.param {
                Some(param) => put(object.field("param"), param),
                None => {
                    object.plain("param", "null");
                }
            }
            object.text("type", "aggregation").plain("without", aggregate.without);
        }
        Expr::Call(call) => put_call(&mut object, call),
    }
    object.end();
}

fn put_call(object: &mut Object<'_>, call: &Call) {
    json::list(object.field("args"), &call.args, put);
    let function = call.function;
    let mut func = Object::begin(object.field("func"));
    json::strings(func.field("argTypes"), function.args.iter().map(|kind| type_name(*kind)));
    func.text("name", function.name)
        .text("returnType", type_name(function.returns))
        .plain("variadic", function.variadic);
    func.end();
    object.text("type", "call");
}

fn type_name(kind: ValueType) -> &'static str {
    match kind {
        ValueType::Scalar => "scalar",
        ValueType::String => "string",
        ValueType::Vector => "vector",
        ValueType::Matrix => "matrix",
    }
}

fn put_binary(object: &mut Object<'_>, binary: &Binary) {
    object.plain("bool", binary.returns_bool);
    put(object.field("lhs"), &binary.left);
    let is_vector = |node: &Node| node.value_type() == ValueType::Vector;
    if is_vector(&binary.left) && is_vector(&binary.right) {
        let matching = &binary.matching;
        let card = match matching.card {
            _ if binary.op.is_set() => "many-to-many",
            Card::OneToOne => "one-to-one",
            Card::ManyToOne => "many-to-one",
            Card::OneToMany => "one-to-many",
        };
        let mut inner = Object::begin(object.field("matching"));
        inner.text("card", card);
        json::strings(inner.field("include"), &matching.include);
        json::strings(inner.field("labels"), &matching.labels);
        inner.plain("on", matching.on);
        inner.end();
    } else {
        object.plain("matching", "null");
    }
    object.text("op", binary.op.as_str());
    put(object.field("rhs"), &binary.right);
    object.text("type", "binaryExpr");
}

/// A length in milliseconds; one that depends on the query's times is shown as for a query of one
/// instant.
fn millis(length: &Length) -> i64 {
    length.resolve(QueryTimes { step_ms: 0, range_ms: 0 }).unwrap_or(0)
}

fn put_selector(object: &mut Object<'_>, selector: &Selector, range: Option<&Length>, kind: &str) {
    json::list(object.field("matchers"), &selector.matchers, put_matcher);
    object.text("name", &selector.name).plain("offset", millis(&selector.offset));
    if let Some(range) = range {
        object.plain("range", millis(range));
    }
    let (edge, time) = place(selector.at);
    object.plain("startOrEnd", edge).plain("timestamp", time).text("type", kind);
}

fn put_matcher(out: &mut Vec<u8>, matcher: &Matcher) {
    let mut object = Object::begin(out);
    object
        .text("name", matcher.name())
        .text("type", matcher.op().as_str())
        .text("value", matcher.value());
    object.end();
}

fn put_subquery(object: &mut Object<'_>, subquery: &Subquery) {
    put(object.field("expr"), &subquery.inner);
    let step = subquery.step.as_ref().map_or(0, millis);
    let (edge, time) = place(subquery.at);
    object
        .plain("offset", millis(&subquery.offset))
        .plain("range", millis(&subquery.range))
        .plain("startOrEnd", edge)
        .plain("step", step)
        .plain("timestamp", time)
        .text("type", "subquery");
}

/// `startOrEnd` and `timestamp` of a fixed time.
fn place(at: Option<At>) -> (&'static str, String) {
    match at {
        None => ("null", "null".to_owned()),
        Some(At::Start) => ("\"start\"", "null".to_owned()),
        Some(At::End) => ("\"end\"", "null".to_owned()),
        Some(At::Time(time)) => ("null", time.to_string()),
    }
}
