use proptest::prelude::*;
use serde_json::json;

use super::*;

fn range(limits: &Value) -> LimitRange {
    LimitRange::from_object(&json!({"spec": {"limits": limits}})).unwrap()
}

fn trainer() -> Value {
    json!({
        "metadata": {"name": "train-1"},
        "spec": {
            "initContainers": [{"name": "fetch"}],
            "containers": [
                {"name": "train", "image": "trainer:1", "resources": {
                    "requests": {"memory": "2Gi"}, "limits": {"cpu": "2", "memory": "4Gi"}}},
                {"name": "metrics", "resources": null}
            ]
        }
    })
}

fn refusal(limits: &Value, pod: &Value) -> String {
    match admit_pod(&[range(limits)], &mut pod.clone()) {
        Err(Refusal::Forbidden(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

fn one_container(resources: &Value) -> Value {
    json!({"spec": {"containers": [{"name": "c", "resources": resources}]}})
}

#[test]
fn containers_get_what_they_leave_out() {
    let limits = json!([{"type": "Container",
        "default": {"cpu": "500m", "memory": "512Mi"}, "defaultRequest": {"cpu": "100m"}}]);
    let mut pod = trainer();
    admit_pod(&[range(&limits)], &mut pod).unwrap();
    assert_eq!(
        pod["spec"]["containers"],
        json!([
            {"name": "train", "image": "trainer:1", "resources": {
                "requests": {"cpu": "2", "memory": "2Gi"}, "limits": {"cpu": "2", "memory": "4Gi"}}},
            {"name": "metrics", "resources": {
                "requests": {"cpu": "100m", "memory": "512Mi"}, "limits": {"cpu": "500m", "memory": "512Mi"}}}
        ])
    );
    assert_eq!(
        pod["metadata"]["annotations"][ANNOTATION],
        "LimitRanger plugin set: cpu, memory request for container metrics; cpu, memory limit for container metrics; \
         cpu, memory request for init container fetch; cpu, memory limit for init container fetch"
    );
    let once = pod.clone();
    admit_pod(&[range(&limits)], &mut pod).unwrap();
    assert_eq!(pod, once);
}

#[test]
fn without_limit_ranges_only_requests_follow_limits() {
    let mut pod = trainer();
    admit_pod(&[], &mut pod).unwrap();
    assert_eq!(pod["spec"]["containers"][0]["resources"]["requests"], json!({"cpu": "2", "memory": "2Gi"}));
    assert_eq!(pod["spec"]["containers"][1], trainer()["spec"]["containers"][1]);
    assert_eq!(pod["metadata"], trainer()["metadata"]);
}

#[test]
fn a_limit_range_completes_itself() {
    let mut spec = json!({"limits": [
        {"type": "Container", "max": {"cpu": "2"}, "min": {"memory": "64Mi"}, "default": {"memory": "1Gi"}},
        {"type": "Container", "min": {"cpu": "10m"}},
        {"type": "Pod", "max": {"cpu": "4"}}
    ]});
    set_defaults(&mut spec);
    assert_eq!(spec["limits"][0]["default"], json!({"cpu": "2", "memory": "1Gi"}));
    assert_eq!(spec["limits"][0]["defaultRequest"], json!({"cpu": "2", "memory": "1Gi"}));
    assert_eq!(spec["limits"][1]["defaultRequest"], json!({"cpu": "10m"}));
    assert_eq!(spec["limits"][2], json!({"type": "Pod", "max": {"cpu": "4"}}));
}

#[test]
fn bounds_of_containers() {
    let bounds = json!([{"type": "Container", "min": {"cpu": "100m"}, "max": {"cpu": "1", "memory": "1Gi"}}]);
    for (resources, reason) in [
        (json!({"requests": {"cpu": "50m"}}), "minimum cpu usage per Container is 100m, but request is 50m"),
        (
            json!({"limits": {"cpu": "2"}, "requests": {"cpu": "1"}}),
            "maximum cpu usage per Container is 1, but limit is 2",
        ),
        (
            json!({"requests": {"cpu": "50m"}, "limits": {"cpu": "60m", "memory": "1025Mi"}}),
            "[minimum cpu usage per Container is 100m, but request is 50m, \
             maximum memory usage per Container is 1Gi, but limit is 1025Mi]",
        ),
        (
            json!({"requests": {"cpu": "200m"}, "limits": {"cpu": "60m"}}),
            "minimum cpu usage per Container is 100m, but limit is 60m",
        ),
        (
            json!({"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}),
            "maximum cpu usage per Container is 1, but request is 2",
        ),
    ] {
        assert_eq!(refusal(&bounds, &one_container(&resources)), reason, "{resources}");
    }
    let mut fits = one_container(&json!({"requests": {"cpu": "100m"}, "limits": {"cpu": "1"}}));
    assert_eq!(admit_pod(&[range(&bounds)], &mut fits), Ok(()));
}

#[test]
fn bounds_of_pods() {
    let bounds = json!([{"type": "Pod", "min": {"cpu": "1"}, "max": {"memory": "4Gi"}}]);
    let two = |requests: Value, limits: Value| {
        let container = |name: &str| json!({"name": name, "resources": {"requests": requests, "limits": limits}});
        json!({"spec": {"containers": [container("a"), container("b")]}})
    };
    assert_eq!(
        refusal(&bounds, &two(json!({"cpu": "1"}), json!({"memory": "3Gi"}))),
        "maximum memory usage per Pod is 4Gi, but limit is 6Gi"
    );
    assert_eq!(
        refusal(&bounds, &two(json!({"cpu": "1"}), json!({}))),
        "maximum memory usage per Pod is 4Gi.  No limit is specified"
    );
    assert_eq!(
        refusal(&bounds, &two(json!({}), json!({"memory": "1Gi"}))),
        "minimum cpu usage per Pod is 1.  No request is specified"
    );
    assert_eq!(
        refusal(&bounds, &two(json!({"cpu": "400m"}), json!({"memory": "1Gi"}))),
        "minimum cpu usage per Pod is 1, but request is 800m"
    );
    let mut fits = two(json!({"cpu": "500m"}), json!({"memory": "2Gi"}));
    assert_eq!(admit_pod(&[range(&bounds)], &mut fits), Ok(()));
}

#[test]
fn ratios_are_exact() {
    let bounds = json!([{"type": "Container", "maxLimitRequestRatio": {"cpu": "1500m"}}]);
    let container =
        |request: &str, limit: &str| one_container(&json!({"requests": {"cpu": request}, "limits": {"cpu": limit}}));
    assert_eq!(admit_pod(&[range(&bounds)], &mut container("2", "3")), Ok(()));
    assert_eq!(admit_pod(&[range(&bounds)], &mut container("2e28", "3e28")), Ok(()));
    assert_eq!(
        refusal(&bounds, &container("2", "3000000001n")),
        "cpu max limit to request ratio per Container is 1500m, but provided ratio is 1.500000"
    );
    assert_eq!(
        refusal(&bounds, &container("100m", "1")),
        "cpu max limit to request ratio per Container is 1500m, but provided ratio is 10.000000"
    );
    assert_eq!(
        refusal(&bounds, &container("0", "1")),
        "cpu max limit to request ratio per Container is 1500m, but no request is specified or request is 0"
    );
    assert_eq!(
        refusal(&bounds, &one_container(&json!({"requests": {"cpu": "1"}}))),
        "cpu max limit to request ratio per Container is 1500m, but no limit is specified or limit is 0"
    );
}

#[test]
fn claims_have_bounds_too() {
    let ranges =
        [range(&json!([{"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "10Gi"}}]))];
    let claim = |size: Value| json!({"spec": {"resources": {"requests": {"storage": size}}}});
    let refused = |claim: &Value| match admit_claim(&ranges, claim) {
        Err(Refusal::Forbidden(reason)) => reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(admit_claim(&ranges, &claim(json!("5Gi"))), Ok(()));
    assert_eq!(
        refused(&claim(json!("20Gi"))),
        "maximum storage usage per PersistentVolumeClaim is 10Gi, but request is 20Gi"
    );
    assert_eq!(
        refused(&claim(json!("1Mi"))),
        "minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1Mi"
    );
    assert_eq!(
        refused(&json!({})),
        "[minimum storage usage per PersistentVolumeClaim is 1Gi.  No request is specified, \
         maximum storage usage per PersistentVolumeClaim is 10Gi.  No request is specified]"
    );
    assert!(matches!(admit_claim(&ranges, &claim(json!("big"))), Err(Refusal::Malformed(_))));
}

#[test]
fn malformed_pods_are_refused() {
    for pod in [
        one_container(&json!({"requests": {"cpu": "x"}})),
        one_container(&json!({"limits": []})),
        one_container(&json!({"limits": {"cpu": "-1"}})),
    ] {
        assert!(matches!(admit_pod(&[], &mut pod.clone()), Err(Refusal::Malformed(_))), "{pod}");
    }
    let default = json!([{"type": "Container", "default": {"cpu": "1"}}]);
    for mut odd in [json!(null), json!([]), json!({"spec": {"containers": [1]}}), json!({"spec": {"containers": 1}})] {
        let before = odd.clone();
        assert_eq!(admit_pod(&[range(&default)], &mut odd), Ok(()));
        assert_eq!(odd, before);
    }
}

#[test]
fn a_limit_range_keeps_its_order() {
    let faults = |limits: Value| -> Vec<String> {
        validate_spec(&json!({"limits": limits})).iter().map(ToString::to_string).collect()
    };
    assert_eq!(
        faults(json!([{"type": "Container", "min": {"cpu": "100m"}, "max": {"cpu": "2"}, "default": {"cpu": "1"},
                       "defaultRequest": {"cpu": "500m"}, "maxLimitRequestRatio": {"cpu": "10"}}])),
        Vec::<String>::new()
    );
    assert_eq!(
        faults(json!([{"type": "Container", "min": {"cpu": "3"}, "max": {"cpu": "2"}, "default": {"cpu": "2500m"},
                       "defaultRequest": {"cpu": "2800m"}, "maxLimitRequestRatio": {"cpu": "900m"}}])),
        [
            "spec.limits[0].min[cpu]: Invalid value: \"3\": min value 3 is greater than max value 2",
            "spec.limits[0].defaultRequest[cpu]: Invalid value: \"2800m\": min value 3 is greater than default request value 2800m",
            "spec.limits[0].defaultRequest[cpu]: Invalid value: \"2800m\": default request value 2800m is greater than max value 2",
            "spec.limits[0].defaultRequest[cpu]: Invalid value: \"2800m\": default request value 2800m is greater than default limit value 2500m",
            "spec.limits[0].default[cpu]: Invalid value: \"3\": min value 3 is greater than default value 2500m",
            "spec.limits[0].default[cpu]: Invalid value: \"2\": default value 2500m is greater than max value 2",
            "spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: \"900m\": ratio 900m is less than 1",
            "spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: \"900m\": ratio 900m is greater than max/min = 0.666667",
        ]
    );
    assert_eq!(
        faults(json!([
            {"type": "Pod", "default": {"cpu": "1"}, "max": {"pods": "1"}},
            {"type": "Pod"},
            {"type": "Node"},
            {"type": "PersistentVolumeClaim"},
            {"type": "Container", "default": {"nvidia.com/gpu": "2"}, "defaultRequest": {"nvidia.com/gpu": "1"}}
        ])),
        [
            "spec.limits[0].max[pods]: Invalid value: \"pods\": must be a standard resource for containers",
            "spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'",
            "spec.limits[1].type: Duplicate value: \"Pod\"",
            "spec.limits[2].type: Invalid value: \"Node\": must be a standard limit type or fully qualified",
            "spec.limits[3].limits: Required value: either minimum or maximum storage value is required, but neither was provided",
            "spec.limits[4].defaultRequest[nvidia.com/gpu]: Invalid value: \"1\": default value 2 must equal to defaultRequest value 1 in nvidia.com/gpu",
        ]
    );
    assert!(faults(json!({}))[0].starts_with("spec.limits: Invalid value: must be an array"));
    assert!(
        faults(json!([{"type": "Pod", "max": {"cpu": "x"}}]))[0]
            .starts_with("spec.limits[0].max[cpu]: Invalid value: \"x\": quantities")
    );
}

proptest! {
    #[test]
    fn fractions_compare_like_cross_products(a: u64, b in 1_u64.., c: u64, d in 1_u64..) {
        let [a, b, c, d] = [a, b, c, d].map(u128::from);
        prop_assert_eq!(compare_fractions((a, b), (c, d)), (a * d).cmp(&(c * b)));
    }

    #[test]
    fn what_is_admitted_is_within_bounds(
        request in prop::option::of(0_i64..3000),
        limit in prop::option::of(0_i64..3000),
        min in 0_i64..1000,
        max in 1000_i64..2000,
    ) {
        let milli = |amount: Option<i64>| amount.map_or(json!({}), |amount| json!({"cpu": format!("{amount}m")}));
        let mut pod = one_container(&json!({"requests": milli(request), "limits": milli(limit)}));
        let bounds = json!([{"type": "Container", "min": milli(Some(min)), "max": milli(Some(max))}]);
        let admitted = admit_pod(&[range(&bounds)], &mut pod).is_ok();
        let effective_limit = limit.unwrap_or(max);
        let effective_request = request.or(limit).unwrap_or(max);
        let within = |amount: i64| (min..=max).contains(&amount);
        prop_assert_eq!(admitted, within(effective_limit) && within(effective_request));
    }
}
