use proptest::prelude::*;

use super::*;
use crate::timers::zone;

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;

fn at(text: &str) -> Timestamp {
    text.parse::<jiff::Timestamp>().unwrap().as_millisecond()
}

fn cron(text: &str) -> Cron {
    Cron::parse_with_seconds(text).unwrap()
}

/// The next times, as that zone's clocks show them.
fn times(text: &str, zone_name: &str, after: &str, count: usize) -> Vec<String> {
    let (cron, zone) = (cron(text), zone(zone_name).unwrap());
    let mut now = at(after);
    std::iter::from_fn(|| {
        now = cron.next_after(now, &zone)?;
        let shown = jiff::Timestamp::from_millisecond(now).unwrap().to_zoned(zone.clone());
        Some(shown.strftime("%Y-%m-%d %H:%M:%S %z").to_string())
    })
    .take(count)
    .collect()
}

#[test]
fn the_dialect_of_kubernetes() {
    let next = |text: &str, after: &str| times(text, "UTC", after, 1).pop().unwrap_or_default();
    for (text, after, expected) in [
        ("*/15 * * * *", "2012-07-09T14:45:00Z", "2012-07-09 15:00:00"),
        ("20-35/15 * * * *", "2012-07-09T23:45:00Z", "2012-07-10 00:20:00"),
        ("15/35 20-35/15 1/2 */2 * *", "2012-07-09T23:35:51Z", "2012-07-11 01:20:15"),
        ("0 0 9 Apr-Oct ?", "2012-07-09T23:35:00Z", "2012-08-09 00:00:00"),
        ("0 0 * Feb Mon", "2012-07-09T23:35:00Z", "2013-02-04 00:00:00"),
        ("0 0 * Feb Mon/2", "2012-07-09T23:35:00Z", "2013-02-01 00:00:00"),
        ("0 0 29 Feb ?", "2012-07-09T23:35:00Z", "2016-02-29 00:00:00"),
        ("30 8 ? JUL sun", "2012-07-09T00:00:00Z", "2012-07-15 08:30:00"),
        ("0 0 1,15 * Fri", "2012-07-09T00:00:00Z", "2012-07-13 00:00:00"),
        ("0 0 */1 * Fri", "2012-07-09T00:00:00Z", "2012-07-13 00:00:00"),
        // A star with a step says something, so either of the two days is enough.
        ("0 0 */10 * Sun", "2012-07-12T00:00:00Z", "2012-07-15 00:00:00"),
        ("0 0 */10 * Sun", "2012-07-16T00:00:00Z", "2012-07-21 00:00:00"),
        ("0 22 * * 1,2,,3", "2012-07-12T00:00:00Z", "2012-07-16 22:00:00"),
        ("@hourly", "2012-07-09T14:00:00Z", "2012-07-09 15:00:00"),
        ("@daily", "2012-07-09T14:00:00Z", "2012-07-10 00:00:00"),
        ("@midnight", "2012-07-09T14:00:00Z", "2012-07-10 00:00:00"),
        ("@weekly", "2012-07-09T14:00:00Z", "2012-07-15 00:00:00"),
        ("@monthly", "2012-07-09T14:00:00Z", "2012-08-01 00:00:00"),
        ("@yearly", "2012-07-09T14:00:00Z", "2013-01-01 00:00:00"),
        ("@annually", "2012-07-09T14:00:00Z", "2013-01-01 00:00:00"),
        ("@every 1h30m", "2012-07-09T14:00:00Z", "2012-07-09 15:30:00"),
        ("@every 1m30.5s", "2012-07-09T14:00:00.9Z", "2012-07-09 14:01:30"),
        ("@every 5ms", "2012-07-09T14:00:00.9Z", "2012-07-09 14:00:01"),
    ] {
        assert_eq!(next(text, after), format!("{expected} +0000"), "{text}");
    }
}

