//! The table of functions.

use super::ValueType;

/// The functions by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the functions' own")]
pub enum Func {
    Abs,
    Absent,
    AbsentOverTime,
    Acos,
    Acosh,
    Asin,
    Asinh,
    Atan,
    Atanh,
    AvgOverTime,
    Ceil,
    Changes,
    Clamp,
    ClampMax,
    ClampMin,
    Cos,
    Cosh,
    CountOverTime,
    DaysInMonth,
    DayOfMonth,
    DayOfWeek,
    DayOfYear,
    Deg,
    Delta,
    Deriv,
    DoubleExponentialSmoothing,
    End,
    Exp,
    FirstOverTime,
    Floor,
    HistogramAvg,
    HistogramCount,
    HistogramFraction,
    HistogramQuantile,
    HistogramQuantiles,
    HistogramStddev,
    HistogramStdvar,
    HistogramSum,
    Hour,
    Idelta,
    Increase,
    Info,
    Irate,
    LabelJoin,
    LabelReplace,
    LastOverTime,
    Ln,
    Log10,
    Log2,
    MadOverTime,
    MaxOf,
    MaxOverTime,
    MinOf,
    MinOverTime,
    Minute,
    Month,
    Pi,
    PredictLinear,
    PresentOverTime,
    QuantileOverTime,
    Rad,
    Range,
    Rate,
    Resets,
    Round,
    Scalar,
    Sgn,
    Sin,
    Sinh,
    Sort,
    SortByLabel,
    SortByLabelDesc,
    SortDesc,
    Sqrt,
    Start,
    StartTimestamp,
    StddevOverTime,
    StdvarOverTime,
    Step,
    SumOverTime,
    Tan,
    Tanh,
    Time,
    Timestamp,
    TsOfFirstOverTime,
    TsOfLastOverTime,
    TsOfMaxOverTime,
    TsOfMinOverTime,
    Vector,
    Year,
}

impl Func {
    /// Whether it tells something of the buckets of classic histograms too.
    pub(crate) fn reads_buckets(self) -> bool {
        matches!(self, Self::HistogramQuantile | Self::HistogramQuantiles | Self::HistogramFraction)
    }

    /// Whether the value depends on the time of evaluation even where the arguments do not.
    pub(crate) fn depends_on_time(self) -> bool {
        matches!(
            self,
            Self::DaysInMonth
                | Self::DayOfMonth
                | Self::DayOfWeek
                | Self::DayOfYear
                | Self::Hour
                | Self::Minute
                | Self::Month
                | Self::Year
                | Self::PredictLinear
                | Self::Time
                | Self::Timestamp
        )
    }

    /// Whether the result keeps the names of its argument's series.
    pub(crate) fn keeps_name(self) -> bool {
        matches!(self, Self::LastOverTime | Self::FirstOverTime)
    }
}

/// What is known of a function before it is called.
#[derive(Debug)]
pub struct Function {
    /// Its name in queries.
    pub name: &'static str,
    /// Which it is.
    pub func: Func,
    /// The types of its arguments; the last stands for all that follow.
    pub args: &'static [ValueType],
    /// How many arguments may be left out or added at the end: 0 none, -1 any number.
    pub variadic: i8,
    /// The type of its value.
    pub returns: ValueType,
    /// Whether it needs experimental functions.
    pub experimental: bool,
}

impl Function {
    /// Finds a function by name.
    pub fn find(name: &str) -> Option<&'static Self> {
        FUNCTIONS.iter().find(|function| function.name == name)
    }
}

const S: ValueType = ValueType::Scalar;
const V: ValueType = ValueType::Vector;
const M: ValueType = ValueType::Matrix;
const T: ValueType = ValueType::String;

const fn stable(
    name: &'static str,
    func: Func,
    args: &'static [ValueType],
    variadic: i8,
    returns: ValueType,
) -> Function {
    Function { name, func, args, variadic, returns, experimental: false }
}

const fn experimental(
    name: &'static str,
    func: Func,
    args: &'static [ValueType],
    variadic: i8,
    returns: ValueType,
) -> Function {
    Function { name, func, args, variadic, returns, experimental: true }
}

