//! Fields of dates, in UTC.

use narthex_model::Labels;

use crate::Error;
use crate::column::Column;
use crate::eval::Evaluator;
use crate::plan::{Call, Func};
use crate::steps::Steps;

const DAY: i64 = 86_400;

/// Go's calendar counts seconds from here, without a sign; what is before comes out at the other
/// end.
const FIRST_SECOND: i64 = -9_223_372_028_715_321_600;

/// A moment as the calendar says it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Date {
    year: i64,
    month: i64,
    day: i64,
    /// Days since 1970-01-01.
    days: i64,
    /// Seconds of the day.
    seconds: i64,
}

impl Date {
    /// From seconds since 1970, in the proleptic Gregorian calendar.
    fn new(seconds: i64) -> Self {
        let (mut days, mut rest) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
        if seconds < FIRST_SECOND {
            // 2^64 seconds later.
            days += 213_503_982_334_601;
            rest += 25_216;
            days += rest / DAY;
            rest %= DAY;
        }
        // Years are counted from March, so that the leap day is the last of the year.
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let of_era = shifted.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * of_year + 2) / 153;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        Self {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month,
            day: of_year - (153 * from_march + 2) / 5 + 1,
            days,
            seconds: rest,
        }
    }

    fn is_leap(&self) -> bool {
        self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0)
    }

    fn days_in_month(&self) -> i64 {
        match self.month {
            2 => 28 + i64::from(self.is_leap()),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }

    fn day_of_year(&self) -> i64 {
        const BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
        let index = usize::try_from(self.month - 1).unwrap_or(0);
        let leap_day = i64::from(self.month > 2 && self.is_leap());
        BEFORE.get(index).copied().unwrap_or(0) + leap_day + self.day
    }
}

/// A time in milliseconds as RFC 3339 writes it, in whole seconds.
pub(super) fn rfc3339(ms: i64) -> String {
    let Date { year, month, day, seconds, .. } = Date::new(ms / 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// What `func` takes of a date.
pub(super) fn field(func: Func) -> Option<fn(Date) -> i64> {
    Some(match func {
        Func::Year => |date| date.year,
        Func::Month => |date| date.month,
        Func::DayOfMonth => |date| date.day,
        Func::DayOfWeek => |date| (date.days + 4).rem_euclid(7),
        Func::DayOfYear => |date| date.day_of_year(),
        Func::DaysInMonth => |date| date.days_in_month(),
        Func::Hour => |date| date.seconds / 3600,
        Func::Minute => |date| date.seconds / 60 % 60,
        _ => return None,
    })
}

#[expect(clippy::cast_precision_loss, reason = "fields of dates are small")]
fn of_seconds(value: f64, field: fn(Date) -> i64) -> f64 {
    // What is no number, or too large, is the least one, as Go converts on x86-64.
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    #[expect(clippy::cast_possible_truncation, reason = "within the range")]
    let seconds = if value.abs() < LIMIT { value as i64 } else { i64::MIN };
    field(Date::new(seconds)) as f64
}

impl Evaluator<'_> {
    /// A field of the dates that are given, or of the time of evaluation.
    pub(super) fn dates(
        &mut self,
        call: &Call,
        field: fn(Date) -> i64,
        steps: Steps,
    ) -> Result<Vec<Column>, Error> {
        if let Some(arg) = call.args.first() {
            let columns = self.vector(arg, steps)?;
            return self.each(columns, |_, value| of_seconds(value, field));
        }
        self.budget.hold(steps.count)?;
        #[expect(clippy::cast_precision_loss, reason = "fields of dates are small")]
        let values = steps.iter().map(|ms| field(Date::new(ms / 1000)) as f64).collect();
        Ok(vec![Column { labels: Labels::empty(), drop_name: false, first: 0, values }])
    }
}
