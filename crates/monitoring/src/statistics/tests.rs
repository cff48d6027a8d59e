//! Against what SciPy, NumPy and scikit-learn say: `tests/fixtures/make_statistics.py`.

use serde_json::Value;

use super::*;

fn fixtures() -> Value {
    serde_json::from_str(include_str!("../../tests/fixtures/statistics.json")).unwrap()
}

/// SplitMix64, as in the script.
pub(crate) fn uniform(seed: u64, n: u64) -> impl Iterator<Item = f64> {
    (1..=n).map(move |step| {
        let mut z = seed.wrapping_add(step.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 * 2f64.powi(-53)
    })
}

fn sample(spec: &Value) -> Sorted {
    if let Some(list) = spec.as_array() {
        return Sorted::new(&list.iter().map(|v| v.as_f64().unwrap()).collect::<Vec<_>>());
    }
    let (scale, shift) = (spec["scale"].as_f64().unwrap_or(1.0), spec["shift"].as_f64().unwrap_or(0.0));
    let values = uniform(spec["seed"].as_u64().unwrap(), spec["n"].as_u64().unwrap()).map(|u| {
        let shaped = match spec["shape"].as_str().unwrap() {
            "squared" => u * u,
            "steps" => (u * 8.0).floor() / 8.0,
            _ => u,
        };
        shaped * scale + shift
    });
    Sorted::new(&values.collect::<Vec<_>>())
}

#[track_caller]
fn close(ours: Option<f64>, theirs: &Value, what: &str) {
    let (ours, theirs) = (ours.unwrap_or_else(|| panic!("{what}: no answer")), theirs.as_f64().unwrap());
    assert!((ours - theirs).abs() <= 1e-9 * theirs.abs().max(1.0), "{what}: {ours} instead of {theirs}");
}

#[track_caller]
fn same(ours: Option<Test>, theirs: &Value, what: &str) {
    close(ours.map(|test| test.statistic), &theirs[0], what);
    close(ours.map(|test| test.p), &theirs[1], &format!("p of {what}"));
    // A tail is worth its order of magnitude too.
    let (p, expected) = (ours.unwrap().p, theirs[1].as_f64().unwrap());
    assert!(expected < 1e-13 || (p / expected - 1.0).abs() < 1e-4, "tail of {what}: {p} instead of {expected}");
}

fn counts(list: &Value) -> Vec<u64> {
    list.as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).collect()
}

fn check_cells(case: &Value, what: &str) {
    let (r, c) = (counts(&case["reference"]), counts(&case["current"]));
    close(population_stability(&r, &c), &case["psi"], &format!("PSI of {what}"));
    close(jensen_shannon(&r, &c, std::f64::consts::E), &case["js_e"], &format!("JS of {what}"));
    close(jensen_shannon(&r, &c, 2.0), &case["js_2"], &format!("JS of {what}"));
    close(hellinger(&r, &c), &case["hellinger"], &format!("Hellinger of {what}"));
    close(l_infinity(&r, &c), &case["l_infinity"], &format!("L∞ of {what}"));
}

