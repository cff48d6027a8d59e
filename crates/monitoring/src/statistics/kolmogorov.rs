//! The distribution of Kolmogorov's statistic for a finite sample: how probable a distance of at least x is between an
//! empirical distribution of n values and the true one. Two-sample tests take it as their limit, with n1·n2 / (n1 + n2).
//!
//! Which formula serves where follows Simard and L'Ecuyer, "Computing the Two-Sided Kolmogorov-Smirnov Distribution",
//! Journal of Statistical Software 39 (2011), as SciPy does, with Durbin's matrix where they use Pomeranz's recursion (both
//! are exact).

use std::f64::consts::PI;

/// Values up to which the one-sided distribution is summed term by term. Beyond, the expansion serves until p is below
/// 10^-7, and an approximation with five digits after that.
const MOST_TERMS: f64 = 100_000.0;
const SCALE_BITS: i32 = 128;

/// P(D ≥ x) for `n` values.
pub(super) fn above(n: u64, x: f64) -> f64 {
    let size = n as f64;
    let t = size * x;
    if n == 0 || t <= 0.5 {
        return 1.0;
    }
    if x >= 1.0 {
        return 0.0;
    }
    let squared = t * x;
    let p = if t <= 1.0 {
        // Ruben and Gambino: n!/n^n (2t - 1)^n.
        let inside = libm::lgamma(size + 1.0) - size * size.ln() + size * (2.0 * t - 1.0).ln();
        1.0 - inside.exp()
    } else if t >= size - 1.0 {
        2.0 * (1.0 - x).powf(size)
    } else if x >= 0.5 || squared >= if n <= 140 { 4.0 } else { 2.2 } {
        2.0 * one_sided(size, x)
    } else if n <= 140 || (size <= 100_000.0 && size * x.powf(1.5) <= 1.4) {
        1.0 - durbin(n, x)
    } else {
        1.0 - pelz_good(size, x)
    };
    p.clamp(0.0, 1.0)
}

/// P(D⁺ ≥ x), Smirnov's one-sided distribution; for a great `n` half of the two-sided one, and in the far tail Maag and
/// Dicaire's approximation.
fn one_sided(n: f64, x: f64) -> f64 {
    if n * x * x >= 370.0 {
        return 0.0;
    }
    if n > MOST_TERMS {
        // Of the two-sided one only the next term of the series is missing, until rounding hides what is left.
        let twice = 1.0 - pelz_good(n, x) + 2.0 * (-8.0 * n * x * x).exp();
        let far = (-(6.0 * n * x + 1.0).powi(2) / (18.0 * n)).exp();
        return if n * x * x < 9.0 { twice / 2.0 } else { far };
    }
    // x Σ C(n, v) (x + v/n)^(v-1) (1 - x - v/n)^(n-v), every term positive.
    let all = libm::lgamma(n + 1.0);
    let last = (n * (1.0 - x)).floor() as u64;
    let mut sum = 0.0;
    for index in 0..=last {
        let v = index as f64;
        let (share, rest) = (x + v / n, 1.0 - x - v / n);
        let choose = all - libm::lgamma(v + 1.0) - libm::lgamma(n - v + 1.0);
        if rest > 0.0 {
            sum += (choose + (v - 1.0) * share.ln() + (n - v) * rest.ln()).exp();
        } else if v == n {
            sum += share.powf(v - 1.0);
        }
    }
    x * sum
}

/// P(D ≤ x) by Durbin's matrix, in the way of Marsaglia, Tsang and Wang (2003).
fn durbin(n: u64, x: f64) -> f64 {
    let t = n as f64 * x;
    let k = t.ceil() as usize;
    let h = k as f64 - t;
    let m = 2 * k - 1;
    let mut matrix = first_matrix(m, h);
    let mut product: Vec<f64> = (0..m * m).map(|at| if at / m == at % m { 1.0 } else { 0.0 }).collect();
    let (mut matrix_bits, mut bits) = (0, 0);
    let (mut power, scale) = (n, 2f64.powi(SCALE_BITS));
    let middle = (k - 1) * m + k - 1;
    while power > 0 {
        if power % 2 == 1 {
            product = multiplied(&product, &matrix, m);
            bits += matrix_bits;
        }
        matrix = multiplied(&matrix, &matrix, m);
        matrix_bits *= 2;
        if matrix[middle].abs() > scale {
            matrix.iter_mut().for_each(|entry| *entry /= scale);
            matrix_bits += SCALE_BITS;
        }
        power /= 2;
    }
    let mut p = product[middle];
    for i in 1..=n {
        p *= i as f64 / n as f64;
        if p.abs() < 1.0 / scale {
            p *= scale;
            bits -= SCALE_BITS;
        }
    }
    libm::ldexp(p, bits)
}

