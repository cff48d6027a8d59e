//! How good scores of a positive class are.

/// Area under the receiver operating characteristic: how often a positive has a greater score than a negative, ties
/// halved. Pairs with a NaN score are left out. `None` without both classes or with lists of different lengths.
pub fn area_under_curve(positive: &[bool], scores: &[f64]) -> Option<f64> {
    let mut pairs = paired(positive, scores)?;
    pairs.sort_unstable_by(|a, b| a.1.total_cmp(&b.1));
    let positives = pairs.iter().filter(|(positive, _)| *positive).count() as f64;
    let negatives = pairs.len() as f64 - positives;
    if positives == 0.0 || negatives == 0.0 {
        return None;
    }
    let (mut below, mut wins) = (0.0, 0.0);
    for run in pairs.chunk_by(|a, b| a.1 == b.1) {
        let mine = run.iter().filter(|(positive, _)| *positive).count() as f64;
        let theirs = run.len() as f64 - mine;
        wins += mine * (below + theirs / 2.0);
        below += theirs;
    }
    Some(wins / (positives * negatives))
}

/// Mean negative logarithm of the probability given to what was true; probabilities are kept away from 0 and 1 by the
/// precision of a double, as scikit-learn does. Pairs with NaN are left out. `None` when nothing is left.
pub fn log_loss(positive: &[bool], probabilities: &[f64]) -> Option<f64> {
    let pairs = paired(positive, probabilities)?;
    let loss = |(positive, p): &(bool, f64)| {
        let p = p.clamp(f64::EPSILON, 1.0 - f64::EPSILON);
        -(if *positive { p } else { 1.0 - p }).ln()
    };
    (!pairs.is_empty()).then(|| pairs.iter().map(loss).sum::<f64>() / pairs.len() as f64)
}

fn paired(positive: &[bool], scores: &[f64]) -> Option<Vec<(bool, f64)>> {
    let pairs = positive.iter().copied().zip(scores.iter().map(|score| score + 0.0));
    (positive.len() == scores.len()).then(|| pairs.filter(|(_, score)| !score.is_nan()).collect())
}