/// All functions, sorted by name.
pub static FUNCTIONS: &[Function] = &[
    stable("abs", Func::Abs, &[V], 0, V),
    stable("absent", Func::Absent, &[V], 0, V),
    stable("absent_over_time", Func::AbsentOverTime, &[M], 0, V),
    stable("acos", Func::Acos, &[V], 0, V),
    stable("acosh", Func::Acosh, &[V], 0, V),
    stable("asin", Func::Asin, &[V], 0, V),
    stable("asinh", Func::Asinh, &[V], 0, V),
    stable("atan", Func::Atan, &[V], 0, V),
    stable("atanh", Func::Atanh, &[V], 0, V),
    stable("avg_over_time", Func::AvgOverTime, &[M], 0, V),
    stable("ceil", Func::Ceil, &[V], 0, V),
    stable("changes", Func::Changes, &[M], 0, V),
    stable("clamp", Func::Clamp, &[V, S, S], 0, V),
    stable("clamp_max", Func::ClampMax, &[V, S], 0, V),
    stable("clamp_min", Func::ClampMin, &[V, S], 0, V),
    stable("cos", Func::Cos, &[V], 0, V),
    stable("cosh", Func::Cosh, &[V], 0, V),
    stable("count_over_time", Func::CountOverTime, &[M], 0, V),
    stable("day_of_month", Func::DayOfMonth, &[V], 1, V),
    stable("day_of_week", Func::DayOfWeek, &[V], 1, V),
    stable("day_of_year", Func::DayOfYear, &[V], 1, V),
    stable("days_in_month", Func::DaysInMonth, &[V], 1, V),
    stable("deg", Func::Deg, &[V], 0, V),
    stable("delta", Func::Delta, &[M], 0, V),
    stable("deriv", Func::Deriv, &[M], 0, V),
    experimental(
        "double_exponential_smoothing",
        Func::DoubleExponentialSmoothing,
        &[M, S, S],
        0,
        V,
    ),
    experimental("end", Func::End, &[], 0, S),
    stable("exp", Func::Exp, &[V], 0, V),
    experimental("first_over_time", Func::FirstOverTime, &[M], 0, V),
    stable("floor", Func::Floor, &[V], 0, V),
    stable("histogram_avg", Func::HistogramAvg, &[V], 0, V),
    stable("histogram_count", Func::HistogramCount, &[V], 0, V),
    stable("histogram_fraction", Func::HistogramFraction, &[S, S, V], 0, V),
    stable("histogram_quantile", Func::HistogramQuantile, &[S, V], 0, V),
    experimental("histogram_quantiles", Func::HistogramQuantiles, &[V, T, S, S], 9, V),
    stable("histogram_stddev", Func::HistogramStddev, &[V], 0, V),
    stable("histogram_stdvar", Func::HistogramStdvar, &[V], 0, V),
    stable("histogram_sum", Func::HistogramSum, &[V], 0, V),
    stable("hour", Func::Hour, &[V], 1, V),
    stable("idelta", Func::Idelta, &[M], 0, V),
    stable("increase", Func::Increase, &[M], 0, V),
    experimental("info", Func::Info, &[V, V], 1, V),
    stable("irate", Func::Irate, &[M], 0, V),
    stable("label_join", Func::LabelJoin, &[V, T, T, T], -1, V),
    stable("label_replace", Func::LabelReplace, &[V, T, T, T, T], 0, V),
    stable("last_over_time", Func::LastOverTime, &[M], 0, V),
    stable("ln", Func::Ln, &[V], 0, V),
    stable("log10", Func::Log10, &[V], 0, V),
    stable("log2", Func::Log2, &[V], 0, V),
    experimental("mad_over_time", Func::MadOverTime, &[M], 0, V),
    experimental("max_of", Func::MaxOf, &[S, S], 0, S),
    stable("max_over_time", Func::MaxOverTime, &[M], 0, V),
    experimental("min_of", Func::MinOf, &[S, S], 0, S),
    stable("min_over_time", Func::MinOverTime, &[M], 0, V),
    stable("minute", Func::Minute, &[V], 1, V),
    stable("month", Func::Month, &[V], 1, V),
    stable("pi", Func::Pi, &[], 0, S),
    stable("predict_linear", Func::PredictLinear, &[M, S], 0, V),
    stable("present_over_time", Func::PresentOverTime, &[M], 0, V),
    stable("quantile_over_time", Func::QuantileOverTime, &[S, M], 0, V),
    stable("rad", Func::Rad, &[V], 0, V),
    experimental("range", Func::Range, &[], 0, S),
    stable("rate", Func::Rate, &[M], 0, V),
    stable("resets", Func::Resets, &[M], 0, V),
    stable("round", Func::Round, &[V, S], 1, V),
    stable("scalar", Func::Scalar, &[V], 0, S),
    stable("sgn", Func::Sgn, &[V], 0, V),
    stable("sin", Func::Sin, &[V], 0, V),
    stable("sinh", Func::Sinh, &[V], 0, V),
    stable("sort", Func::Sort, &[V], 0, V),
    experimental("sort_by_label", Func::SortByLabel, &[V, T], -1, V),
    experimental("sort_by_label_desc", Func::SortByLabelDesc, &[V, T], -1, V),
    stable("sort_desc", Func::SortDesc, &[V], 0, V),
    stable("sqrt", Func::Sqrt, &[V], 0, V),
    experimental("start", Func::Start, &[], 0, S),
    experimental("start_timestamp", Func::StartTimestamp, &[V], 0, V),
    stable("stddev_over_time", Func::StddevOverTime, &[M], 0, V),
    stable("stdvar_over_time", Func::StdvarOverTime, &[M], 0, V),
    experimental("step", Func::Step, &[], 0, S),
    stable("sum_over_time", Func::SumOverTime, &[M], 0, V),
    stable("tan", Func::Tan, &[V], 0, V),
    stable("tanh", Func::Tanh, &[V], 0, V),
    stable("time", Func::Time, &[], 0, S),
    stable("timestamp", Func::Timestamp, &[V], 0, V),
    experimental("ts_of_first_over_time", Func::TsOfFirstOverTime, &[M], 0, V),
    experimental("ts_of_last_over_time", Func::TsOfLastOverTime, &[M], 0, V),
    experimental("ts_of_max_over_time", Func::TsOfMaxOverTime, &[M], 0, V),
    experimental("ts_of_min_over_time", Func::TsOfMinOverTime, &[M], 0, V),
    stable("vector", Func::Vector, &[S], 0, V),
    stable("year", Func::Year, &[V], 1, V),
];