#[test]
fn what_is_no_schedule_says_why() {
    for (text, field, part) in [
        ("", "schedule", "empty spec string"),
        ("* * * *", "schedule", "expected exactly 5 fields, found 4"),
        ("* * * * * *", "schedule", "expected exactly 5 fields, found 6"),
        ("60 * * * *", "minute", "end of range (60) above maximum (59): 60"),
        ("* 24 * * *", "hour", "above maximum (23)"),
        ("* * 0 * *", "day of month", "beginning of range (0) below minimum (1): 0"),
        ("* * * 13 *", "month", "above maximum (12)"),
        ("* * * * 7", "day of week", "end of range (7) above maximum (6): 7"),
        ("5-3 * * * *", "minute", "beginning of range (5) beyond end of range (3): 5-3"),
        ("*/0 * * * *", "minute", "step of range should be a positive number: */0"),
        ("1/2/3 * * * *", "minute", "too many slashes: 1/2/3"),
        ("1-2-3 * * * *", "minute", "too many hyphens: 1-2-3"),
        ("x * * * *", "minute", "failed to parse int from \"x\""),
        ("-5 * * * *", "minute", "failed to parse int"),
        (", * * * *", "minute", "no value"),
        ("* * L * *", "day of month", "failed to parse int"),
        ("* * * * 5#2", "day of week", "failed to parse int"),
        ("* * * january *", "month", "failed to parse int"),
        ("@fortnightly", "schedule", "unrecognized descriptor: @fortnightly"),
        ("@every", "schedule", "unrecognized descriptor"),
        ("@every soon", "schedule", "failed to parse duration @every soon"),
        ("@every -1h", "schedule", "negative"),
        ("@every 9999999999h", "schedule", "failed to parse duration"),
        ("TZ=Europe/Berlin * * * * *", "schedule", "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"),
        ("CRON_TZ=UTC @daily", "schedule", "use timeZone field instead"),
    ] {
        let error = Cron::parse(text).unwrap_err();
        assert_eq!(error.field, field, "{text}: {error}");
        assert!(error.to_string().contains(part), "{text}: {error}");
    }
    assert!(Cron::parse(&"1,".repeat(1000)).unwrap_err().detail.contains("longer"));
    assert!(Cron::parse_with_seconds("* * * *").unwrap_err().detail.contains("expected 5 or 6 fields, found 4"));
    assert!(Cron::parse_with_seconds("60 * * * * *").unwrap_err().to_string().starts_with("second: "));
}

#[test]
fn clocks_go_forward() {
    // 02:30 does not exist on 10 March 2024 in New York.
    assert_eq!(
        times("30 2 * * *", "America/New_York", "2024-03-09T12:00:00Z", 2),
        ["2024-03-11 02:30:00 -0400", "2024-03-12 02:30:00 -0400"]
    );
    assert_eq!(
        times("0 * * * *", "Europe/Berlin", "2024-03-31T00:00:00Z", 2),
        ["2024-03-31 03:00:00 +0200", "2024-03-31 04:00:00 +0200"]
    );
    // Half an hour is skipped on Lord Howe, from 02:00 to 02:30.
    assert_eq!(
        times("*/15 2 * * *", "Australia/Lord_Howe", "2024-10-05T13:00:00Z", 3),
        ["2024-10-06 02:30:00 +1100", "2024-10-06 02:45:00 +1100", "2024-10-07 02:00:00 +1100"]
    );
    // There was no midnight when clocks went forward in São Paulo.
    assert_eq!(times("0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00:00Z", 1), ["2018-11-05 00:00:00 -0200"]);
}

#[test]
fn clocks_go_back() {
    assert_eq!(
        times("30 1 * * *", "America/New_York", "2024-11-03T00:00:00Z", 3),
        ["2024-11-03 01:30:00 -0400", "2024-11-03 01:30:00 -0500", "2024-11-04 01:30:00 -0500"]
    );
    assert_eq!(
        times("0 * * * *", "Europe/Berlin", "2024-10-26T23:30:00Z", 3),
        ["2024-10-27 02:00:00 +0200", "2024-10-27 02:00:00 +0100", "2024-10-27 03:00:00 +0100"]
    );
    // 01:30 to 02:00 comes twice on Lord Howe; 02:00 once.
    assert_eq!(
        times("0,30,45 1-2 * * *", "Australia/Lord_Howe", "2024-04-06T13:50:00Z", 6),
        [
            "2024-04-07 01:00:00 +1100",
            "2024-04-07 01:30:00 +1100",
            "2024-04-07 01:45:00 +1100",
            "2024-04-07 01:30:00 +1030",
            "2024-04-07 01:45:00 +1030",
            "2024-04-07 02:00:00 +1030"
        ]
    );
}