#[test]
fn numbers_drift_as_scipy_says() {
    for case in fixtures()["pairs"].as_array().unwrap() {
        let what = format!("{} and {}", case["first"], case["second"]);
        let (a, b) = (sample(&case["first"]), sample(&case["second"]));
        for (method, name) in [(Method::Auto, "ks_auto"), (Method::Exact, "ks_exact"), (Method::Asymptotic, "ks_asymp")]
        {
            if !case[name].is_null() {
                same(kolmogorov_smirnov(&a, &b, method), &case[name], &format!("{name} of {what}"));
            }
        }
        for (side, name) in [
            (Alternative::TwoSided, "mwu_two-sided"),
            (Alternative::Less, "mwu_less"),
            (Alternative::Greater, "mwu_greater"),
        ] {
            same(mann_whitney(&a, &b, side), &case[name], &format!("{name} of {what}"));
        }
        close(wasserstein(&a, &b), &case["wasserstein"], &format!("Wasserstein of {what}"));
        let bins = Bins::quantiles(&a, 10).unwrap();
        close(population_stability(&bins.counts(&a), &bins.counts(&b)), &case["psi"], &format!("PSI of {what}"));
        let bins = Bins::sturges(&a, &b).unwrap();
        assert_eq!(bins.counts(&a), counts(&case["sturges"]["reference"]), "bins of {what}");
        assert_eq!(bins.counts(&b), counts(&case["sturges"]["current"]), "bins of {what}");
        check_cells(&case["sturges"], &what);
        for (q, theirs) in [0.0, 0.01, 0.5, 0.77, 1.0].iter().zip(case["quantiles"].as_array().unwrap()) {
            close(a.quantile(*q), theirs, &format!("quantile of {what}"));
        }
        close(a.deviation(), &case["deviation"], &format!("deviation of {what}"));
    }
}

#[test]
fn categories_drift_as_scipy_says() {
    for case in fixtures()["counts"].as_array().unwrap() {
        let what = format!("{} and {}", case["reference"], case["current"]);
        let (r, c) = (counts(&case["reference"]), counts(&case["current"]));
        check_cells(case, &what);
        if !case["expected"].is_null() {
            same(chi_squared_expected(&r, &c), &case["expected"], &format!("chi² of {what}"));
        }
        if !case["contingency"].is_null() {
            same(chi_squared_contingency(&r, &c), &case["contingency"], &format!("chi² table of {what}"));
        }
    }
    let unseen = chi_squared_expected(&[5, 0], &[5, 1]).unwrap();
    assert_eq!((unseen.statistic, unseen.p), (f64::INFINITY, 0.0));
}

#[test]
fn quality_is_what_scikit_learn_says() {
    let fixtures = fixtures();
    for case in fixtures["classes"].as_array().unwrap() {
        let mut confusion = Confusion::new();
        for (truth, predicted) in counts(&case["truth"]).into_iter().zip(counts(&case["predicted"])) {
            confusion.add(truth, predicted);
        }
        close(confusion.accuracy(), &case["accuracy"], "accuracy");
        for (scores, theirs) in [
            (confusion.averaged(Average::Macro), &case["macro"]),
            (confusion.averaged(Average::Weighted), &case["weighted"]),
            (confusion.of_class(&1), &case["class_1"]),
        ] {
            close(scores.map(|s| s.precision), &theirs[0], "precision");
            close(scores.map(|s| s.recall), &theirs[1], "recall");
            close(scores.map(|s| s.f1), &theirs[2], "F1");
        }
    }
    for case in fixtures["scored"].as_array().unwrap() {
        let positive: Vec<bool> = case["positive"].as_array().unwrap().iter().map(|p| p.as_bool().unwrap()).collect();
        let scores = floats(&case["scores"]);
        close(area_under_curve(&positive, &scores), &case["auc"], "AUC");
        close(log_loss(&positive, &scores), &case["log_loss"], "log loss");
    }
    for case in fixtures["numbers"].as_array().unwrap() {
        let (truth, predicted) = (floats(&case["truth"]), floats(&case["predicted"]));
        close(root_mean_squared_error(&truth, &predicted), &case["rmse"], "RMSE");
        close(mean_absolute_error(&truth, &predicted), &case["mae"], "MAE");
    }
}

