//! The fields of a cron expression as sets of bits, and the calendar search over them.

use jiff::civil::{Date, DateTime};

use super::cron::CronError;

/// What one field may hold.
struct Bounds {
    name: &'static str,
    min: u32,
    max: u32,
    names: &'static [&'static str],
}

const SECOND: Bounds = Bounds { name: "second", min: 0, max: 59, names: &[] };
const MINUTE: Bounds = Bounds { name: "minute", min: 0, max: 59, names: &[] };
const HOUR: Bounds = Bounds { name: "hour", min: 0, max: 23, names: &[] };
const DAY: Bounds = Bounds { name: "day of month", min: 1, max: 31, names: &[] };
const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const MONTH: Bounds = Bounds { name: "month", min: 1, max: 12, names: &MONTHS };
const WEEKDAY: Bounds =
    Bounds { name: "day of week", min: 0, max: 6, names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] };

/// A leap day is at most this far away, across a year 2100 that has none.
const LONGEST_WAIT_YEARS: i16 = 8;

/// The values on which each field matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fields {
    second: u64,
    minute: u64,
    hour: u64,
    day: u64,
    month: u64,
    weekday: u64,
    /// Whether day of month and day of week must both match, because one of them says "any"; else either is enough.
    both_days: bool,
}

/// One field: its values, and whether it was `*` or `?` without a step.
struct Field {
    bits: u64,
    any: bool,
}

impl Fields {
    /// Reads six fields, seconds first.
    pub(super) fn parse(parts: [&str; 6]) -> Result<Self, CronError> {
        let [second, minute, hour, day, month, weekday] = parts;
        let (day, weekday) = (field(day, &DAY)?, field(weekday, &WEEKDAY)?);
        Ok(Self {
            second: field(second, &SECOND)?.bits,
            minute: field(minute, &MINUTE)?.bits,
            hour: field(hour, &HOUR)?.bits,
            month: field(month, &MONTH)?.bits,
            both_days: day.any || weekday.any,
            day: day.bits,
            weekday: weekday.bits,
        })
    }

    /// Whether a moment of the local calendar matches.
    #[cfg(test)]
    pub(super) fn matches(&self, at: DateTime) -> bool {
        self.matches_date(at.date())
            && has(self.hour, at.hour())
            && has(self.minute, at.minute())
            && has(self.second, at.second())
            && at.subsec_nanosecond() == 0
    }

    fn matches_date(&self, date: Date) -> bool {
        if !has(self.month, date.month()) {
            return false;
        }
        let day = has(self.day, date.day());
        let weekday = has(self.weekday, date.weekday().to_sunday_zero_offset());
        if self.both_days { day && weekday } else { day || weekday }
    }

    /// The first match at or after `from` (whole seconds) in a calendar without time zones; `None` if there is none for
    /// years, as for the 30th of February.
    pub(super) fn first_from(&self, from: DateTime) -> Option<DateTime> {
        let last_year = from.year().saturating_add(LONGEST_WAIT_YEARS);
        let mut date = from.date();
        let mut time = Some((from.hour(), from.minute(), from.second()));
        while date.year() <= last_year {
            if !has(self.month, date.month()) {
                date = date.last_of_month().tomorrow().ok()?;
                time = None;
                continue;
            }
            if self.matches_date(date) {
                let found = match time {
                    Some(at) => self.first_time(at),
                    None => self.first_time((0, 0, 0)),
                };
                if let Some((hour, minute, second)) = found {
                    return Some(date.at(hour, minute, second, 0));
                }
            }
            date = date.tomorrow().ok()?;
            time = None;
        }
        None
    }

    /// The first time of day at or after the given one.
    fn first_time(&self, (hour, minute, second): (i8, i8, i8)) -> Option<(i8, i8, i8)> {
        let first = |bits, at| next(bits, at);
        if has(self.hour, hour) {
            if has(self.minute, minute)
                && let Some(second) = first(self.second, second)
            {
                return Some((hour, minute, second));
            }
            if let Some(minute) = first(self.minute, minute + 1) {
                return Some((hour, minute, first(self.second, 0)?));
            }
        }
        Some((first(self.hour, hour + 1)?, first(self.minute, 0)?, first(self.second, 0)?))
    }
}

fn has(bits: u64, value: i8) -> bool {
    bits >> value & 1 == 1
}

/// The lowest member at or above `at`.
fn next(bits: u64, at: i8) -> Option<i8> {
    let above = bits >> at << at;
    (above != 0).then(|| above.trailing_zeros() as i8)
}

/// A comma-separated list of ranges.
fn field(text: &str, bounds: &Bounds) -> Result<Field, CronError> {
    let mut all = Field { bits: 0, any: false };
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let one = range(part, bounds).map_err(|detail| CronError { field: bounds.name, detail })?;
        all.bits |= one.bits;
        all.any |= one.any;
    }
    if all.bits == 0 {
        return Err(CronError { field: bounds.name, detail: format!("no value in {text:?}") });
    }
    Ok(all)
}

/// `*`, `?`, `N`, `N-M`, each with `/STEP`; `N/STEP` runs to the end of the field.
fn range(text: &str, bounds: &Bounds) -> Result<Field, String> {
    let (range, step) = match text.split_once('/') {
        Some((_, step)) if step.contains('/') => return Err(format!("too many slashes: {text}")),
        Some((range, step)) => (range, Some(number(step)?)),
        None => (text, None),
    };
    let (start, end) = match range.split_once('-') {
        _ if range == "*" || range == "?" => (bounds.min, bounds.max),
        Some((_, end)) if end.contains('-') => return Err(format!("too many hyphens: {text}")),
        Some((start, end)) => (value(start, bounds)?, value(end, bounds)?),
        None if step.is_some() => (value(range, bounds)?, bounds.max),
        None => value(range, bounds).map(|only| (only, only))?,
    };
    if start < bounds.min {
        return Err(format!("beginning of range ({start}) below minimum ({}): {text}", bounds.min));
    }
    if end > bounds.max {
        return Err(format!("end of range ({end}) above maximum ({}): {text}", bounds.max));
    }
    if start > end {
        return Err(format!("beginning of range ({start}) beyond end of range ({end}): {text}"));
    }
    let step = step.unwrap_or(1);
    if step == 0 {
        return Err(format!("step of range should be a positive number: {text}"));
    }
    let bits = (start..=end).step_by(step as usize).fold(0, |bits, value| bits | 1 << value);
    Ok(Field { bits, any: (range == "*" || range == "?") && step == 1 })
}

fn value(text: &str, bounds: &Bounds) -> Result<u32, String> {
    match bounds.names.iter().position(|name| name.eq_ignore_ascii_case(text)) {
        Some(at) => Ok(at as u32 + bounds.min),
        None => number(text),
    }
}

fn number(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("failed to parse int from {text:?}"))
}
