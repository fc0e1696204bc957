//! The typed tree of a query.

use narthex_model::{Matcher, Timestamp};

use crate::Error;

mod check;
mod counted;
pub mod duration;
pub mod function;
mod lex;
mod parse;
mod selector;
mod text;

pub use duration::Length;
pub use function::{Func, Function};
pub(crate) use text::{is_utf8, quoted};

/// Longest query, in bytes.
pub const QUERY_BYTES_MAX: usize = 64 << 10;

/// Most nodes of one query.
pub const NODES_MAX: usize = 10_000;

/// Greatest height of a query's tree, and deepest nesting of its text.
pub const HEIGHT_MAX: u16 = 200;

/// A query that was read and type-checked.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(crate) text: String,
    pub(crate) root: Node,
    /// The first use of something experimental.
    pub(crate) experimental: Option<Error>,
}

impl Plan {
    /// The query's text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The root of the tree.
    pub fn root(&self) -> &Node {
        &self.root
    }

    /// The type of the query's value.
    pub fn value_type(&self) -> ValueType {
        self.root.value_type()
    }

    /// The error that the query is when experimental functions are off.
    pub fn experimental(&self) -> Option<&Error> {
        self.experimental.as_ref()
    }

    /// The selectors of the query: for the access log, and to know which series it would read.
    pub fn selectors(&self) -> Vec<&Selector> {
        let mut found = Vec::new();
        let mut open = vec![&self.root];
        while let Some(node) = open.pop() {
            match &node.expr {
                Expr::Vector(selector) => found.push(selector),
                Expr::Matrix(matrix) => found.push(&matrix.selector),
                _ => open.extend(node.children()),
            }
        }
        found
    }
}

/// Reads a query.
///
/// # Errors
/// [`Error::Parse`] with Prometheus' text if it is not a query or its types do not fit, or if it
/// is longer than [`QUERY_BYTES_MAX`], has more than [`NODES_MAX`] nodes or is higher than
/// [`HEIGHT_MAX`].
pub fn parse(query: &str) -> Result<Plan, Error> {
    parse::parse(query)
}

/// Reads a selector on its own, as `match[]` has it. One that selects everything is none the less
/// one.
///
/// # Errors
/// [`Error::Parse`] with Prometheus' text if it is not a selector, or if it is longer than
/// [`QUERY_BYTES_MAX`].
pub fn parse_selector(query: &str) -> Result<Vec<Matcher>, Error> {
    parse::parse_selector(query)
}

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// A number per step.
    Scalar,
    /// A text.
    String,
    /// A sample per series and step.
    Vector,
    /// A range of samples per series and step.
    Matrix,
}

impl ValueType {
    /// The name that the API uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::String => "string",
            Self::Vector => "vector",
            Self::Matrix => "matrix",
        }
    }

    /// The name that error texts use.
    pub fn documented(self) -> &'static str {
        match self {
            Self::Vector => "instant vector",
            Self::Matrix => "range vector",
            other => other.as_str(),
        }
    }
}

/// A place in the query's text, in bytes; `end` is behind the last byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// Behind the last byte.
    pub end: usize,
}

impl Span {
    pub(crate) fn to(self, end: Self) -> Self {
        Self { start: self.start, end: end.end }
    }

    /// Line and column in bytes, both from 1, of the first byte within `text`.
    pub fn line_column(self, text: &str) -> (usize, usize) {
        let before = text.get(..self.start).unwrap_or(text);
        let line = 1 + before.bytes().filter(|&byte| byte == b'\n').count();
        let column = before.len() - before.rfind('\n').map_or(0, |at| at + 1) + 1;
        (line, column)
    }
}

/// An expression and where it stands.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it is.
    pub expr: Expr,
    /// Where it stands.
    pub span: Span,
    /// Whether its value is the same at every step.
    pub invariant: bool,
    pub(crate) height: u16,
}

impl Node {
    pub(crate) fn new(expr: Expr, span: Span) -> Self {
        let mut node = Self { expr, span, invariant: false, height: 0 };
        node.height = 1 + node.children().map(|child| child.height).max().unwrap_or(0);
        node.invariant = node.is_invariant();
        node
    }

    fn is_invariant(&self) -> bool {
        match &self.expr {
            Expr::Vector(selector) => selector.at.is_some(),
            Expr::Matrix(matrix) => matrix.selector.at.is_some(),
            Expr::Subquery(subquery) => subquery.at.is_some(),
            Expr::Call(call) => {
                !call.function.func.depends_on_time() && call.args.iter().all(|arg| arg.invariant)
            }
            // What the parameter is does not count.
            Expr::Aggregate(aggregate) => aggregate.inner.invariant,
            _ => self.children().all(|child| child.invariant),
        }
    }

