//! Reads selectors: names, matchers, ranges, `offset`, `@`, `anchored`, `smoothed`.

use narthex_model::time::parse_duration;
use narthex_model::{METRIC_NAME, MatchOp, Matcher, Timestamp};

use super::duration::Arithmetic;
use super::lex::{Keyword, Kind};
use super::parse::Parser;
use super::{
    AggregateOp, At, BinaryOp, Edge, Expr, Func, HEIGHT_MAX, Length, Matrix, Node, Selector, Span,
    Subquery, text,
};
use crate::Error;

/// From here on a number fits in no integer.
const TIME_MAX: f64 = 9_223_372_036_854_775_808.0;

impl Parser<'_> {
    /// Reads a selector; the parser stands at a name or at `{`.
    pub(super) fn selector(&mut self) -> Result<Node, Error> {
        let start = self.item().span;
        let mut end = start;
        let mut name = String::new();
        let mut matchers = Vec::new();
        if self.item().kind != Kind::LeftBrace {
            self.text_of(start).clone_into(&mut name);
            self.advance();
        }
        if self.item().kind == Kind::LeftBrace {
            self.advance();
            let outer_name = if self.lone { "" } else { name.as_str() };
            end = self.matchers(&mut matchers, outer_name, start)?;
        }
        if !name.is_empty() {
            matchers.push(Matcher::equal(METRIC_NAME, &name));
        } else if let Some(named) =
            matchers.iter().find(|m| m.name() == METRIC_NAME && m.op() == MatchOp::Equal)
        {
            named.value().clone_into(&mut name);
        }
        let selector = Selector {
            name,
            matchers,
            at: None,
            offset: Length::Fixed(0),
            edge: Edge::Plain,
            counts_only: false,
        };
        self.node(Expr::Vector(selector), start.to(end))
    }

    /// Reads matchers up to and with `}`; gives its place.
    fn matchers(
        &mut self,
        out: &mut Vec<Matcher>,
        outer_name: &str,
        start: Span,
    ) -> Result<Span, Error> {
        loop {
            let item = self.item().clone();
            match item.kind {
                Kind::RightBrace => {
                    self.advance();
                    return Ok(item.span);
                }
                Kind::Identifier | Kind::String => self.matcher(out, outer_name, start)?,
                _ => {
                    return Err(self.unexpected("label matching", "identifier or \"}\""));
                }
            }
            match self.item().kind {
                Kind::Comma => self.advance(),
                Kind::RightBrace => {}
                _ => return Err(self.unexpected("label matching", "\",\" or \"}\"")),
            }
        }
    }

    /// Reads `name op "value"`, or a quoted metric name on its own.
    fn matcher(
        &mut self,
        out: &mut Vec<Matcher>,
        outer_name: &str,
        start: Span,
    ) -> Result<(), Error> {
        let item = self.item().clone();
        let quoted = item.kind == Kind::String;
        let name =
            if quoted { self.unquote(item.span)? } else { self.text_of(item.span).to_owned() };
        self.advance();
        let op = match self.item().kind {
            Kind::Assign => MatchOp::Equal,
            Kind::Operator(BinaryOp::NotEqual) => MatchOp::NotEqual,
            Kind::RegexMatch => MatchOp::Regex,
            Kind::RegexNoMatch => MatchOp::NotRegex,
            Kind::Comma | Kind::RightBrace if quoted => {
                let first = outer_name;
                if !first.is_empty() {
                    let message = format!(
                        "metric name must not be set twice: {} or {}",
                        text::quoted(first),
                        text::quoted(&name)
                    );
                    return Err(self.error(start, message));
                }
                out.push(Matcher::equal(METRIC_NAME, &name));
                return Ok(());
            }
            _ => return Err(self.unexpected("label matching", "label matching operator")),
        };
        self.advance();
        let value = self.item().clone();
        if value.kind != Kind::String {
            return Err(self.unexpected("label matching", "string"));
        }
        let value_text = self.unquote(value.span)?;
        self.advance();
        let matcher = Matcher::new(op, &name, &value_text).map_err(|error| {
            // The text of the selector, not what it is compiled to.
            let whole = format!("`^(?s:{value_text})$`");
            let message = error.to_string().replace(&whole, &format!("`{value_text}`"));
            self.error(item.span.to(value.span), message)
        })?;
        if !outer_name.is_empty() && name == METRIC_NAME {
            let message = format!(
                "metric name must not be set twice: {} or {}",
                text::quoted(outer_name),
                text::quoted(&value_text)
            );
            return Err(self.error(start, message));
        }
        out.push(matcher);
        Ok(())
    }

    /// Reads what may follow any expression: `[...]`, `offset`, `@`, `anchored`, `smoothed`.
    pub(super) fn postfix(&mut self, mut node: Node) -> Result<Node, Error> {
        loop {
            node = match self.item().kind {
                Kind::LeftBracket => self.brackets(node)?,
                Kind::Keyword(Keyword::Offset) => self.offset(node)?,
                Kind::At => self.at(node)?,
                Kind::Keyword(Keyword::Anchored) => self.edge(node, Edge::Anchored)?,
                Kind::Keyword(Keyword::Smoothed) => self.edge(node, Edge::Smoothed)?,
                _ => return Ok(node),
            };
        }
    }

    fn brackets(&mut self, node: Node) -> Result<Node, Error> {
        let open = self.item().span;
        self.advance();
        if !self.at_length() {
            return Err(self.unexpected("subquery selector", "number or duration"));
        }
        let range = self.positive_length()?;
        match self.item().kind {
            Kind::RightBracket => self.matrix(node, open, range),
            Kind::Colon => self.subquery(node, range),
            _ => Err(self.unexpected("subquery or range selector", "\":\" or \"]\"")),
        }
    }

    fn matrix(&mut self, node: Node, open: Span, range: Length) -> Result<Node, Error> {
        let close = self.item().span;
        self.advance();
        let Node { expr: Expr::Vector(selector), span, .. } = node else {
            let message = "ranges only allowed for vector selectors";
            return Err(self.error(open.to(close), message));
        };
        if selector.offset != Length::Fixed(0) {
            return Err(self.error(open.to(close), "no offset modifiers allowed before range"));
        }
        if selector.at.is_some() {
            return Err(self.error(open.to(close), "no @ modifiers allowed before range"));
        }
        let matrix = Matrix { selector, span, range };
        self.node(Expr::Matrix(Box::new(matrix)), span.to(close))
    }

    fn subquery(&mut self, node: Node, range: Length) -> Result<Node, Error> {
        self.advance();
        let step = match self.item().kind {
            Kind::RightBracket => None,
            _ if self.at_length() => Some(self.positive_length()?),
            _ => {
                let wanted = "number, duration, or \"]\"";
                return Err(self.unexpected("subquery selector", wanted));
            }
        };
        let close = self.item().span;
        if self.item().kind != Kind::RightBracket {
            return Err(self.unexpected("subquery selector", "\"]\""));
        }
        self.advance();
        let span = node.span.to(close);
        let subquery = Subquery { inner: node, range, step, at: None, offset: Length::Fixed(0) };
        self.node(Expr::Subquery(Box::new(subquery)), span)
    }

    /// Whether a length can begin here.
    fn at_length(&self) -> bool {
        match self.item().kind {
            Kind::Number
            | Kind::Duration
            | Kind::LeftParen
            | Kind::Operator(BinaryOp::Add | BinaryOp::Subtract) => true,
            Kind::Identifier => self.length_function().is_some(),
            _ => false,
        }
    }

    fn length_function(&self) -> Option<Func> {
        let word = self.text_of(self.item().span).to_ascii_lowercase();
        match word.as_str() {
            "step" => Some(Func::Step),
            "range" => Some(Func::Range),
            "min_of" => Some(Func::MinOf),
            "max_of" => Some(Func::MaxOf),
            _ => None,
        }
    }

    fn positive_length(&mut self) -> Result<Length, Error> {
        let start = self.item().span;
        self.length_parts = 0;
        let arithmetic = self.arithmetic(0)?;
        let place = Span { start: start.start, end: self.last_end() };
        Length::new(arithmetic, true, place).map_err(|message| self.error(start, message))
    }

    /// Reads arithmetic on lengths whose operators bind tighter than `floor`.
    fn arithmetic(&mut self, floor: u8) -> Result<Arithmetic, Error> {
        self.descend()?;
        let mut left = self.length_term(BinaryOp::Multiply.binds())?;
        while let Kind::Operator(op) = self.item().kind {
            let sign = match op {
                BinaryOp::Add => '+',
                BinaryOp::Subtract => '-',
                BinaryOp::Multiply => '*',
                BinaryOp::Divide => '/',
                BinaryOp::Modulo => '%',
                BinaryOp::Power => '^',
                _ => break,
            };
            if op.binds() <= floor {
                break;
            }
            self.advance();
            let right = self.arithmetic(op.binds() - u8::from(op == BinaryOp::Power))?;
            left = Arithmetic::Binary(sign, Box::new(left), Box::new(right));
        }
        self.ascend();
        Ok(left)
    }

    /// Reads one length; a sign before it covers what binds tighter than `sign_floor`.
    fn length_term(&mut self, sign_floor: u8) -> Result<Arithmetic, Error> {
        let item = self.item().clone();
        // What is that long may be that high, and is walked by recursion.
        self.length_parts += 1;
        if self.length_parts > HEIGHT_MAX {
            return Err(self.too_high(item.span));
        }
        match item.kind {
            Kind::Number | Kind::Duration => {
                self.advance();
                self.seconds(&item.kind, item.span).map(Arithmetic::Seconds)
            }
            Kind::Operator(op @ (BinaryOp::Add | BinaryOp::Subtract)) => {
                self.advance();
                let inner = if sign_floor == u8::MAX {
                    self.length_term(sign_floor)?
                } else {
                    self.arithmetic(sign_floor)?
                };
                Ok(match op {
                    BinaryOp::Subtract => Arithmetic::Negate(Box::new(inner)),
                    _ => inner,
                })
            }
            Kind::LeftParen => {
                self.advance();
                let inner = self.arithmetic(0)?;
                self.expect(&Kind::RightParen, "duration expression", "\")\"")?;
                Ok(inner)
            }
            Kind::Identifier => self.length_call(),
            _ => Err(self.unexpected("duration expression", "number, duration, or step()")),
        }
    }

    fn length_call(&mut self) -> Result<Arithmetic, Error> {
        let Some(func) = self.length_function() else {
            return Err(self.unexpected("duration expression", "number, duration, or step()"));
        };
        self.advance();
        self.expect(&Kind::LeftParen, "duration expression", "\"(\"")?;
        let value = match func {
            Func::Step => Arithmetic::Step,
            Func::Range => Arithmetic::Range,
            _ => {
                let first = Box::new(self.arithmetic(0)?);
                self.expect(&Kind::Comma, "duration expression", "\",\"")?;
                let second = Box::new(self.arithmetic(0)?);
                match func {
                    Func::MinOf => Arithmetic::Min(first, second),
                    _ => Arithmetic::Max(first, second),
                }
            }
        };
        self.expect(&Kind::RightParen, "duration expression", "\")\"")?;
        Ok(value)
    }

    fn offset(&mut self, mut node: Node) -> Result<Node, Error> {
        self.advance();
        if !self.at_length() {
            return Err(self.unexpected("offset", "number or duration"));
        }
        let start = self.item().span;
        self.length_parts = 0;
        // Arithmetic goes on behind parentheses only.
        let arithmetic = if self.item().kind == Kind::LeftParen {
            self.arithmetic(0)?
        } else {
            self.length_term(u8::MAX)?
        };
        let place = Span { start: start.start, end: self.last_end() };
        let length =
            Length::new(arithmetic, false, place).map_err(|message| self.error(start, message))?;
        let span = node.span;
        let Some((_, offset)) = time_of(&mut node.expr) else {
            let message = "offset modifier must be preceded by an instant vector selector or \
                           range vector selector or a subquery";
            return Err(self.error(span, message));
        };
        if *offset != Length::Fixed(0) {
            return Err(self.error(span, "offset may not be set multiple times"));
        }
        *offset = length;
        node.span.end = self.last_end();
        Ok(node)
    }

    fn at(&mut self, mut node: Node) -> Result<Node, Error> {
        self.advance();
        let span = node.span;
        let value = self.at_value(span)?;
        let Some((at, _)) = time_of(&mut node.expr) else {
            let message = "@ modifier must be preceded by an instant vector selector or range \
                           vector selector or a subquery";
            return Err(self.error(span, message));
        };
        if at.is_some() {
            return Err(self.error(span, "@ <timestamp> may not be set multiple times"));
        }
        *at = Some(value);
        node.span.end = self.last_end();
        node.invariant = true;
        Ok(node)
    }

    fn at_value(&mut self, span: Span) -> Result<At, Error> {
        let item = self.item().clone();
        let negative = match item.kind {
            Kind::Keyword(keyword @ (Keyword::Start | Keyword::End)) => {
                self.advance();
                self.expect(&Kind::LeftParen, "@", "timestamp")?;
                self.expect(&Kind::RightParen, "@", "timestamp")?;
                return Ok(if keyword == Keyword::Start { At::Start } else { At::End });
            }
            Kind::Operator(op @ (BinaryOp::Add | BinaryOp::Subtract)) => {
                self.advance();
                op == BinaryOp::Subtract
            }
            _ => false,
        };
        let number = self.item().clone();
        if !matches!(number.kind, Kind::Number | Kind::Duration) {
            return Err(self.unexpected("@", "timestamp"));
        }
        self.advance();
        let seconds = self.seconds(&number.kind, number.span)?;
        let seconds = if negative { -seconds } else { seconds };
        // A time that fits as seconds but not as milliseconds is the least one, as Go converts it.
        if seconds.is_nan() || seconds.abs() >= TIME_MAX {
            let shown = if seconds.is_finite() {
                format!("{seconds:.6}")
            } else {
                narthex_model::number::GoFloat(seconds).to_string()
            };
            let message = format!("timestamp out of bounds for @ modifier: {shown}");
            return Err(self.error(span, message));
        }
        let ms = (seconds * 1000.0).round();
        #[expect(clippy::cast_possible_truncation, reason = "within the range")]
        let ms = if ms.abs() < TIME_MAX { ms as i64 } else { i64::MIN };
        Ok(At::Time(Timestamp(ms)))
    }

    fn edge(&mut self, mut node: Node, edge: Edge) -> Result<Node, Error> {
        let item = self.item().clone();
        self.advance();
        let word = if edge == Edge::Anchored { "anchored" } else { "smoothed" };
        let slot = match &mut node.expr {
            Expr::Vector(selector) => &mut selector.edge,
            Expr::Matrix(matrix) => &mut matrix.selector.edge,
            Expr::Subquery(_) => {
                let message = format!("{word} modifier is not supported for subqueries");
                return Err(self.error(node.span, message));
            }
            _ => {
                let message = format!("{word} modifier not implemented");
                return Err(self.error(node.span, message));
            }
        };
        if *slot != Edge::Plain && *slot != edge {
            let message = "anchored and smoothed modifiers cannot be used together";
            return Err(self.error(node.span, message));
        }
        *slot = edge;
        node.span.end = self.last_end();
        self.experiment(item.span, || {
            format!(
                "{word} modifier is experimental and must be enabled with \
                 --enable-feature=promql-experimental-functions"
            )
        });
        Ok(node)
    }

    /// The seconds that a number or duration means.
    pub(super) fn seconds(&self, kind: &Kind, span: Span) -> Result<f64, Error> {
        let text = self.text_of(span);
        if *kind == Kind::Duration {
            let duration =
                parse_duration(text).map_err(|error| self.error(span, error.to_string()))?;
            return Ok(duration.as_secs_f64());
        }
        self.number(span)
    }

    fn expect(&mut self, kind: &Kind, context: &str, wanted: &str) -> Result<(), Error> {
        if self.item().kind != *kind {
            return Err(self.unexpected(context, wanted));
        }
        self.advance();
        Ok(())
    }

    /// Whether the aggregator here is one, and not a metric of that name.
    pub(super) fn is_metric(&self, _: AggregateOp) -> bool {
        match self.following() {
            Kind::End
            | Kind::LeftBrace
            | Kind::LeftBracket
            | Kind::RightParen
            | Kind::Comma
            | Kind::At
            | Kind::Operator(_) => true,
            Kind::Keyword(keyword) => {
                matches!(keyword, Keyword::Offset | Keyword::Anchored | Keyword::Smoothed)
            }
            _ => false,
        }
    }
}

/// The time and offset of an expression that can have them.
fn time_of(expr: &mut Expr) -> Option<(&mut Option<At>, &mut Length)> {
    match expr {
        Expr::Vector(selector) => Some((&mut selector.at, &mut selector.offset)),
        Expr::Matrix(matrix) => Some((&mut matrix.selector.at, &mut matrix.selector.offset)),
        Expr::Subquery(subquery) => Some((&mut subquery.at, &mut subquery.offset)),
        _ => None,
    }
}
