//! The two-sample test of Kolmogorov and Smirnov.

use super::{Sorted, Test, kolmogorov};

/// How the p-value is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Method {
    /// Exact while both samples have at most 10,000 values, as SciPy decides.
    #[default]
    Auto,
    /// By counting; asymptotic all the same where n1·n2 over the square of their greatest common divisor has more than 31 bits.
    Exact,
    /// By the distribution for one sample of n1·n2 / (n1 + n2) values; constant time.
    Asymptotic,
}

const MOST_EXACT: usize = 10_000;

/// The two-sided test that two samples come from one distribution; `None` when one of them is empty.
pub fn kolmogorov_smirnov(first: &Sorted, second: &Sorted, method: Method) -> Option<Test> {
    let greatest = distance(first.values(), second.values())?;
    let (n1, n2) = (first.len() as u64, second.len() as u64);
    let divisor = gcd(n1, n2);
    let statistic = greatest as f64 / (n1 as f64 * n2 as f64);
    let countable = (n1 / divisor).saturating_mul(n2 / divisor) < 1 << 31;
    let exact = match method {
        Method::Auto => first.len().max(second.len()) <= MOST_EXACT,
        Method::Exact => countable,
        Method::Asymptotic => false,
    };
    let p = if exact {
        let height = greatest / divisor;
        if n1 == n2 { outside_square(n1, height) } else { outside(n1, n2, divisor, height) }
    } else {
        let (m, n) = (n1.max(n2) as f64, n1.min(n2) as f64);
        kolmogorov::above((m * n / (m + n)).round_ties_even() as u64, statistic)
    };
    Some(Test { statistic, p: p.clamp(0.0, 1.0) })
}

/// Only the statistic: the greatest distance between the two empirical distributions, 0 to 1.
pub fn kolmogorov_smirnov_statistic(first: &Sorted, second: &Sorted) -> Option<f64> {
    let greatest = distance(first.values(), second.values())?;
    Some(greatest as f64 / (first.len() as f64 * second.len() as f64))
}

/// The greatest |i·n2 - j·n1| over all values, where i and j count what is not above the value: the statistic as an
/// integer, so that ties and rounding change nothing.
fn distance(a: &[f64], b: &[f64]) -> Option<u64> {
    let (last_a, last_b) = (a.last()?, b.last()?);
    let (n1, n2) = (a.len() as i64, b.len() as i64);
    let (mut i, mut j, mut greatest) = (0usize, 0usize, 0i64);
    while i < a.len() && j < b.len() {
        let (x, y) = (a[i], b[j]);
        let value = x.min(y);
        i += usize::from(x <= y);
        j += usize::from(y <= x);
        // Within a run of equal values the counts mean nothing yet. At an end, what is behind it is the greatest anyway.
        let next = if i < a.len() { a[i] } else { f64::INFINITY };
        let other = if j < b.len() { b[j] } else { f64::INFINITY };
        let apart = (i as i64 * n2 - j as i64 * n1).abs();
        greatest = greatest.max(if (next > value) & (other > value) { apart } else { 0 });
    }
    // One side is used up; the rest of its last value's run on the other side still counts together.
    let value = last_a.min(*last_b);
    i += a[i..].iter().take_while(|x| **x <= value).count();
    j += b[j..].iter().take_while(|y| **y <= value).count();
    Some(greatest.max((i as i64 * n2 - j as i64 * n1).abs()).unsigned_abs())
}

/// How probable it is that a random path from (0, 0) to (n, n) reaches a distance of `height` from the diagonal: the
/// alternating sum of binomial coefficients (Gnedenko and Korolyuk), in Horner's form.
fn outside_square(n: u64, height: u64) -> f64 {
    if height == 0 {
        return 1.0;
    }
    let mut p = 0.0;
    for k in (0..=n / height).rev() {
        let from = k * height;
        let factor: f64 = (0..height).map(|j| n.saturating_sub(from + j) as f64 / (n + from + j + 1) as f64).product();
        p = factor * (1.0 - p);
    }
    2.0 * p
}

/// The same from (0, 0) to (n1, n2), where the distance of (x, y) is |x·n2 - y·n1| over `divisor`. A row of the lattice at
/// a time: the probability to be at each point without having been outside, from which what steps out is summed up.
fn outside(n1: u64, n2: u64, divisor: u64, height: u64) -> f64 {
    if height == 0 {
        return 1.0;
    }
    let (long, short) = (n1.max(n2), n1.min(n2));
    let (slope, step) = ((short / divisor) as i64, (long / divisor) as i64);
    let (height, width) = (height as i64, short as usize);
    // Inside at (x, y): |x·slope - y·step| < height, so y runs from `low(x)` to `high(x)`.
    let low = |x: i64| ((x * slope - height).div_euclid(step) + 1).max(0) as usize;
    let high = |x: i64| (((x * slope + height - 1).div_euclid(step)) as usize).min(width);
    let total = (long + short) as f64;
    let mut row = vec![0.0; width + 2];
    row[0] = 1.0;
    let mut out = 0.0;
    // Upwards along one column, then each point steps to the next column.
    for x in 0..=long as i64 {
        let (first, last) = (low(x), high(x));
        let ahead = (long as i64 - x) as f64;
        let next_first = if x < long as i64 { low(x + 1) } else { 0 };
        let mut came = 0.0;
        for (y, point) in row.iter_mut().enumerate().take(last + 1).skip(first) {
            let here = *point + came;
            let left = total - x as f64 - y as f64;
            let (sideways, up) = if left > 0.0 { (ahead / left, (width - y) as f64 / left) } else { (0.0, 0.0) };
            came = here * up;
            *point = here * sideways;
            if y < next_first {
                out += *point;
                *point = 0.0;
            }
        }
        if last < width {
            out += came;
        }
    }
    out
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