    /// The nodes below, in the order of the text.
    pub fn children(&self) -> impl Iterator<Item = &Self> {
        let (first, second, rest): (Option<&Self>, Option<&Self>, &[Self]) = match &self.expr {
            Expr::Number(_) | Expr::String(_) | Expr::Vector(_) | Expr::Matrix(_) => {
                (None, None, &[])
            }
            Expr::Subquery(subquery) => (Some(&subquery.inner), None, &[]),
            Expr::Paren(inner) | Expr::Unary(_, inner) => (Some(inner), None, &[]),
            Expr::Binary(binary) => (Some(&binary.left), Some(&binary.right), &[]),
            Expr::Aggregate(aggregate) => (aggregate.param.as_ref(), Some(&aggregate.inner), &[]),
            Expr::Call(call) => (None, None, &call.args),
        };
        first.into_iter().chain(second).chain(rest)
    }

    /// The node without the parentheses around it.
    pub fn bare(&self) -> &Self {
        let mut node = self;
        while let Expr::Paren(inner) = &node.expr {
            node = inner;
        }
        node
    }

    /// The type of the value.
    pub fn value_type(&self) -> ValueType {
        match &self.expr {
            Expr::Number(_) => ValueType::Scalar,
            Expr::String(_) => ValueType::String,
            Expr::Vector(_) | Expr::Aggregate(_) => ValueType::Vector,
            Expr::Matrix(_) | Expr::Subquery(_) => ValueType::Matrix,
            Expr::Paren(inner) | Expr::Unary(_, inner) => inner.value_type(),
            Expr::Binary(binary) => {
                let scalar = |node: &Self| node.value_type() == ValueType::Scalar;
                if scalar(&binary.left) && scalar(&binary.right) {
                    ValueType::Scalar
                } else {
                    ValueType::Vector
                }
            }
            Expr::Call(call) => call.function.returns,
        }
    }
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum Expr {
    /// A number.
    Number(f64),
    /// A text.
    String(String),
    /// An instant selector: `up{job="a"} offset 5m`.
    Vector(Selector),
    /// A range selector: `up[5m]`.
    Matrix(Box<Matrix>),
    /// A subquery: `rate(up[5m])[1h:1m]`.
    Subquery(Box<Subquery>),
    /// A node in parentheses.
    Paren(Box<Node>),
    /// `-x`, or `+x` where the flag is not set.
    Unary(bool, Box<Node>),
    /// `a + b`.
    Binary(Box<Binary>),
    /// `sum by (job) (x)`.
    Aggregate(Box<Aggregate>),
    /// `rate(x[5m])`.
    Call(Box<Call>),
}

/// What an instant selector selects.
#[derive(Clone, Debug)]
pub struct Selector {
    /// The metric's name, if the selector gives one; it is among the matchers too.
    pub name: String,
    /// The conditions.
    pub matchers: Vec<Matcher>,
    /// The time, if it is fixed.
    pub at: Option<At>,
    /// How far back, positive into the past.
    pub offset: Length,
    /// How samples at the borders are found.
    pub edge: Edge,
    /// Whether 3.5 reads no buckets of histograms that are selected.
    pub counts_only: bool,
}

/// How samples at the borders of a window are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Edge {
    /// Only samples within count; rates extrapolate.
    #[default]
    Plain,
    /// The last sample before the window stands at its start.
    Anchored,
    /// Values at both borders are interpolated.
    Smoothed,
}

/// A fixed time of evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// A time.
    Time(Timestamp),
    /// The start of the query.
    Start,
    /// The end of the query.
    End,
}

/// A range selector.
#[derive(Clone, Debug)]
pub struct Matrix {
    /// What is selected.
    pub selector: Selector,
    /// Where the selector stands.
    pub span: Span,
    /// The length of the window.
    pub range: Length,
}

/// A subquery.
#[derive(Clone, Debug)]
pub struct Subquery {
    /// What is computed at each of its steps.
    pub inner: Node,
    /// The length of the window.
    pub range: Length,
    /// The step, if it is given.
    pub step: Option<Length>,
    /// The time, if it is fixed.
    pub at: Option<At>,
    /// How far back, positive into the past.
    pub offset: Length,
}

/// A binary operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum BinaryOp {
    Or,
    And,
    Unless,
    Equal,
    NotEqual,
    LessEqual,
    Less,
    GreaterEqual,
    Greater,
    TrimBelow,
    TrimAbove,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Atan2,
    Power,
}

