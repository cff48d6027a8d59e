//! Timestamps as numbers that compare without loss: a join counts time in the finest unit that any of its columns has, so
//! that nothing is rounded into the past.

use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray as _, Int64Array};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use mcplane_core::{Error, Result};

/// Counts of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Unit {
    Seconds,
    Milliseconds,
    Microseconds,
    Nanoseconds,
}

impl Unit {
    fn per_second(self) -> i64 {
        match self {
            Self::Seconds => 1,
            Self::Milliseconds => 1_000,
            Self::Microseconds => 1_000_000,
            Self::Nanoseconds => 1_000_000_000,
        }
    }

    /// The unit of a column; `None` for what is no time. Text may be as precise as it likes.
    pub(super) fn of(kind: &DataType) -> Option<Self> {
        Some(match kind {
            DataType::Date32 | DataType::Timestamp(TimeUnit::Second, _) => Self::Seconds,
            DataType::Date64 | DataType::Timestamp(TimeUnit::Millisecond, _) => Self::Milliseconds,
            DataType::Timestamp(TimeUnit::Microsecond, _) => Self::Microseconds,
            DataType::Timestamp(TimeUnit::Nanosecond, _) => Self::Nanoseconds,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Self::Nanoseconds,
            _ => return None,
        })
    }

    /// A duration in this unit, rounded down: times are whole units apart, so a part of one makes no difference.
    pub(super) fn count(self, duration: Duration) -> i64 {
        i64::try_from(duration.as_nanos() / u128::from(1_000_000_000 / self.per_second().unsigned_abs()))
            .unwrap_or(i64::MAX)
    }

    /// The times of a column, which is one that [`Self::of`] knows. A time without a zone is one of UTC.
    ///
    /// # Errors
    /// A sentence about the first value that is no time, or none that 64 bits of this unit hold.
    pub(super) fn numbers(self, column: &ArrayRef) -> Result<Int64Array, String> {
        let kind = column.data_type();
        let strict = CastOptions { safe: false, ..CastOptions::default() };
        let text = |error: arrow::error::ArrowError| error.to_string();
        let (numbers, per_second, multiple) = match kind {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                let times = DataType::Timestamp(TimeUnit::Nanosecond, Some("+00:00".into()));
                (cast_with_options(column, &times, &strict).map_err(text)?, Self::Nanoseconds.per_second(), 1)
            }
            DataType::Date32 => (cast(column, &DataType::Int32).map_err(text)?, 1, 86_400),
            _ => {
                let unit = Self::of(kind).ok_or_else(|| format!("{kind} is no time"))?;
                (std::sync::Arc::clone(column), unit.per_second(), 1)
            }
        };
        let numbers = cast(&numbers, &DataType::Int64).map_err(text)?;
        let numbers = numbers.as_primitive::<Int64Type>();
        let factor = (self.per_second() / per_second).max(1) * multiple;
        if factor == 1 {
            return Ok(numbers.clone());
        }
        let far = || "a time is too far from 1970 for the finest unit of the join".to_owned();
        numbers.try_unary(|number: i64| number.checked_mul(factor).ok_or_else(far))
    }
}

/// The finest unit of some columns, each told with its table for the message.
pub(super) fn finest<'a>(columns: impl Iterator<Item = (&'a str, &'a str, &'a DataType)>) -> Result<Unit> {
    let mut finest = Unit::Seconds;
    for (table, column, kind) in columns {
        let unit = Unit::of(kind).ok_or_else(|| {
            Error::bad_request(format!("{table}: column {column:?} is {kind}, and must be a timestamp or a date"))
        })?;
        finest = finest.max(unit);
    }
    Ok(finest)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Date32Array, StringArray, TimestampMicrosecondArray, TimestampSecondArray};

    use super::*;

    fn numbers(unit: Unit, column: impl Array + 'static) -> Result<Vec<Option<i64>>, String> {
        let column: ArrayRef = Arc::new(column);
        assert!(Unit::of(column.data_type()).is_some());
        unit.numbers(&column).map(|numbers| numbers.iter().collect())
    }

    #[test]
    fn times_of_all_kinds_compare() {
        let micro = Unit::Microseconds;
        assert_eq!(numbers(micro, Date32Array::from(vec![Some(1), None])).unwrap(), [Some(86_400_000_000), None]);
        assert_eq!(numbers(micro, TimestampSecondArray::from(vec![2])).unwrap(), [Some(2_000_000)]);
        // A zone is how a moment is shown, not which it is.
        let zoned = TimestampMicrosecondArray::from(vec![7]).with_timezone("-05:00");
        assert_eq!(numbers(micro, zoned).unwrap(), [Some(7)]);
        let texts =
            StringArray::from(vec!["1970-01-01T00:00:01Z", "1970-01-01 01:00:00+01:00", "1970-01-01 00:00:00.5"]);
        assert_eq!(numbers(Unit::Nanoseconds, texts).unwrap(), [Some(1_000_000_000), Some(0), Some(500_000_000)]);
        assert!(numbers(Unit::Nanoseconds, StringArray::from(vec!["soon"])).unwrap_err().contains("soon"));
        assert!(numbers(micro, TimestampSecondArray::from(vec![i64::MAX])).unwrap_err().contains("too far"));
    }

    #[test]
    fn a_time_to_live_is_counted_in_whole_units() {
        assert_eq!(Unit::Seconds.count(Duration::from_millis(1_999)), 1);
        assert_eq!(Unit::Nanoseconds.count(Duration::from_secs(2)), 2_000_000_000);
        assert_eq!(Unit::Nanoseconds.count(Duration::from_secs(u64::MAX)), i64::MAX);
    }
}
