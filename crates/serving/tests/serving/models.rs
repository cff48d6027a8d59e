//! Versions: which one answers, how they are swapped, and that memory is freed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use mcplane_core::Error;
use mcplane_serving::Metrics;
use mcplane_serving::engine::tabular::Tabular;
use mcplane_serving::models::Repository;
use mcplane_serving::tensor::{Data, Tensor};

use crate::engine::bytes;

pub(crate) fn repository() -> Arc<Repository> {
    Arc::new(Repository::new(Arc::new(Tabular), Metrics::default()))
}

fn row() -> Tensor {
    Tensor::new(vec![1, 6], Data::F32(vec![0.5; 6])).unwrap()
}

#[test]
fn the_highest_number_answers() {
    let repository = repository();
    assert!(matches!(repository.get("m", None), Err(Error::Missing(_))));
    for version in [2, 10, 9] {
        let loaded = repository.load("m", version, &bytes("forest_names")).unwrap();
        assert!(loaded.took().as_nanos() > 0 && loaded.memory() > 1_000);
    }
    assert_eq!(repository.get("m", None).unwrap().version(), 10);
    assert_eq!(repository.get("m", Some(9)).unwrap().version(), 9);
    assert_eq!(repository.versions("m"), [2, 9, 10]);
    let missing = repository.get("m", Some(3)).unwrap_err().to_string();
    assert_eq!(missing, "model \"m\" has no version 3; it has [2, 9, 10]");
}

#[test]
fn a_broken_version_is_told_of_and_leaves_the_others_alone() {
    let repository = repository();
    repository.load("m", 1, &bytes("ridge")).unwrap();
    let error = repository.load("m", 2, &bytes("knn")).unwrap_err();
    assert!(matches!(&error, Error::BadRequest(message) if message.contains("operator Scan")), "{error}");
    assert_eq!(repository.get("m", None).unwrap().version(), 1);
    assert!(matches!(repository.get("m", Some(2)), Err(Error::Unavailable { .. })));
    assert!(!repository.is_ready());
    let listed = repository.list();
    assert!(listed[0].ready && !listed[1].ready && listed[1].reason.contains("Scan"));
    // A broken successor of the same number does not take the good one away.
    assert!(repository.load("m", 1, b"nothing").is_err());
    assert_eq!(repository.get("m", Some(1)).unwrap().version(), 1);
    assert!(repository.unload("m", 2) && !repository.unload("m", 2));
    assert!(repository.is_ready());
    for (name, version) in [("", 1), ("a/b", 1), ("m", 0)] {
        assert!(matches!(repository.load(name, version, b""), Err(Error::BadRequest(_))));
    }
}

#[test]
fn memory_is_freed_when_the_last_request_ends() {
    let repository = repository();
    let held = repository.load("m", 1, &bytes("forest_names")).unwrap();
    let weak = Arc::downgrade(&held);
    assert!(repository.unload("m", 1));
    assert!(held.infer(&[row()]).is_ok(), "a request ends on the version that it began with");
    drop(held);
    assert!(weak.upgrade().is_none());
}

/// Two models that differ in every answer, swapped as fast as it goes while others ask.
#[test]
fn a_swap_fails_no_request() {
    let repository = repository();
    repository.load("m", 1, &bytes("boosting_regressor")).unwrap();
    let answers: Vec<Vec<Tensor>> = ["boosting_regressor", "forest_regressor"]
        .map(|name| repository.load("other", 1, &bytes(name)).unwrap().infer(&[row()]).unwrap())
        .to_vec();
    let (stop, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let answer = repository.get("m", None).unwrap().infer(&[row()]).unwrap();
                    assert!(answers.contains(&answer), "{answer:?}");
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let swaps = (0..60).map(|index| ["forest_regressor", "boosting_regressor"][index % 2]);
        for name in swaps {
            repository.load("m", 1, &bytes(name)).unwrap();
        }
        while asked.load(Ordering::Relaxed) < 100 {
            std::thread::yield_now();
        }
        stop.store(true, Ordering::Relaxed);
    });
}