/// H of the paper: 1/(i - j + 1)! on and below the first superdiagonal, corrected by h in the first column and last row.
fn first_matrix(m: usize, h: f64) -> Vec<f64> {
    let mut inverse = vec![1.0; m + 1];
    for j in 1..=m {
        inverse[j] = inverse[j - 1] / j as f64;
    }
    let mut column: Vec<f64> = (1..=m).map(|j| (1.0 - h.powi(j as i32)) * inverse[j]).collect();
    let corner = 1.0 - 2.0 * h.powi(m as i32) + (2.0 * h - 1.0).max(0.0).powi(m as i32);
    column[m - 1] = corner * inverse[m];
    let mut matrix = vec![0.0; m * m];
    for i in 0..m {
        for j in 0..=(i + 1).min(m - 1) {
            matrix[i * m + j] = inverse[i + 1 - j];
        }
    }
    for i in 0..m {
        matrix[i * m] = column[i];
        matrix[(m - 1) * m + i] = column[m - 1 - i];
    }
    matrix
}

fn multiplied(left: &[f64], right: &[f64], m: usize) -> Vec<f64> {
    let mut out = vec![0.0; m * m];
    for (row, target) in left.chunks_exact(m).zip(out.chunks_exact_mut(m)) {
        for (factor, line) in row.iter().zip(right.chunks_exact(m)) {
            if *factor != 0.0 {
                target.iter_mut().zip(line).for_each(|(sum, entry)| *sum += factor * entry);
            }
        }
    }
    out
}

/// P(D ≤ x) by Pelz and Good's expansion in 1/√n (1976), good to ten digits for the n that it is used for.
fn pelz_good(n: f64, x: f64) -> f64 {
    let z = n.sqrt() * x;
    let (z2, z4, z6) = (z * z, z.powi(4), z.powi(6));
    let (p2, p4, p6) = (PI.powi(2), PI.powi(4), PI.powi(6));
    let log_q = -p2 / 8.0 / z2;
    if log_q < -708.0 {
        return 0.0;
    }
    let q = log_q.exp();
    let terms = (16.0 * z / PI).ceil() as u32;
    let mut sums = [0.0; 4];
    // Horner's scheme over q^((2k-1)²), which steps by q^(8k).
    for k in (1..=terms).rev() {
        let m2 = f64::from(2 * k - 1).powi(2);
        let (m4, m6) = (m2 * m2, m2 * m2 * m2);
        let step = q.powf(8.0 * f64::from(k));
        let terms = [
            1.0,
            p2 / 4.0 * m2 - z2,
            6.0 * z6 + 2.0 * z4 + (2.0 * z4 - 5.0 * z2) * p2 / 4.0 * m2 + p4 * (1.0 - 2.0 * z2) / 16.0 * m4,
            -30.0 * z6 - 90.0 * z.powi(8)
                + p2 * (135.0 * z4 - 96.0 * z6) / 4.0 * m2
                + p4 * (212.0 * z4 - 60.0 * z2) / 16.0 * m4
                + p6 * (5.0 - 30.0 * z2) / 64.0 * m6,
        ];
        sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum = *sum * step + term);
    }
    let root = (2.0 * PI).sqrt();
    let divisors = [z, 6.0 * z4, 72.0 * z.powi(7), 6480.0 * z.powi(10)];
    sums.iter_mut().zip(divisors).for_each(|(sum, divisor)| *sum *= q * root / divisor);
    let q = (-p2 / 2.0 / z2).exp();
    let (mut second, mut third) = (0.0, 0.0);
    for k in (1..=terms).rev() {
        let k2 = f64::from(k).powi(2);
        let weight = k2 * q.powf(k2);
        second += weight;
        third += (3.0 * z2 - p2 * k2) * weight;
    }
    sums[2] -= second * p2 * root / (36.0 * z * z2);
    sums[3] += third * p2 * root / (216.0 * z6);
    sums[0] + sums[1] / n.sqrt() + sums[2] / n + sums[3] / n.powf(1.5)
}
