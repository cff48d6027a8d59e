//! Special functions that `libm` lacks.

use std::f64::consts::SQRT_2;

/// Probability that a standard normal variable is above `z`.
pub(super) fn normal_above(z: f64) -> f64 {
    0.5 * libm::erfc(z / SQRT_2)
}

/// Probability that a chi-squared variable with `freedom` degrees is above `x`: Q(freedom/2, x/2).
pub(super) fn chi_squared_above(x: f64, freedom: f64) -> f64 {
    if x.is_infinite() { 0.0 } else { gamma_above(freedom / 2.0, x / 2.0) }
}

/// The regularised upper incomplete gamma function Q(a, x): its series below a + 1, its continued fraction (Lentz's
/// method) above. Abramowitz and Stegun 6.5.29 and 6.5.31.
fn gamma_above(a: f64, x: f64) -> f64 {
    const MOST_STEPS: usize = 100_000;
    if x <= 0.0 {
        return 1.0;
    }
    let front = (a * x.ln() - x - libm::lgamma(a)).exp();
    if x < a + 1.0 {
        let (mut term, mut sum) = (1.0 / a, 1.0 / a);
        for step in 1..MOST_STEPS {
            term *= x / (a + step as f64);
            sum += term;
            if term < sum * f64::EPSILON {
                break;
            }
        }
        return (1.0 - front * sum).clamp(0.0, 1.0);
    }
    let tiny = f64::MIN_POSITIVE / f64::EPSILON;
    let mut b = x + 1.0 - a;
    let mut c = 1.0 / tiny;
    let mut d = 1.0 / b;
    let mut fraction = d;
    for step in 1..MOST_STEPS {
        let numerator = -(step as f64) * (step as f64 - a);
        b += 2.0;
        let denominator = numerator * d + b;
        d = 1.0 / if denominator.abs() < tiny { tiny } else { denominator };
        c = b + numerator / c;
        if c.abs() < tiny {
            c = tiny;
        }
        let change = d * c;
        fraction *= change;
        if (change - 1.0).abs() < f64::EPSILON {
            break;
        }
    }
    (front * fraction).clamp(0.0, 1.0)
}
