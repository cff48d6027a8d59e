//! Distances between samples, tests, and the quality of predictions. Pure functions of slices.
//!
//! What people compare with is SciPy, NumPy and scikit-learn: on the fixtures of `tests/fixtures`, which a script makes with
//! them, every function here gives the same to 1e-9. The definitions and the binning are in the manual.
//!
//! **Missing values**: a [`Sorted`] leaves out NaN and counts it; it keeps infinities, which have a place in every order.
//! What has no answer (an empty sample, one class where two are needed) is `None`, never NaN.

mod categories;
mod chi_squared;
mod counts;
mod histogram;
mod kolmogorov;
mod proportions;
mod quality;
mod ranking;
mod ranks;
mod regression;
mod sequential;
mod smirnov;
mod sorted;
mod special;
#[cfg(test)]
pub(crate) mod tests;
mod wasserstein;

pub use categories::{align, align_by};
pub use chi_squared::{chi_squared_contingency, chi_squared_expected};
pub use counts::{hellinger, jensen_shannon, l_infinity, population_stability};
pub use histogram::{Bins, MOST_BINS};
pub use proportions::{Share, chernoff_above, two_proportions, wilson};
pub use quality::{Average, Confusion, Scores};
pub use ranking::{area_under_curve, log_loss};
pub use ranks::mann_whitney;
pub use regression::{mean_absolute_error, root_mean_squared_error};
pub use sequential::{Moments, Sequential, always_valid_p};
pub use smirnov::{Method, kolmogorov_smirnov, kolmogorov_smirnov_statistic};
pub use sorted::Sorted;
pub use wasserstein::{wasserstein, wasserstein_normed};

/// A statistic and how probable one at least as great is when nothing differs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Test {
    /// The statistic.
    pub statistic: f64,
    /// Within 0 to 1.
    pub p: f64,
}

/// What speaks against equality.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alternative {
    /// The two differ.
    TwoSided,
    /// The first is less.
    Less,
    /// The first is greater.
    Greater,
}

#[cfg(test)]
pub(crate) use tests::uniform as uniform_draws;
