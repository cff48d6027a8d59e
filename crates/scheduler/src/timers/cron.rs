//! Kubernetes' cron schedules.
//!
//! The dialect is that of `CronJob.spec.schedule`: minute, hour, day of month, month, day of week (0 is Sunday, 7 is
//! refused), three-letter names, lists, ranges, steps, `?` for `*`, and the descriptors `@yearly` … `@hourly` and
//! `@every 1h30m`. [`Cron::parse_with_seconds`] allows a sixth field before the others. If day of month or day of week is
//! `*` (or `?`) without a step both must match, else one is enough.
//!
//! **Daylight saving.** A schedule fires at each instant whose local time matches: a time that the clocks jump over does
//! not fire that day, a time that they show twice fires twice, and `0 * * * *` fires each hour of them all. That is what
//! Kubernetes does wherever clocks change by whole hours (where they change by half an hour, its search may miss a time).
//!
//! Why the project's own: the kept crates (croner, cronexpr, jiff-cron) follow other rules, by design. Croner runs a fixed
//! time once when the clock shows it twice, and all take expressions that a cluster refuses (`L`, `W`, `#`, `7`) or demand
//! other fields. The search is a few dozen lines over jiff's table of transitions.

use std::fmt;
use std::str::FromStr;

use jiff::tz::TimeZone;
use mcplane_core::Timestamp;

use super::fields::Fields;

/// The longest text that is looked at.
const LONGEST: usize = 1024;
const NEVER_IN_ZONE: &str = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";

/// When something happens again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron(Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Calendar(Fields),
    /// `@every`, in milliseconds, whole seconds.
    Every(i64),
}

/// Why a text is no schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CronError {
    /// The field at fault: `minute`, `day of week` …, or `schedule` for the whole.
    pub field: &'static str,
    /// What is wrong, in Kubernetes' words where it has some.
    pub detail: String,
}

impl fmt::Display for CronError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field == WHOLE { f.write_str(&self.detail) } else { write!(f, "{}: {}", self.field, self.detail) }
    }
}

impl std::error::Error for CronError {}

const WHOLE: &str = "schedule";

fn whole<T>(detail: impl Into<String>) -> Result<T, CronError> {
    Err(CronError { field: WHOLE, detail: detail.into() })
}

impl Cron {
    /// Reads what Kubernetes accepts: five fields or a descriptor.
    pub fn parse(text: &str) -> Result<Self, CronError> {
        Self::read(text, false)
    }

    /// Reads the same, or six fields of which the first is the second.
    pub fn parse_with_seconds(text: &str) -> Result<Self, CronError> {
        Self::read(text, true)
    }

    fn read(text: &str, seconds: bool) -> Result<Self, CronError> {
        if text.len() > LONGEST {
            return whole(format!("longer than {LONGEST} characters"));
        }
        if text.contains("TZ") {
            return whole(NEVER_IN_ZONE);
        }
        if text.is_empty() {
            return whole("empty spec string");
        }
        if text.starts_with('@') {
            return descriptor(text);
        }
        let parts: Vec<&str> = text.split_whitespace().collect();
        match parts[..] {
            [minute, hour, day, month, weekday] => calendar(["0", minute, hour, day, month, weekday]),
            [second, minute, hour, day, month, weekday] if seconds => {
                calendar([second, minute, hour, day, month, weekday])
            }
            _ if seconds => whole(format!("expected 5 or 6 fields, found {}: {parts:?}", parts.len())),
            _ => whole(format!("expected exactly 5 fields, found {}: {parts:?}", parts.len())),
        }
    }

    /// The first time strictly after `after` at which the schedule fires in `zone`; `None` if it never does again.
    pub fn next_after(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match &self.0 {
            Kind::Calendar(fields) => next_in_calendar(fields, after, zone),
            Kind::Every(period) => after.div_euclid(1000).checked_mul(1000)?.checked_add(*period),
        }
    }

    pub(super) fn kind(&self) -> &Kind {
        &self.0
    }

    /// Whether the local time of this instant is one of the schedule's: what the search must agree with.
    #[cfg(test)]
    pub(super) fn matches(&self, at: Timestamp, zone: &TimeZone) -> bool {
        match &self.0 {
            Kind::Calendar(fields) => {
                let instant = jiff::Timestamp::from_millisecond(at).unwrap();
                fields.matches(zone.to_datetime(instant))
            }
            Kind::Every(_) => false,
        }
    }
}

impl FromStr for Cron {
    type Err = CronError;

    fn from_str(text: &str) -> Result<Self, CronError> {
        Self::parse(text)
    }
}

/// Local time is a row of stretches with a constant offset; within each the search is plain calendar arithmetic.
fn next_in_calendar(fields: &Fields, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    let mut from = jiff::Timestamp::from_second(after.div_euclid(1000).checked_add(1)?).ok()?;
    let mut transitions = zone.following(from);
    loop {
        let offset = zone.to_offset(from);
        // The stretch may be one of years without a match; the search gives up by itself.
        let found = fields.first_from(offset.to_datetime(from))?;
        let instant = offset.to_timestamp(found).ok()?;
        match transitions.next() {
            Some(change) if instant >= change.timestamp() => from = change.timestamp(),
            _ => return Some(instant.as_millisecond()),
        }
    }
}

fn calendar(parts: [&str; 6]) -> Result<Cron, CronError> {
    Fields::parse(parts).map(|fields| Cron(Kind::Calendar(fields)))
}

fn descriptor(text: &str) -> Result<Cron, CronError> {
    match text {
        "@yearly" | "@annually" => calendar(["0", "0", "0", "1", "1", "*"]),
        "@monthly" => calendar(["0", "0", "0", "1", "*", "*"]),
        "@weekly" => calendar(["0", "0", "0", "*", "*", "0"]),
        "@daily" | "@midnight" => calendar(["0", "0", "0", "*", "*", "*"]),
        "@hourly" => calendar(["0", "0", "*", "*", "*", "*"]),
        _ => match text.strip_prefix("@every ") {
            Some(period) => match go_duration(period) {
                // As there, less than a second is a second, and fractions of a second are dropped.
                Some(ms) if ms >= 0 => Ok(Cron(Kind::Every((ms / 1000).max(1) * 1000))),
                Some(_) => whole(format!("a period cannot be negative: {text}")),
                None => whole(format!("failed to parse duration {text}: write it like @every 1h30m")),
            },
            None => whole(format!("unrecognized descriptor: {text}")),
        },
    }
}

/// Go's durations: a sign, then decimal numbers with `h`, `m`, `s`, `ms`, `us`, `ns`. In milliseconds.
fn go_duration(text: &str) -> Option<i64> {
    const UNITS: [(&str, f64); 8] =
        [("ns", 1e-6), ("us", 1e-3), ("µs", 1e-3), ("μs", 1e-3), ("ms", 1.0), ("s", 1e3), ("m", 6e4), ("h", 3.6e6)];
    /// What 2^63 nanoseconds are, Go's longest.
    const LONGEST_MS: f64 = 9_223_372_036_854.0;
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let (_, unit) = UNITS.iter().find(|(name, _)| *name == &rest[..letters])?;
        total += number * unit;
        rest = &rest[letters..];
    }
    (total <= LONGEST_MS).then_some((sign * total) as i64)
}

#[cfg(test)]
mod tests;
