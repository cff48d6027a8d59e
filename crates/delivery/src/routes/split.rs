//! Shares of destinations.

/// Whose share a request belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key<'a> {
    /// A user, who stays where they are.
    User(&'a str),
    /// The number of a request that names nobody.
    Counter(u64),
}

/// Weights of some destinations, compiled.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// Index, weight and hash of the name of those that have a weight.
    parts: Vec<(usize, f64, u64)>,
    total: f64,
}

/// 2^64 over the golden ratio: its multiples are spread as evenly as can be, however many there are.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

impl Split {
    /// Weights by name; a name must be the same for the same version whatever the order, so that users stay. `None` when
    /// no weight is above 0.
    pub fn new<'a>(parts: impl IntoIterator<Item = (&'a str, u32)>) -> Option<Self> {
        let parts: Vec<(usize, f64, u64)> = parts
            .into_iter()
            .enumerate()
            .filter(|(_, (_, weight))| *weight > 0)
            .map(|(index, (name, weight))| (index, f64::from(weight), hash(name.as_bytes())))
            .collect();
        let total = parts.iter().map(|(_, weight, _)| weight).sum();
        (!parts.is_empty()).then_some(Self { parts, total })
    }

    /// The index of the destination.
    pub fn choose(&self, key: Key<'_>) -> usize {
        if let [(only, ..)] = self.parts.as_slice() {
            return *only;
        }
        match key {
            Key::User(user) => self.by_user(hash(user.as_bytes())),
            Key::Counter(number) => self.by_position(unit(number.wrapping_mul(GOLDEN))),
        }
    }

    /// The share of a destination, 0 to 1.
    pub fn share(&self, index: usize) -> f64 {
        self.parts.iter().find(|(at, ..)| *at == index).map_or(0.0, |(_, weight, _)| weight / self.total)
    }

    fn by_user(&self, user: u64) -> usize {
        let (mut best, mut highest) = (0, f64::NEG_INFINITY);
        for (index, weight, name) in &self.parts {
            let score = -weight / unit(mixed(user ^ name)).ln();
            if score > highest {
                (best, highest) = (*index, score);
            }
        }
        best
    }

    fn by_position(&self, position: f64) -> usize {
        let mut left = position * self.total;
        for (index, weight, _) in &self.parts {
            if left < *weight {
                return *index;
            }
            left -= weight;
        }
        self.parts.last().map_or(0, |(index, ..)| *index)
    }
}

/// FNV-1a: the same on every machine and in every version of this program, which is what stickiness rests on.
fn hash(bytes: &[u8]) -> u64 {
    mixed(
        bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)),
    )
}

/// SplitMix64's last step, so that every bit depends on every other.
fn mixed(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Within 0 to 1, neither of them.
fn unit(bits: u64) -> f64 {
    ((bits >> 12) as f64 + 0.5) / (1u64 << 52) as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn users(split: &Split, n: u32) -> Vec<usize> {
        (0..n).map(|user| split.choose(Key::User(&format!("user-{user}")))).collect()
    }

    /// Within five standard deviations of a binomial.
    #[track_caller]
    fn near(count: usize, n: usize, share: f64) {
        let (expected, deviation) = (n as f64 * share, (n as f64 * share * (1.0 - share)).sqrt());
        assert!((count as f64 - expected).abs() <= 5.0 * deviation + 1.0, "{count} of {n} instead of {expected}");
    }

    #[test]
    fn users_are_spread_by_weight_and_stay() {
        for weights in [&[90, 10][..], &[99, 1], &[1, 1, 1], &[50, 0, 30, 20], &[5, 95, 100, 800]] {
            let names = ["v1", "v2", "v3", "v4"];
            let split = Split::new(names.into_iter().zip(weights.iter().copied())).unwrap();
            let chosen = users(&split, 20_000);
            for index in 0..weights.len() {
                near(chosen.iter().filter(|at| **at == index).count(), chosen.len(), split.share(index));
            }
            assert_eq!(users(&split, 20_000), chosen);
        }
    }

    #[test]
    fn a_change_moves_the_fewest() {
        let split = |a, b, c| Split::new([("v1", a), ("v2", b), ("v3", c)]).unwrap();
        let (before, after) = (users(&split(80, 10, 10), 20_000), users(&split(70, 20, 10), 20_000));
        let moved: Vec<(usize, usize)> =
            before.iter().zip(&after).filter(|(a, b)| a != b).map(|(a, b)| (*a, *b)).collect();
        assert!(moved.iter().all(|(_, to)| *to != 0), "nobody moves to what lost weight");
        near(moved.iter().filter(|(_, to)| *to == 1).count(), before.len(), 0.10);
        // More than two weights change relative to another, so a few move between the other two as well.
        assert!(moved.len() < 20_000 * 13 / 100, "{} moved", moved.len());
        let turned = Split::new([("v3", 10), ("v1", 80), ("v2", 10)]).unwrap();
        let names =
            |chosen: Vec<usize>, order: [&'static str; 3]| chosen.into_iter().map(|at| order[at]).collect::<Vec<_>>();
        assert_eq!(names(before, ["v1", "v2", "v3"]), names(users(&turned, 20_000), ["v3", "v1", "v2"]));
    }

    #[test]
    fn versions_by_hand() {
        // Chosen once; a change of the hash would move every user of every installation.
        let split = Split::new([("v1", 50), ("v2", 50)]).unwrap();
        let chosen: String = users(&split, 32).iter().map(|at| char::from(b'0' + *at as u8)).collect();
        assert_eq!(chosen, "01000001101011010011110111010100");
    }

    proptest! {
        #[test]
        fn counted_requests_are_nearly_exact(weights in prop::collection::vec(0u32..100, 1..5), start: u32, n in 1u64..3_000) {
            let names = ["a", "b", "c", "d", "e"];
            let Some(split) = Split::new(names.into_iter().zip(weights.iter().copied())) else {
                prop_assert!(weights.iter().all(|weight| *weight == 0));
                return Ok(());
            };
            let mut counts = vec![0u32; weights.len()];
            for number in 0..n {
                counts[split.choose(Key::Counter(u64::from(start) + number))] += 1;
            }
            for (index, count) in counts.iter().enumerate() {
                let expected = split.share(index) * n as f64;
                prop_assert!((f64::from(*count) - expected).abs() < 10.0, "{count} instead of {expected} of {n}");
                prop_assert!(weights[index] > 0 || *count == 0);
            }
        }

        #[test]
        fn more_weight_only_attracts(user in ".{0,20}", a in 1u32..100, b in 1u32..100, more in 1u32..100) {
            let chosen = |b| Split::new([("v1", a), ("v2", b)]).unwrap().choose(Key::User(&user));
            prop_assert!(chosen(b) == 0 || chosen(b + more) == 1);
        }
    }
}