fn floats(list: &Value) -> Vec<f64> {
    list.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

#[test]
fn shares_differ_as_the_normal_distribution_says() {
    for case in fixtures()["shares"].as_array().unwrap() {
        let four = counts(&case["shares"]);
        let (first, second) = (Share::new(four[0], four[1]), Share::new(four[2], four[3]));
        for (at, side) in [Alternative::TwoSided, Alternative::Less, Alternative::Greater].into_iter().enumerate() {
            let test = two_proportions(first, second, side);
            close(test.map(|t| t.statistic), &case["z"], "z");
            close(test.map(|t| t.p), &case["p"][at], "p of z");
        }
    }
}

#[test]
fn what_has_no_answer_is_none() {
    let (none, some) = (Sorted::new(&[f64::NAN]), Sorted::new(&[1.0]));
    assert_eq!(none.missing(), 1);
    assert_eq!(kolmogorov_smirnov(&none, &some, Method::Auto), None);
    assert_eq!(mann_whitney(&some, &none, Alternative::TwoSided), None);
    assert_eq!(wasserstein(&none, &some), None);
    assert_eq!(wasserstein(&Sorted::new(&[f64::INFINITY]), &some), None);
    assert_eq!(Bins::quantiles(&none, 10), None);
    assert_eq!(population_stability(&[0, 0], &[1, 1]), None);
    assert_eq!(population_stability(&[1], &[1, 1]), None);
    assert_eq!(jensen_shannon(&[1], &[1], 1.0), None);
    assert_eq!(chi_squared_expected(&[4], &[4]), None);
    assert_eq!(area_under_curve(&[true], &[0.5]), None);
    assert_eq!(log_loss(&[true], &[f64::NAN]), None);
    assert_eq!(two_proportions(Share::new(0, 0), Share::new(1, 2), Alternative::TwoSided), None);
    assert_eq!(Confusion::<u8>::new().accuracy(), None);
    // Infinities have a place in the order.
    let infinite = Sorted::new(&[f64::INFINITY, f64::NEG_INFINITY]);
    assert_eq!(kolmogorov_smirnov_statistic(&infinite, &some), Some(0.5));
    assert_eq!(kolmogorov_smirnov_statistic(&infinite, &infinite), Some(0.0));
}

/// The promise of the sequential test: looked at after each of 200 steps, equal sides are told apart in at most `alpha` of
/// all streams, and sides that differ are found.
#[test]
fn looking_often_costs_nothing() {
    let test = Sequential { alpha: 0.05, ..Sequential::default() };
    let (mut wrong, mut found) = (0, 0);
    const STREAMS: u64 = 400;
    for stream in 0..STREAMS {
        let draws: Vec<f64> = uniform(stream * 7 + 1, 12_000).collect();
        let mut sides = [Moments::default(); 3];
        let (mut equal, mut worse) = (1.0f64, 1.0f64);
        for chunk in draws.chunks(60) {
            for three in chunk.chunks(3) {
                for (side, (draw, rate)) in sides.iter_mut().zip(three.iter().zip([0.05, 0.05, 0.10])) {
                    side.add(f64::from(u8::from(*draw < rate)));
                }
            }
            equal = equal.min(test.p(sides[0], sides[1]).unwrap_or(1.0));
            worse = worse.min(test.p(sides[0], sides[2]).unwrap_or(1.0));
        }
        wrong += u64::from(equal <= test.alpha);
        found += u64::from(worse <= test.alpha);
    }
    assert!(wrong <= STREAMS / 20, "{wrong} of {STREAMS} equal streams were told apart");
    assert!(found > STREAMS * 9 / 10, "{found} of {STREAMS} streams that differ were found");
}

#[test]
fn moments_merge() {
    let values: Vec<f64> = uniform(5, 100).collect();
    let mut whole = Moments::default();
    let (mut head, mut tail) = (Moments::default(), Moments::default());
    for (at, value) in values.iter().enumerate() {
        whole.add(*value);
        if at < 30 { head.add(*value) } else { tail.add(*value) }
    }
    let merged = head.merged(tail);
    assert!((merged.mean - whole.mean).abs() < 1e-12);
    assert!((merged.variance().unwrap() - whole.variance().unwrap()).abs() < 1e-12);
    assert_eq!(Moments::default().merged(whole), whole);
    let share = Moments::of_share(Share::new(1, 2));
    assert_eq!((share.mean, share.variance()), (0.5, Some(0.5)));
}
