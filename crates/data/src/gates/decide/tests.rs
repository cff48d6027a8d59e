//! Numbers as scikit-learn and SciPy have them (`expected.json`, of `rows.csv`), and what is decided of them.

use serde_json::{Value, json};

use super::*;
use crate::columns::{Compression, CsvFormat, Limits, Table};

fn policy(text: Value) -> Policy {
    serde_json::from_value(text).unwrap()
}

fn columns(regression: bool) -> Value {
    if regression {
        json!({"label": "y", "prediction": "ya", "championPrediction": "yb"})
    } else {
        json!({"label": "label", "prediction": "prediction", "score": "score",
               "championPrediction": "champion", "championScore": "champion_score"})
    }
}

fn sample(policy: &Policy, text: &str) -> Result<Sample, Fault> {
    let table = Table::csv(text.as_bytes(), Compression::None, &CsvFormat::default(), &Limits::default())?;
    Sample::read(table, policy)
}

fn measured(policy: &Policy) -> Evaluation {
    evaluate(policy, &sample(policy, include_str!("rows.csv")).unwrap(), "rows.csv").unwrap()
}

fn expected() -> Value {
    serde_json::from_str(include_str!("expected.json")).unwrap()
}

#[track_caller]
fn close(found: f64, expected: &Value) {
    let expected = expected.as_f64().unwrap();
    assert!((found - expected).abs() < 1e-9, "{found} for {expected}");
}

#[test]
fn numbers_are_those_of_the_usual_libraries() {
    let expected = expected();
    for metric in Metric::ALL {
        let (name, regression) = (metric.name(), matches!(metric, Metric::Rmse | Metric::Mae));
        let policy = policy(json!({
            "columns": columns(regression),
            "comparison": {"metric": name, "resamples": 200, "seed": 7, "confidence": 0.9},
        }));
        assert_eq!(policy.faults(), []);
        let found = measured(&policy);
        close(found.challenger[&metric], &expected["metrics"]["challenger"][name]);
        close(found.champion[&metric], &expected["metrics"]["champion"][name]);
        let difference = found.comparison.unwrap();
        let of = &expected["bootstrap"][name];
        close(difference.difference, &of["difference"]);
        close(difference.lower, &of["interval"][0]);
        close(difference.upper, &of["interval"][1]);
    }
    let policy = policy(json!({
        "columns": columns(false), "comparison": {"metric": "accuracy", "method": "mcnemar", "confidence": 0.9},
    }));
    let found = measured(&policy).comparison.unwrap();
    let of = &expected["mcnemar"];
    for (found, name) in [(found.difference, "difference"), (found.lower, "lower"), (found.upper, "upper")] {
        close(found, &of[name]);
    }
    close(found.p_value.unwrap(), &of["pValue"]);
}

#[test]
fn thresholds_and_comparisons_decide() {
    let verdict = |more: Value| {
        let mut text = json!({"columns": columns(false)});
        text.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let policy = policy(text);
        decide(&policy, &measured(&policy))
    };
    let better = json!({"metric": "accuracy", "resamples": 200});
    assert_eq!(verdict(json!({"thresholds": [{"metric": "accuracy", "min": 0.7}]})).0, Verdict::Pass);
    let (refused, reasons) =
        verdict(json!({"thresholds": [{"metric": "accuracy", "min": 0.99}, {"metric": "f1", "min": 0.1}]}));
    assert_eq!(refused, Verdict::Refuse);
    assert!(reasons[0].starts_with("Refuse: accuracy is 0.") && reasons[0].ends_with("and must be at least 0.99"));
    assert!(reasons[1].starts_with("Pass: f1 is"), "{reasons:?}");
    assert_eq!(verdict(json!({"thresholds": [{"metric": "logLoss", "max": 0.001}]})).0, Verdict::Refuse);
    assert_eq!(verdict(json!({"comparison": better})).0, Verdict::Pass);
    assert_eq!(verdict(json!({"comparison": better, "minRows": 1000})).0, Verdict::Inconclusive);
    // The same the other way round: the serving model is better.
    let mut swapped = json!({"columns": {"label": "label", "prediction": "champion", "championPrediction": "prediction"},
                             "comparison": better});
    let worse = policy(swapped.clone());
    assert_eq!(decide(&worse, &measured(&worse)).0, Verdict::Refuse);
    swapped["comparison"]["margin"] = 0.5.into();
    let lenient = policy(swapped);
    assert_eq!(decide(&lenient, &measured(&lenient)).0, Verdict::Pass);
    // A model is not shown to be better than itself.
    let itself =
        policy(json!({"columns": {"label": "label", "prediction": "prediction", "championPrediction": "prediction"},
                               "comparison": better}));
    assert_eq!(decide(&itself, &measured(&itself)).0, Verdict::Inconclusive);
}

#[test]
fn a_first_model_has_nobody_to_beat() {
    let first = |optional: bool| {
        policy(json!({
            "columns": {"label": "l", "prediction": "p", "championPrediction": "c"}, "minRows": 1,
            "comparison": {"metric": "accuracy", "optional": optional},
        }))
    };
    for (optional, verdict) in [(true, Verdict::Pass), (false, Verdict::Refuse)] {
        let policy = first(optional);
        let sample = sample(&policy, "l,p\n1,1.0\ntrue,0\n").unwrap();
        let found = evaluate(&policy, &sample, "f").unwrap();
        assert_eq!(found.challenger[&Metric::Accuracy], 0.5, "1, 1.0 and true are one class");
        assert_eq!(decide(&policy, &found).0, verdict);
    }
}

#[test]
fn files_that_do_not_fit_are_refused() {
    let policy = policy(json!({
        "columns": {"label": "l", "prediction": "p", "score": "s"}, "thresholds": [{"metric": "auc", "min": 0.5}],
    }));
    let fault = |text: &str| sample(&policy, text).unwrap_err().to_string();
    assert_eq!(fault("l,p\n1,1\n"), "column \"s\": the file has no such column, and the gate names it");
    assert_eq!(fault("l,p,s\n1,1,0.5\n,1,0.5\n"), "column \"l\", row 2: \"\" is no label, and every row needs one");
    assert_eq!(fault("l,p,s\n1,1,x\n"), "column \"s\", row 1: \"x\" is no finite number, and every row needs one");
    // One class has no curve: the metric is undefined, and that refuses.
    let one = evaluate(&policy, &sample(&policy, "l,p,s\n1,1,0.5\n1,1,0.7\n").unwrap(), "f").unwrap();
    assert!(!one.challenger.contains_key(&Metric::Auc));
    assert_eq!(decide(&policy, &one).0, Verdict::Refuse);
}

#[test]
fn rules_of_gates_are_told() {
    let bad = policy(json!({
        "columns": {"label": "l", "prediction": "p"},
        "thresholds": [{"metric": "auc"}, {"metric": "rmse", "max": 1}],
        "comparison": {"metric": "f1", "margin": -1, "confidence": 1, "resamples": 5, "method": "mcnemar"},
    }));
    let told: Vec<String> = bad.faults().iter().map(ToString::to_string).collect();
    for part in [
        "thresholds[0]: Required",
        "columns.score",
        "championPrediction",
        "confidence",
        "margin",
        "resamples",
        "method",
        "use two gates",
    ] {
        assert!(told.iter().any(|fault| fault.contains(part)), "{part} in {told:#?}");
    }
}
