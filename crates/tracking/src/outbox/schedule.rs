//! When a message is tried again, and when it is given up. Pure: time and chance are given.

/// How patient a sender is. Times are in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// After the first failure; it doubles with each.
    pub first_wait: i64,
    /// Between two attempts at most, whatever the receiver says.
    pub longest_wait: i64,
    /// Attempts of one message.
    pub most_attempts: i64,
    /// Age at which a message is not worth sending any more.
    pub most_age: i64,
    /// How long a server has a lane without a word; longer than an attempt takes.
    pub lease: i64,
    /// How long the dead are kept.
    pub keep_dead: i64,
}

const SECOND: i64 = 1000;
const HOUR: i64 = 3600 * SECOND;

impl Default for Pace {
    fn default() -> Self {
        Self {
            first_wait: SECOND,
            longest_wait: HOUR / 4,
            most_attempts: 100,
            most_age: 24 * HOUR,
            lease: 60 * SECOND,
            keep_dead: 7 * 24 * HOUR,
        }
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The receiver answered.
    Answered {
        /// Its status.
        status: u16,
        /// When to come again, if it said so, in milliseconds.
        retry_after: Option<i64>,
    },
    /// There was no answer, for a reason that may pass.
    Failed(String),
    /// It may not be sent.
    Refused(String),
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    /// It arrived.
    Done,
    /// Once more, then.
    Retry { at: i64 },
    /// Never again.
    GiveUp { reason: String },
}

impl Pace {
    /// What follows from an attempt, the `attempts`-th of a message made at `created_at`. `chance` lies in 0..1: those who
    /// failed together must not come again together.
    pub(crate) fn next(&self, outcome: &Outcome, attempts: i64, created_at: i64, now: i64, chance: f64) -> Next {
        let (reason, asked) = match outcome {
            Outcome::Answered { status: 200..=299, .. } => return Next::Done,
            Outcome::Answered { status, retry_after } if may_pass(*status) => {
                (format!("it answered {status}"), *retry_after)
            }
            Outcome::Answered { status, .. } => return Next::GiveUp { reason: format!("it answered {status}") },
            Outcome::Refused(reason) => return Next::GiveUp { reason: reason.clone() },
            Outcome::Failed(reason) => (reason.clone(), None),
        };
        let at = now + self.wait(attempts, chance).max(asked.unwrap_or_default()).clamp(1, self.longest_wait.max(1));
        if attempts >= self.most_attempts {
            return Next::GiveUp { reason: format!("{reason}, {attempts} times") };
        }
        if at - created_at > self.most_age {
            return Next::GiveUp { reason: format!("{reason}, until it was too old") };
        }
        Next::Retry { at }
    }

    /// Doubled with each attempt; half of it is left to chance.
    fn wait(&self, attempts: i64, chance: f64) -> i64 {
        let doublings = u32::try_from(attempts.clamp(1, 40) - 1).unwrap_or_default();
        let whole = self.first_wait.max(1).saturating_mul(1 << doublings).min(self.longest_wait.max(1));
        whole / 2 + (whole as f64 / 2.0 * chance.clamp(0.0, 1.0)).ceil() as i64
    }
}

/// Whether a status speaks of now and not of the message.
const fn may_pass(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500..=599)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answered(status: u16) -> Outcome {
        Outcome::Answered { status, retry_after: None }
    }

    #[test]
    fn a_receiver_is_taken_at_its_word() {
        let pace = Pace::default();
        assert_eq!(pace.next(&answered(204), 100, 0, i64::MAX / 2, 0.5), Next::Done);
        for status in [301, 307, 400, 401, 404, 410, 422] {
            let given_up = Next::GiveUp { reason: format!("it answered {status}") };
            assert_eq!(pace.next(&answered(status), 1, 0, 0, 0.5), given_up);
        }
        for status in [408, 425, 429, 500, 502, 503, 504, 599] {
            assert!(matches!(pace.next(&answered(status), 1, 0, 0, 0.5), Next::Retry { .. }), "{status}");
        }
        let asked = |ms| Outcome::Answered { status: 503, retry_after: Some(ms) };
        assert_eq!(pace.next(&asked(20_000), 1, 0, 0, 0.5), Next::Retry { at: 20_000 });
        assert_eq!(pace.next(&asked(i64::MAX / 4), 1, 0, 0, 0.5), Next::Retry { at: pace.longest_wait });
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let pace = Pace::default();
        let failed = Outcome::Failed("away".to_owned());
        let at = |attempts| match pace.next(&failed, attempts, 0, 0, 1.0) {
            Next::Retry { at } => at,
            other => unreachable!("{other:?}"),
        };
        assert_eq!([at(1), at(2), at(3), at(10), at(11), at(99)], [1000, 2000, 4000, 512_000, 900_000, 900_000]);
        assert_eq!(pace.next(&failed, 100, 0, 0, 1.0), Next::GiveUp { reason: "away, 100 times".to_owned() });
        let old = pace.next(&failed, 1, 0, pace.most_age, 1.0);
        assert_eq!(old, Next::GiveUp { reason: "away, until it was too old".to_owned() });
    }

    fn outcomes() -> impl Strategy<Value = Outcome> {
        prop_oneof![
            (100_u16..600, proptest::option::of(any::<i64>()))
                .prop_map(|(status, retry_after)| Outcome::Answered { status, retry_after }),
            "[a-z]{1,5}".prop_map(Outcome::Failed),
            "[a-z]{1,5}".prop_map(Outcome::Refused),
        ]
    }

    proptest! {
        #[test]
        fn no_message_is_tried_for_ever(
            outcomes in proptest::collection::vec(outcomes(), 1..8), first_wait in 0_i64..100_000,
            longest_wait in 0_i64..10_000_000, most_attempts in 0_i64..200, chance in 0.0..1.0_f64,
        ) {
            let pace = Pace { first_wait, longest_wait, most_attempts, ..Pace::default() };
            let (mut now, mut attempts, mut ended) = (0, 0, false);
            for outcome in outcomes.iter().cycle().take(1000) {
                attempts += 1;
                match pace.next(outcome, attempts, 0, now, chance) {
                    Next::Retry { at } => {
                        prop_assert!(at > now && at - now <= longest_wait.max(1) && at <= pace.most_age);
                        now = at;
                    }
                    Next::Done => {
                        let arrived = matches!(outcome, Outcome::Answered { status: 200..=299, .. });
                        prop_assert!(arrived);
                        ended = true;
                    }
                    Next::GiveUp { reason } => {
                        prop_assert!(!reason.is_empty());
                        ended = true;
                    }
                }
                if ended {
                    break;
                }
            }
            prop_assert!(ended && attempts <= most_attempts.max(1));
        }
    }
}
