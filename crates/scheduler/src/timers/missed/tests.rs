use proptest::prelude::*;

use super::*;

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
/// 14 November 2023, 00:00 UTC.
const MIDNIGHT: Timestamp = 1_699_920_000_000;

fn plan(text: &str, last: Timestamp, now: Timestamp, policy: Missed, deadline: Option<u64>) -> Plan {
    let cron = Cron::parse_with_seconds(text).unwrap();
    fire_times(&cron, &TimeZone::UTC, last, now, policy, deadline.map(Duration::from_secs))
}

#[test]
fn on_time_all_policies_agree() {
    for policy in [Missed::Skip, Missed::One, Missed::All] {
        let early = plan("0 * * * *", MIDNIGHT, MIDNIGHT + HOUR - 1, policy, None);
        assert_eq!(early, Plan { due: vec![], missed: 0, next: Some(MIDNIGHT + HOUR) });
        let now = plan("0 * * * *", MIDNIGHT, MIDNIGHT + HOUR, policy, None);
        assert_eq!(now, Plan { due: vec![MIDNIGHT + HOUR], missed: 0, next: Some(MIDNIGHT + 2 * HOUR) });
    }
}

#[test]
fn after_three_hours_away() {
    let now = MIDNIGHT + 3 * HOUR + 5 * MINUTE;
    let due = |policy, deadline| {
        let plan = plan("0 * * * *", MIDNIGHT, now, policy, deadline);
        assert_eq!(plan.next, Some(MIDNIGHT + 4 * HOUR));
        assert_eq!(plan.due.len() as u64 + plan.missed, 3);
        plan.due
    };
    assert!(due(Missed::Skip, None).is_empty());
    assert_eq!(due(Missed::Skip, Some(600)), [MIDNIGHT + 3 * HOUR]);
    assert_eq!(due(Missed::One, None), [MIDNIGHT + 3 * HOUR]);
    assert!(due(Missed::One, Some(60)).is_empty());
    assert_eq!(due(Missed::All, None), [MIDNIGHT + HOUR, MIDNIGHT + 2 * HOUR, MIDNIGHT + 3 * HOUR]);
    assert_eq!(due(Missed::All, Some(2 * 3600)), [MIDNIGHT + 2 * HOUR, MIDNIGHT + 3 * HOUR]);
}

#[test]
fn a_year_away_ends_quickly_and_makes_up_for_the_latest_hundred() {
    let now = MIDNIGHT + 365 * 24 * HOUR;
    let started = std::time::Instant::now();
    let all = plan("* * * * * *", MIDNIGHT, now, Missed::All, None);
    assert_eq!(all.due.len(), MOST);
    assert_eq!(*all.due.last().unwrap(), now);
    assert!(all.due.windows(2).all(|pair| pair[1] - pair[0] == SECOND));
    assert_eq!(all.missed, COUNTED);
    let every = plan("@every 1s", MIDNIGHT, now, Missed::All, None);
    assert_eq!(every, Plan { next: Some(now + SECOND), ..all });
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

#[test]
fn a_period_goes_on_from_its_last_time() {
    let late = plan("@every 10m", MIDNIGHT, MIDNIGHT + 25 * MINUTE, Missed::One, None);
    assert_eq!(late, Plan { due: vec![MIDNIGHT + 20 * MINUTE], missed: 1, next: Some(MIDNIGHT + 30 * MINUTE) });
    let skipped = plan("@every 10m", MIDNIGHT, MIDNIGHT + 25 * MINUTE, Missed::Skip, None);
    assert_eq!(skipped, Plan { due: vec![], missed: 2, next: Some(MIDNIGHT + 30 * MINUTE) });
    assert_eq!(plan("@every 10m", MIDNIGHT, MIDNIGHT + MINUTE, Missed::One, None).next, Some(MIDNIGHT + 10 * MINUTE));
}

#[test]
fn a_clock_set_back_runs_nothing_twice() {
    let last = MIDNIGHT + 2 * HOUR;
    let back = plan("0 * * * *", last, MIDNIGHT + HOUR, Missed::All, None);
    assert_eq!(back, Plan { due: vec![], missed: 0, next: Some(MIDNIGHT + 3 * HOUR) });
}

#[test]
fn what_never_fires_plans_nothing() {
    let never = plan("0 0 30 2 *", MIDNIGHT, MIDNIGHT + 1000 * 24 * HOUR, Missed::All, None);
    assert_eq!(never, Plan { due: vec![], missed: 0, next: None });
}

#[test]
fn jitter_is_stable_and_spread() {
    let most = Duration::from_secs(60);
    assert_eq!(jitter("a", most), jitter("a", most));
    assert_eq!(jitter("a", Duration::ZERO), Duration::ZERO);
    let delays: Vec<Duration> = (0..1000).map(|id| jitter(&format!("schedule-{id}"), most)).collect();
    assert!(delays.iter().all(|delay| *delay <= most));
    let early = delays.iter().filter(|delay| **delay < most / 4).count();
    assert!((200..300).contains(&early), "{early}");
}

proptest! {
    #[test]
    fn the_plan_is_what_a_walk_finds(
        text in prop::sample::select(&["*/7 * * * *", "0 3 * * *", "30 0-5 * * 1-5", "0 0 1 * *", "*/20 * 13 * *", "@every 50m"][..]),
        last in MIDNIGHT..MIDNIGHT + 40 * 24 * HOUR,
        away in 0..20 * 24 * HOUR,
        deadline in prop::option::of(0u64..200_000),
        policy in prop::sample::select(&[Missed::Skip, Missed::One, Missed::All][..]),
    ) {
        let now = last + away;
        let cron = Cron::parse(text).unwrap();
        let mut passed = Vec::new();
        let mut at = last;
        while let Some(time) = cron.next_after(at, &TimeZone::UTC).filter(|time| *time <= now) {
            passed.push(time);
            at = time;
        }
        let age = match (policy, deadline) {
            (Missed::Skip, None) => GRACE.as_millis() as i64,
            (_, deadline) => deadline.map_or(i64::MAX, |seconds| seconds as i64 * 1000),
        };
        let most = if policy == Missed::All { MOST } else { 1 };
        let young: Vec<Timestamp> = passed.iter().copied().filter(|time| now - time <= age).collect();
        let due = young[young.len().saturating_sub(most)..].to_vec();

        let plan = plan(text, last, now, policy, deadline);
        prop_assert_eq!(&plan.due, &due);
        prop_assert_eq!(plan.missed, (passed.len() - due.len()) as u64);
        prop_assert!(plan.next.is_some_and(|next| next > now));
        // Looking again at once changes nothing.
        if let Some(latest) = passed.last() {
            let again = fire_times(&cron, &TimeZone::UTC, *latest, now, policy, deadline.map(Duration::from_secs));
            prop_assert_eq!(again, Plan { due: vec![], missed: 0, next: plan.next });
        }
    }
}
