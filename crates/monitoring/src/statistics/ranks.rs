//! The rank-sum test of Mann, Whitney and Wilcoxon: is one sample greater than the other?

use super::special::normal_above;
use super::{Alternative, Sorted, Test};

/// Up to here, and without ties, the smaller sample's distribution is counted, as SciPy decides.
const MOST_EXACT: usize = 8;
/// The larger sample up to which counting is worth its time.
const MOST_LARGER: usize = 100_000;

/// U of the first sample and its p-value: counted when a sample has at most 8 values and there are no ties, else the
/// normal approximation with corrections for ties and continuity. `None` when a sample is empty; p is 1 when all are equal.
pub fn mann_whitney(first: &Sorted, second: &Sorted, alternative: Alternative) -> Option<Test> {
    let (n1, n2) = (first.len(), second.len());
    if n1 == 0 || n2 == 0 {
        return None;
    }
    let Ranks { sum, ties } = ranks(first.values(), second.values());
    let (a, b) = (n1 as f64, n2 as f64);
    let u1 = sum - a * (a + 1.0) / 2.0;
    let u2 = a * b - u1;
    let (u, sides) = match alternative {
        Alternative::Greater => (u1, 1.0),
        Alternative::Less => (u2, 1.0),
        Alternative::TwoSided => (u1.max(u2), 2.0),
    };
    let p = if n1.min(n2) <= MOST_EXACT && n1.max(n2) <= MOST_LARGER && ties == 0.0 {
        counted(n1.min(n2), n1.max(n2), u as usize)
    } else {
        let all = a + b;
        let variance = a * b / 12.0 * (all + 1.0 - ties / (all * (all - 1.0)));
        if variance <= 0.0 { 1.0 } else { normal_above((u - a * b / 2.0 - 0.5) / variance.sqrt()) }
    };
    Some(Test { statistic: u1, p: (p * sides).clamp(0.0, 1.0) })
}

struct Ranks {
    /// Of the ranks of the first sample.
    sum: f64,
    /// Σ t³ - t over runs of equal values.
    ties: f64,
}

fn ranks(a: &[f64], b: &[f64]) -> Ranks {
    let (mut i, mut j, mut sum, mut ties) = (0, 0, 0.0, 0.0);
    while i < a.len() || j < b.len() {
        let value = match (a.get(i), b.get(j)) {
            (Some(x), Some(y)) => x.min(*y),
            (Some(x), None) => *x,
            (None, y) => y.copied().unwrap_or(f64::INFINITY),
        };
        let mine = a[i..].iter().take_while(|x| **x == value).count();
        let theirs = b[j..].iter().take_while(|y| **y == value).count();
        let run = (mine + theirs) as f64;
        sum += mine as f64 * ((i + j) as f64 + (run + 1.0) / 2.0);
        ties += run * run * run - run;
        i += mine;
        j += theirs;
    }
    Ranks { sum, ties }
}

/// P(U ≥ u) for m ≤ n values without ties. The number of ways to a sum is a coefficient of Gauss's binomial
/// Π (1 - q^(n+i)) / (1 - q^i); multiplied out factor by factor, as shares of all ways so that nothing overflows.
fn counted(m: usize, n: usize, u: usize) -> f64 {
    // The distribution is symmetric, and the lower half is summed: it is where the terms are few.
    let complement = m * n - u.min(m * n);
    let (upto, lower) = if u < complement { (u, true) } else { (complement, false) };
    let mut ways = vec![0.0; upto + 1];
    ways[0] = 1.0;
    for i in 1..=m {
        for at in (n + i..=upto).rev() {
            ways[at] -= ways[at - n - i];
        }
        for at in i..=upto {
            ways[at] += ways[at - i];
        }
        // Choosing i of n + i: one factor of the number of all ways.
        let all = (n + i) as f64 / i as f64;
        ways.iter_mut().for_each(|way| *way /= all);
    }
    let sum: f64 = ways.iter().sum();
    if lower { 1.0 - sum + ways[upto] } else { sum }
}