#[test]
fn what_never_comes_is_known_at_once() {
    let started = std::time::Instant::now();
    for zone_name in ["UTC", "Europe/Berlin", "Australia/Lord_Howe"] {
        for text in ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 31 2 ?"] {
            assert_eq!(times(text, zone_name, "2024-01-01T00:00:00Z", 1), Vec::<String>::new(), "{text}");
        }
    }
    assert!(started.elapsed() < std::time::Duration::from_millis(500), "{:?}", started.elapsed());
    // The longest wait that there is.
    assert_eq!(times("0 0 29 2 *", "UTC", "2096-02-29T00:00:00Z", 1), ["2104-02-29 00:00:00 +0000"]);
    assert_eq!(cron("@hourly").next_after(i64::MAX, &TimeZone::UTC), None);
    assert_eq!(cron("@every 1h").next_after(i64::MAX, &TimeZone::UTC), None);
    assert_eq!(cron("@hourly").next_after(at("9999-12-30T22:00:00Z"), &TimeZone::UTC), None);
}

/// A field's text: mostly with few values, so that some schedules are rare.
fn field(min: u32, max: u32) -> impl Strategy<Value = String> {
    let range = (min..=max, min..=max).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b)));
    let one = prop_oneof![
        3 => Just("*".to_owned()),
        1 => Just("?".to_owned()),
        3 => (min..=max).prop_map(|value| value.to_string()),
        2 => range.clone(),
        1 => (range, 1u32..9).prop_map(|(range, step)| format!("{range}/{step}")),
        1 => (1u32..9).prop_map(|step| format!("*/{step}")),
        1 => (min..=max, 1u32..9).prop_map(|(start, step)| format!("{start}/{step}")),
    ];
    prop::collection::vec(one, 1..3).prop_map(|parts| parts.join(","))
}

fn expression() -> impl Strategy<Value = String> {
    let hours = prop_oneof![field(0, 23), Just("*".to_owned()), Just("0-3".to_owned())];
    (field(0, 59), hours, field(1, 31), field(1, 12), field(0, 6))
        .prop_map(|(minute, hour, day, month, weekday)| format!("{minute} {hour} {day} {month} {weekday}"))
}

fn zones() -> impl Strategy<Value = TimeZone> {
    const NAMES: &[&str] =
        &["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Cairo"];
    prop::sample::select(NAMES).prop_map(|name| zone(name).unwrap())
}

/// Around a change of clocks, a leap day, a year's end, or anywhere.
fn moments() -> impl Strategy<Value = Timestamp> {
    const EDGES: &[&str] = &[
        "2024-03-10T06:50:00Z",
        "2024-03-31T00:30:00Z",
        "2024-10-05T15:00:00Z",
        "2024-04-06T14:30:00Z",
        "2024-10-27T00:30:00Z",
        "2024-11-03T05:10:00Z",
        "2024-02-28T23:00:00Z",
        "2023-12-31T22:00:00Z",
    ];
    prop_oneof![
        (prop::sample::select(EDGES), 0..6 * 60 * MINUTE).prop_map(|(edge, offset)| at(edge) + offset),
        at("2000-01-01T00:00:00Z")..at("2050-01-01T00:00:00Z"),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]
    #[test]
    fn agrees_with_a_walk_over_minutes(text in expression(), zone in zones(), after in moments()) {
        let cron = Cron::parse(&text).unwrap();
        let found = cron.next_after(after, &zone);
        if let Some(found) = found {
            prop_assert!(found > after);
            prop_assert!(cron.matches(found, &zone), "{text} at {found}");
        }
        let end = found.unwrap_or(i64::MAX).min(after + 3 * DAY);
        let mut minute = after.div_euclid(MINUTE) * MINUTE + MINUTE;
        while minute < end {
            prop_assert!(!cron.matches(minute, &zone), "{text} skipped {minute}");
            minute += MINUTE;
        }
    }

    #[test]
    fn agrees_with_a_walk_over_seconds(second in field(0, 59), minute in field(0, 59), zone in zones(), after in moments()) {
        let cron = Cron::parse_with_seconds(&format!("{second} {minute} * * * *")).unwrap();
        let found = cron.next_after(after, &zone).unwrap();
        prop_assert!(found > after && found <= after + 2 * 3_600_000);
        prop_assert!(cron.matches(found, &zone));
        let mut at = after.div_euclid(1000) * 1000 + 1000;
        while at < found {
            prop_assert!(!cron.matches(at, &zone));
            at += 1000;
        }
    }

    #[test]
    fn no_text_does_harm(text in "[-*/?,@ 0-9a-zTZ=]{0,40}|\\PC{0,20}", after: i64) {
        for cron in [Cron::parse(&text), Cron::parse_with_seconds(&text)].into_iter().flatten() {
            if let Some(next) = cron.next_after(after, &TimeZone::UTC) {
                prop_assert!(next > after);
            }
        }
    }
}