impl BinaryOp {
    /// The operator's text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Or => "or",
            Self::And => "and",
            Self::Unless => "unless",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::LessEqual => "<=",
            Self::Less => "<",
            Self::GreaterEqual => ">=",
            Self::Greater => ">",
            Self::TrimBelow => "</",
            Self::TrimAbove => ">/",
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
            Self::Atan2 => "atan2",
            Self::Power => "^",
        }
    }

    /// Whether it compares.
    pub fn is_comparison(self) -> bool {
        matches!(
            self,
            Self::Equal
                | Self::NotEqual
                | Self::LessEqual
                | Self::Less
                | Self::GreaterEqual
                | Self::Greater
        )
    }

    /// Whether it cuts histograms.
    pub fn is_trim(self) -> bool {
        matches!(self, Self::TrimBelow | Self::TrimAbove)
    }

    /// Whether it combines sets.
    pub fn is_set(self) -> bool {
        matches!(self, Self::Or | Self::And | Self::Unless)
    }

    /// How tightly it binds: more is tighter.
    pub(crate) fn binds(self) -> u8 {
        match self {
            Self::Or => 1,
            Self::And | Self::Unless => 2,
            op if op.is_comparison() || op.is_trim() => 3,
            Self::Add | Self::Subtract => 4,
            Self::Power => 6,
            _ => 5,
        }
    }
}

/// A binary operation.
#[derive(Clone, Debug)]
pub struct Binary {
    /// The operator.
    pub op: BinaryOp,
    /// Left of it.
    pub left: Node,
    /// Right of it.
    pub right: Node,
    /// Whether a comparison gives 0 or 1 instead of filtering.
    pub returns_bool: bool,
    /// How vectors are matched.
    pub matching: Matching,
}

/// How the elements of two vectors find each other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matching {
    /// Whether `labels` are those that must agree (`on`), not those that need not (`ignoring`).
    pub on: bool,
    /// The labels of `on` or `ignoring`.
    pub labels: Vec<String>,
    /// Whether one side may have several elements for one of the other.
    pub card: Card,
    /// Labels that the many side takes from the one side.
    pub include: Vec<String>,
    /// Value for an element that the left side has not.
    pub fill_left: Option<f64>,
    /// Value for an element that the right side has not.
    pub fill_right: Option<f64>,
}

/// Which side may have several elements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Card {
    /// Neither.
    #[default]
    OneToOne,
    /// The left: `group_left`.
    ManyToOne,
    /// The right: `group_right`.
    OneToMany,
}

/// An aggregation operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum AggregateOp {
    Sum,
    Avg,
    Count,
    Min,
    Max,
    Group,
    Stddev,
    Stdvar,
    Topk,
    Bottomk,
    CountValues,
    Quantile,
    Limitk,
    LimitRatio,
}

impl AggregateOp {
    pub(crate) const ALL: [(&'static str, Self); 14] = [
        ("sum", Self::Sum),
        ("avg", Self::Avg),
        ("count", Self::Count),
        ("min", Self::Min),
        ("max", Self::Max),
        ("group", Self::Group),
        ("stddev", Self::Stddev),
        ("stdvar", Self::Stdvar),
        ("topk", Self::Topk),
        ("bottomk", Self::Bottomk),
        ("count_values", Self::CountValues),
        ("quantile", Self::Quantile),
        ("limitk", Self::Limitk),
        ("limit_ratio", Self::LimitRatio),
    ];

    /// The operator's name.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, op)| *op == self).map_or("", |(name, _)| name)
    }

    /// Whether it leaves histograms out.
    pub(crate) fn takes_numbers_only(self) -> bool {
        matches!(
            self,
            Self::Min
                | Self::Max
                | Self::Stddev
                | Self::Stdvar
                | Self::Topk
                | Self::Bottomk
                | Self::Quantile
        )
    }

    /// The type of the parameter, if there is one.
    pub fn param_type(self) -> Option<ValueType> {
        match self {
            Self::Topk | Self::Bottomk | Self::Quantile | Self::Limitk | Self::LimitRatio => {
                Some(ValueType::Scalar)
            }
            Self::CountValues => Some(ValueType::String),
            _ => None,
        }
    }

    /// Whether it needs experimental functions.
    pub fn is_experimental(self) -> bool {
        matches!(self, Self::Limitk | Self::LimitRatio)
    }
}

/// An aggregation.
#[derive(Clone, Debug)]
pub struct Aggregate {
    /// The operator.
    pub op: AggregateOp,
    /// What is aggregated.
    pub inner: Node,
    /// The parameter, of the operators that have one.
    pub param: Option<Node>,
    /// The labels of `by` or `without`.
    pub labels: Vec<String>,
    /// Whether `labels` are those to leave out.
    pub without: bool,
}

/// A function call.
#[derive(Clone, Debug)]
pub struct Call {
    /// The function.
    pub function: &'static Function,
    /// The arguments.
    pub args: Vec<Node>,
}
