//! Reads the words of a query into its tree, by recursive descent.
//!
//! Written by hand because errors and annotations must name the place and use Prometheus' words,
//! and because the depth of hostile queries must be limited while they are read.

use super::check::check;
use super::counted;
use super::function::Function;
use super::lex::{Item, Keyword, Kind, lex};
use super::{
    Aggregate, AggregateOp, Binary, BinaryOp, Call, Card, Expr, HEIGHT_MAX, Matching, NODES_MAX,
    Node, Plan, QUERY_BYTES_MAX, Span, text,
};
use narthex_model::Matcher;

use crate::Error;
use crate::error::ParseError;

pub(super) fn parse(query: &str) -> Result<Plan, Error> {
    let mut parser = Parser::new(query)?;
    if parser.item().kind == Kind::End {
        let message = "no expression found in input".to_owned();
        let place = usize::from(!query.is_empty());
        return Err(Error::Parse(ParseError { line: place, column: place, message }));
    }
    let mut root = parser.expression(0)?;
    if parser.item().kind != Kind::End {
        return Err(parser.unexpected("", ""));
    }
    check(query, &root)?;
    counted::mark(&mut root);
    Ok(Plan { text: query.to_owned(), root, experimental: parser.experimental })
}

/// Reads a selector on its own, as `match[]` has it; whether it selects everything is not looked at.
pub(super) fn parse_selector(query: &str) -> Result<Vec<Matcher>, Error> {
    /// Words that begin no metric's name.
    const RESERVED: [&str; 6] = ["atan2", "bool", "group_left", "group_right", "ignoring", "on"];
    let mut parser = Parser::new(query)?;
    let start = parser.item().clone();
    let word = parser.text_of(start.span).to_ascii_lowercase();
    let is_name = word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == ':');
    let is_name = is_name && start.kind != Kind::Number && !RESERVED.contains(&word.as_str());
    if query.is_empty() {
        let message = "unexpected end of input".to_owned();
        return Err(Error::Parse(ParseError { line: 0, column: 0, message }));
    }
    if start.kind != Kind::LeftBrace && !is_name || matches!(start.kind, Kind::Error(_)) {
        return Err(parser.unexpected("", ""));
    }
    parser.lone = true;
    let node = parser.selector()?;
    if parser.item().kind != Kind::End {
        return Err(parser.unexpected("", ""));
    }
    match node.expr {
        Expr::Vector(selector) => Ok(selector.matchers),
        _ => Ok(Vec::new()),
    }
}

pub(super) struct Parser<'a> {
    text: &'a str,
    items: Vec<Item>,
    at: usize,
    nodes: usize,
    depth: u16,
    /// Terms and signs of the length that is being read.
    pub(super) length_parts: u16,
    /// Whether a selector is read that stands on its own, where a name may be set twice.
    pub(super) lone: bool,
    experimental: Option<Error>,
    end: Item,
}

/// The error `message` at `span` of `text`.
pub(super) fn error_at(text: &str, span: Span, message: impl Into<String>) -> Error {
    let (line, column) = span.line_column(text);
    Error::Parse(ParseError { line, column, message: message.into() })
}

impl<'a> Parser<'a> {
    fn new(query: &'a str) -> Result<Self, Error> {
        if query.len() > QUERY_BYTES_MAX {
            return Err(Error::Parameter(format!(
                "query of {} bytes is longer than {QUERY_BYTES_MAX}",
                query.len()
            )));
        }
        Ok(Self {
            text: query,
            items: lex(query),
            at: 0,
            nodes: 0,
            depth: 0,
            length_parts: 0,
            lone: false,
            experimental: None,
            end: Item { kind: Kind::End, span: Span { start: query.len(), end: query.len() } },
        })
    }
}

