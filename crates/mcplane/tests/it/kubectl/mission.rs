use super::start;
use mcplane_testkit::{Backend, Kubectl, on_each_backend};
use serde_json::{Value, json};

on_each_backend!(golden_manifests_apply_unchanged);

const QUOTA: &str = include_str!("../../golden/mission/resource_quota.yaml");
const CANARY: &str = include_str!("../../golden/mission/virtual_service_canary.yaml");
const FULL: &str = include_str!("../../golden/mission/virtual_service_full.yaml");

fn golden_manifests_apply_unchanged(backend: Backend) {
    let (_server, k) = start(backend);
    assert_eq!(k.ok("create namespace development"), "namespace/development created\n");
    for namespace in ["development", "default"] {
        for (name, manifest) in [
            ("resourcequota/dev-quota", QUOTA),
            ("virtualservice.networking.istio.io/user-service", CANARY),
            ("virtualservice.networking.istio.io/reviews-route", FULL),
        ] {
            if name.starts_with("resourcequota") && namespace != "development" {
                continue; // The manifest names its namespace.
            }
            let apply = format!("apply -n {namespace} -f -");
            assert_eq!(k.feed(apply.as_str(), manifest).ok(), format!("{name} created\n"));
            assert_eq!(k.feed(apply.as_str(), manifest).ok(), format!("{name} unchanged\n"));
            returns_as_submitted(&k, namespace, manifest);
        }
    }
    // The other served version shows the same object.
    let stored = k.json("get virtualservices.v1.networking.istio.io user-service -n development");
    assert_eq!(stored["apiVersion"], "networking.istio.io/v1");
    let submitted: Value = serde_norway::from_str(CANARY).unwrap();
    assert_eq!(stored["spec"], submitted["spec"]);
}

/// Under the submitted version each submitted field is equal, and nothing is added but what the server owns.
fn returns_as_submitted(k: &Kubectl, namespace: &str, manifest: &str) {
    let submitted: Value = serde_norway::from_str(manifest).unwrap();
    let (group, version) = submitted["apiVersion"].as_str().unwrap().rsplit_once('/').unwrap_or(("", "v1"));
    let resource = format!("{}s.{version}.{group}", submitted["kind"].as_str().unwrap().to_lowercase());
    let name = submitted["metadata"]["name"].as_str().unwrap();
    let mut returned = k.json(["get", &resource, name, "-n", namespace]);

    let metadata = returned["metadata"].as_object_mut().unwrap();
    for server_owned in ["uid", "resourceVersion", "creationTimestamp"] {
        assert!(metadata.remove(server_owned).is_some_and(|value| value.is_string()), "{server_owned}");
    }
    metadata.remove("generation");
    if submitted["metadata"].get("namespace").is_none() {
        assert_eq!(metadata.remove("namespace"), Some(json!(namespace)));
    }
    let mut annotations = metadata.remove("annotations").unwrap();
    annotations.as_object_mut().unwrap().remove("kubectl.kubernetes.io/last-applied-configuration");
    assert_eq!(annotations, json!({}));
    returned.as_object_mut().unwrap().remove("status");
    assert_eq!(returned, submitted);
}
