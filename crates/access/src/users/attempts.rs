//! How often somebody may fail to log in.

use std::collections::HashMap;
use std::net::Ipv6Addr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use mcplane_core::Timestamp;

/// Failures of one user from one address in a window.
const MOST_PER_LOGIN: u32 = 5;
/// Failures from one address in a window, whoever the users.
const MOST_PER_SOURCE: u32 = 50;
/// How long failures count, in milliseconds.
const WINDOW_MS: i64 = 60_000;
/// Entries held; the one that ends first makes room.
const MOST_ENTRIES: usize = 8192;
/// Bytes of a name that are told apart.
const NAME_BYTES: usize = 128;

/// Counts attempts as failures until they succeed, so that many at once don't slip through.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    entries: Mutex<HashMap<Key, Entry>>,
}

/// Source, and user unless the entry is about the source as a whole.
type Key = (String, Option<String>);

#[derive(Debug, Clone, Copy)]
struct Entry {
    count: u32,
    ends: Timestamp,
}

/// An attempt came too early.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMany {
    /// Seconds to wait.
    pub(super) retry_after_s: u32,
    /// Whether this is the first refusal in its window.
    pub(super) first: bool,
}

impl Attempts {
    /// Takes note of an attempt, or refuses it.
    pub(super) fn begin(&self, source: &str, user: &str, now: Timestamp) -> Result<(), TooMany> {
        let mut entries = self.entries();
        let keys = keys(source, user);
        for (key, most) in keys.iter().zip([MOST_PER_SOURCE, MOST_PER_LOGIN]) {
            if let Some(entry) = entries.get_mut(key).filter(|entry| entry.ends > now && entry.count >= most) {
                let first = entry.count == most;
                entry.count = most.saturating_add(1);
                let wait_s = (entry.ends - now).unsigned_abs().div_ceil(1000);
                return Err(TooMany { retry_after_s: u32::try_from(wait_s).unwrap_or(u32::MAX), first });
            }
        }
        for key in keys {
            make_room(&mut entries, &key, now);
            let fresh = Entry { count: 0, ends: now.saturating_add(WINDOW_MS) };
            let entry = entries.entry(key).or_insert(fresh);
            if entry.ends <= now {
                *entry = fresh;
            }
            entry.count += 1;
        }
        Ok(())
    }

    /// Takes an attempt back that was right.
    pub(super) fn succeeded(&self, source: &str, user: &str) {
        let mut entries = self.entries();
        let [whole, login] = keys(source, user);
        entries.remove(&login);
        if let Some(entry) = entries.get_mut(&whole) {
            entry.count = entry.count.saturating_sub(1);
        }
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<Key, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever has one IPv6 address has the whole /64 around it.
fn network(source: &str) -> String {
    match source.parse::<Ipv6Addr>() {
        Ok(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
        Err(_) => source.to_owned(),
    }
}

fn keys(source: &str, user: &str) -> [Key; 2] {
    let source = network(source);
    let user = &user[..user.floor_char_boundary(NAME_BYTES)];
    [(source.clone(), None), (source, Some(user.to_owned()))]
}

fn make_room(entries: &mut HashMap<Key, Entry>, key: &Key, now: Timestamp) {
    if entries.len() < MOST_ENTRIES || entries.contains_key(key) {
        return;
    }
    entries.retain(|_, entry| entry.ends > now);
    if entries.len() >= MOST_ENTRIES
        && let Some(oldest) = entries.iter().min_by_key(|(_, entry)| entry.ends).map(|(key, _)| key.clone())
    {
        entries.remove(&oldest);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn failures_lock_one_user_from_one_address_for_a_while() {
        let attempts = Attempts::default();
        for _ in 0..MOST_PER_LOGIN {
            assert_eq!(attempts.begin("here", "ann", 0), Ok(()));
        }
        assert_eq!(attempts.begin("here", "ann", 1000), Err(TooMany { retry_after_s: 59, first: true }));
        assert_eq!(attempts.begin("here", "ann", 1001), Err(TooMany { retry_after_s: 59, first: false }));
        assert_eq!(attempts.begin("there", "ann", 1000), Ok(()));
        assert_eq!(attempts.begin("here", "tom", 1000), Ok(()));
        for n in 0..MOST_PER_LOGIN {
            assert_eq!(attempts.begin(&format!("2001:db8::{n}"), "ann", 0), Ok(()));
        }
        assert!(attempts.begin("2001:db8::ffff:1", "ann", 0).is_err());
        assert_eq!(attempts.begin("here", "ann", WINDOW_MS), Ok(()));
    }

    #[test]
    fn success_starts_anew_and_one_address_can_not_try_all_users() {
        let attempts = Attempts::default();
        for _ in 0..100 {
            assert_eq!(attempts.begin("here", "ann", 0), Ok(()));
            attempts.succeeded("here", "ann");
        }
        for n in 0..MOST_PER_SOURCE {
            assert_eq!(attempts.begin("here", &format!("user{n}"), 0), Ok(()));
        }
        assert!(attempts.begin("here", "one more", 0).is_err());
    }

    proptest! {
        #[test]
        fn memory_is_bounded_and_no_window_lets_more_through(
            tries in proptest::collection::vec((0..4u8, 0..4u8, 0..20_000i64), 1..400),
        ) {
            let attempts = Attempts::default();
            let (mut now, mut passed): (i64, HashMap<(u8, u8), Vec<i64>>) = (0, HashMap::new());
            for (source, user, pause) in tries {
                now += pause;
                if attempts.begin(&source.to_string(), &user.to_string(), now).is_ok() {
                    passed.entry((source, user)).or_default().push(now);
                }
            }
            for times in passed.values() {
                // Two windows may meet, so any stretch as long as one holds at most two windows' worth.
                for start in times {
                    let within = times.iter().filter(|time| (*start..*start + WINDOW_MS).contains(*time)).count();
                    prop_assert!(within <= 2 * MOST_PER_LOGIN as usize);
                }
            }
            prop_assert!(attempts.entries().len() <= MOST_ENTRIES);
        }
    }

    #[test]
    fn a_flood_of_addresses_pushes_out_the_oldest() {
        let attempts = Attempts::default();
        for n in 0..MOST_ENTRIES {
            attempts.begin(&n.to_string(), &"x".repeat(4096), n as i64).unwrap();
        }
        let entries = attempts.entries();
        assert_eq!(entries.len(), MOST_ENTRIES);
        assert!(entries.keys().all(|(_, user)| user.as_ref().is_none_or(|user| user.len() <= NAME_BYTES)));
    }
}