impl Parser<'_> {
    pub(super) fn item(&self) -> &Item {
        self.items.get(self.at).unwrap_or(&self.end)
    }

    /// What follows the current word.
    pub(super) fn following(&self) -> &Kind {
        &self.items.get(self.at + 1).unwrap_or(&self.end).kind
    }

    pub(super) fn advance(&mut self) {
        self.at += 1;
    }

    /// Where the last word that was taken ends.
    pub(super) fn last_end(&self) -> usize {
        self.at.checked_sub(1).and_then(|at| self.items.get(at)).map_or(0, |item| item.span.end)
    }

    pub(super) fn text_of(&self, span: Span) -> &str {
        self.text.get(span.start..span.end).unwrap_or("")
    }

    pub(super) fn error(&self, span: Span, message: impl Into<String>) -> Error {
        error_at(self.text, span, message)
    }

    /// The error that the current word is not what `context` needs.
    pub(super) fn unexpected(&self, context: &str, wanted: &str) -> Error {
        let item = self.item();
        if let Kind::Error(message) = &item.kind {
            return self.error(item.span, message.clone());
        }
        let mut message = format!("unexpected {}", describe(&item.kind, self.text_of(item.span)));
        if !context.is_empty() {
            message.push_str(" in ");
            message.push_str(context);
        }
        if !wanted.is_empty() {
            message.push_str(", expected ");
            message.push_str(wanted);
        }
        self.error(item.span, message)
    }

    /// Notes the use of something experimental.
    pub(super) fn experiment(&mut self, span: Span, message: impl FnOnce() -> String) {
        if self.experimental.is_none() {
            self.experimental = Some(self.error(span, message()));
        }
    }

    pub(super) fn descend(&mut self) -> Result<(), Error> {
        self.depth += 1;
        if self.depth > HEIGHT_MAX {
            return Err(self.too_high(self.item().span));
        }
        Ok(())
    }

    pub(super) fn ascend(&mut self) {
        self.depth -= 1;
    }

    pub(super) fn too_high(&self, span: Span) -> Error {
        self.error(span, format!("query is nested deeper than {HEIGHT_MAX}"))
    }

    pub(super) fn node(&mut self, expr: Expr, span: Span) -> Result<Node, Error> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(self.error(span, format!("query has more than {NODES_MAX} parts")));
        }
        let node = Node::new(expr, span);
        if node.height > HEIGHT_MAX {
            return Err(self.too_high(span));
        }
        Ok(node)
    }

    pub(super) fn unquote(&self, span: Span) -> Result<String, Error> {
        let literal = self.text_of(span);
        text::unquote(literal).map_err(|message| self.error(span, message))
    }

    /// Reads a number as Go does: `0x1f`, `0755`, `1_000`, `1e3`, `Inf`.
    pub(super) fn number(&self, span: Span) -> Result<f64, Error> {
        let digits = self.text_of(span).replace('_', "").to_ascii_lowercase();
        let octal = digits.len() > 1 && digits.starts_with('0');
        let value = if let Some(hex) = digits.strip_prefix("0x") {
            #[expect(clippy::cast_precision_loss, reason = "Go converts the same way")]
            i64::from_str_radix(hex, 16).ok().map(|value| value as f64)
        } else if let Some(value) = octal.then(|| i64::from_str_radix(&digits, 8).ok()).flatten() {
            #[expect(clippy::cast_precision_loss, reason = "Go converts the same way")]
            Some(value as f64)
        } else {
            digits.parse().ok()
        };
        let wrong = |what: &str| {
            let number = text::quoted(self.text_of(span));
            let message =
                format!("error parsing number: strconv.ParseFloat: parsing {number}: {what}");
            self.error(span, message)
        };
        match value {
            None => Err(wrong("invalid syntax")),
            Some(value) if value.is_infinite() && !digits.contains("inf") => {
                Err(wrong("value out of range"))
            }
            Some(value) => Ok(value),
        }
    }

    /// Reads an expression whose operators bind tighter than `floor`.
    pub(super) fn expression(&mut self, floor: u8) -> Result<Node, Error> {
        self.descend()?;
        let mut left = self.unary()?;
        while let Kind::Operator(op) = self.item().kind {
            if op.binds() <= floor {
                break;
            }
            self.advance();
            let (returns_bool, matching) = self.modifiers()?;
            // The power alone groups to the right.
            let right = self.expression(op.binds() - u8::from(op == BinaryOp::Power))?;
            let span = left.span.to(right.span);
            let binary = Binary { op, left, right, returns_bool, matching };
            left = self.node(Expr::Binary(Box::new(binary)), span)?;
        }
        self.ascend();
        Ok(left)
    }

    fn unary(&mut self) -> Result<Node, Error> {
        let item = self.item().clone();
        let Kind::Operator(op @ (BinaryOp::Add | BinaryOp::Subtract)) = item.kind else {
            let node = self.primary()?;
            return self.postfix(node);
        };
        self.advance();
        // A sign binds like a multiplication: -2^2 is -(2^2).
        let mut inner = self.expression(BinaryOp::Multiply.binds())?;
        let span = item.span.to(inner.span);
        if let Expr::Number(value) = &mut inner.expr {
            if op == BinaryOp::Subtract {
                *value = -*value;
            }
            inner.span = span;
            return Ok(inner);
        }
        self.node(Expr::Unary(op == BinaryOp::Subtract, Box::new(inner)), span)
    }

    fn primary(&mut self) -> Result<Node, Error> {
        let item = self.item().clone();
        match item.kind {
            Kind::Number | Kind::Duration => {
                self.advance();
                let value = self.seconds(&item.kind, item.span)?;
                self.node(Expr::Number(value), item.span)
            }
            Kind::String => {
                let value = self.unquote(item.span)?;
                self.advance();
                self.node(Expr::String(value), item.span)
            }
            Kind::LeftParen => {
                self.advance();
                let inner = self.expression(0)?;
                if self.item().kind != Kind::RightParen {
                    return Err(self.unexpected("", ""));
                }
                let span = item.span.to(self.item().span);
                self.advance();
                self.node(Expr::Paren(Box::new(inner)), span)
            }
            Kind::Aggregator(op) if !self.is_metric(op) => self.aggregate(op),
            Kind::Identifier | Kind::Keyword(Keyword::Start | Keyword::End)
                if *self.following() == Kind::LeftParen =>
            {
                self.call()
            }
            Kind::Identifier
            | Kind::MetricIdentifier
            | Kind::LeftBrace
            | Kind::Aggregator(_)
            | Kind::Operator(BinaryOp::And | BinaryOp::Or | BinaryOp::Unless)
            | Kind::Keyword(
                Keyword::By
                | Keyword::Offset
                | Keyword::Without
                | Keyword::Start
                | Keyword::End
                | Keyword::Anchored
                | Keyword::Smoothed,
            ) => self.selector(),
            _ => Err(self.unexpected("", "")),
        }
    }

    fn call(&mut self) -> Result<Node, Error> {
        let name = self.item().span;
        self.advance();
        let (args, end) = self.arguments()?;
        let Some(function) = Function::find(self.text_of(name)) else {
            let message =
                format!("unknown function with name {}", text::quoted(self.text_of(name)));
            return Err(self.error(name, message));
        };
        if function.experimental {
            let message = || format!("function {} is not enabled", text::quoted(function.name));
            self.experiment(name, message);
        }
        self.node(Expr::Call(Box::new(Call { function, args })), name.to(end))
    }

    /// Reads `( a, b )`; gives the place of the closing one.
    fn arguments(&mut self) -> Result<(Vec<Node>, Span), Error> {
        self.advance();
        let mut args = Vec::new();
        if self.item().kind == Kind::RightParen {
            let end = self.item().span;
            self.advance();
            return Ok((args, end));
        }
        loop {
            args.push(self.expression(0)?);
            let item = self.item().clone();
            match item.kind {
                Kind::Comma if matches!(self.following(), Kind::RightParen | Kind::Comma) => {
                    let message = "trailing commas not allowed in function call args";
                    return Err(self.error(item.span, message));
                }
                Kind::Comma => self.advance(),
                Kind::RightParen => {
                    self.advance();
                    return Ok((args, item.span));
                }
                _ => return Err(self.unexpected("", "")),
            }
        }
    }

    fn aggregate(&mut self, op: AggregateOp) -> Result<Node, Error> {
        let start = self.item().span;
        self.advance();
        let mut labels = Vec::new();
        let mut without = None;
        self.grouping(&mut labels, &mut without)?;
        if self.item().kind != Kind::LeftParen {
            return Err(self.unexpected("", ""));
        }
        let (mut args, mut end) = self.arguments()?;
        if without.is_none() && self.grouping(&mut labels, &mut without)? {
            end.end = self.last_end();
        }
        let span = start.to(end);
        if op.is_experimental() {
            let name = self.text_of(start).to_owned();
            self.experiment(start, || {
                format!(
                    "{name}() is experimental and must be enabled with \
                     --enable-feature=promql-experimental-functions"
                )
            });
        }
        let wanted = 1 + usize::from(op.param_type().is_some());
        let given = args.len();
        let (Some(inner), true) = (args.pop(), given == wanted) else {
            return Err(self.error(
                span,
                if given == 0 {
                    "no arguments for aggregate expression provided".to_owned()
                } else {
                    format!(
                        "wrong number of arguments for aggregate expression provided, expected \
                     {wanted}, got {given}"
                    )
                },
            ));
        };
        let param = args.pop();
        let without = without.unwrap_or(false);
        let aggregate = Aggregate { op, inner, param, labels, without };
        self.node(Expr::Aggregate(Box::new(aggregate)), span)
    }

    /// Reads `by (...)` or `without (...)`, if it is there.
    fn grouping(
        &mut self,
        labels: &mut Vec<String>,
        without: &mut Option<bool>,
    ) -> Result<bool, Error> {
        match self.item().kind {
            Kind::Keyword(Keyword::By) => *without = Some(false),
            Kind::Keyword(Keyword::Without) => *without = Some(true),
            _ => return Ok(false),
        }
        self.advance();
        *labels = self.label_list()?;
        Ok(true)
    }

    /// Reads `(a, b, "c.d")`.
    fn label_list(&mut self) -> Result<Vec<String>, Error> {
        if self.item().kind != Kind::LeftParen {
            return Err(self.unexpected("grouping opts", "\"(\""));
        }
        self.advance();
        let mut labels = Vec::new();
        loop {
            let item = self.item().clone();
            let label = match item.kind {
                Kind::RightParen => {
                    self.advance();
                    return Ok(labels);
                }
                Kind::String => {
                    let label = self.unquote(item.span)?;
                    if label.is_empty() || !text::is_utf8(&label) {
                        let message =
                            format!("invalid label name for grouping: {}", text::quoted(&label));
                        return Err(self.error(item.span, message));
                    }
                    label
                }
                Kind::Identifier
                | Kind::MetricIdentifier
                | Kind::Aggregator(_)
                | Kind::Keyword(_)
                | Kind::Operator(
                    BinaryOp::And | BinaryOp::Or | BinaryOp::Unless | BinaryOp::Atan2,
                ) => self.text_of(item.span).to_owned(),
                _ => return Err(self.unexpected("grouping opts", "label")),
            };
            labels.push(label);
            self.advance();
            match self.item().kind {
                Kind::Comma => self.advance(),
                Kind::RightParen => {}
                _ => return Err(self.unexpected("grouping opts", "\",\" or \")\"")),
            }
        }
    }

    /// Reads what may follow a binary operator: `bool`, `on (...)`, `group_left (...)`, `fill(0)`.
    fn modifiers(&mut self) -> Result<(bool, Matching), Error> {
        let mut matching = Matching::default();
        let returns_bool = self.item().kind == Kind::Keyword(Keyword::Bool);
        if returns_bool {
            self.advance();
        }
        if let Kind::Keyword(keyword @ (Keyword::On | Keyword::Ignoring)) = self.item().kind {
            self.advance();
            matching.on = keyword == Keyword::On;
            matching.labels = self.label_list()?;
            if let Kind::Keyword(side @ (Keyword::GroupLeft | Keyword::GroupRight)) =
                self.item().kind
            {
                self.advance();
                matching.card =
                    if side == Keyword::GroupLeft { Card::ManyToOne } else { Card::OneToMany };
                match self.item().kind {
                    Kind::LeftParen => matching.include = self.label_list()?,
                    Kind::End => return Err(self.unexpected("grouping opts", "\"(\"")),
                    _ => {}
                }
            }
        }
        while let Kind::Keyword(
            keyword @ (Keyword::Fill | Keyword::FillLeft | Keyword::FillRight),
        ) = self.item().kind
        {
            let span = self.item().span;
            self.experiment(span, || {
                "binop fill modifiers are experimental and not enabled".to_owned()
            });
            let value = self.fill_value()?;
            if keyword != Keyword::FillRight {
                matching.fill_left = Some(value);
            }
            if keyword != Keyword::FillLeft {
                matching.fill_right = Some(value);
            }
        }
        Ok((returns_bool, matching))
    }

    fn fill_value(&mut self) -> Result<f64, Error> {
        self.advance();
        let open = self.item().span;
        let (args, close) = self.arguments()?;
        match args.as_slice() {
            [Node { expr: Expr::Number(value), .. }] => Ok(*value),
            _ => Err(self.error(open.to(close), "fill modifier needs one number")),
        }
    }
}

/// A word as error texts name it.
fn describe(kind: &Kind, text: &str) -> String {
    let cut = |text: &str| {
        if text.len() > 10 {
            let short: String = text.chars().take(10).collect();
            format!("{}...", text::quoted(&short))
        } else {
            text::quoted(text)
        }
    };
    match kind {
        Kind::End => "end of input".to_owned(),
        Kind::Identifier => format!("identifier {}", text::quoted(text)),
        Kind::MetricIdentifier => format!("metric identifier {}", text::quoted(text)),
        Kind::String => format!("string {}", cut(text)),
        Kind::Number => format!("number {}", cut(text)),
        Kind::Duration => format!("duration {}", cut(text)),
        Kind::Operator(_) => format!("<op:{text}>"),
        Kind::Aggregator(_) => format!("<aggr:{text}>"),
        Kind::Keyword(_) => format!("<{text}>"),
        _ => text::quoted(text),
    }
}
