//! What the walk sends: an object of every kind, and a body for every route.

use mcplane_objects::http::Route;
use serde_json::{Value, json};

/// A path of the object API, taken apart.
#[derive(Debug, PartialEq)]
pub(super) struct Resource<'a> {
    pub(super) group: &'a str,
    pub(super) namespaced: bool,
    pub(super) plural: &'a str,
    pub(super) name: &'a str,
    sub: &'a str,
}

impl<'a> Resource<'a> {
    pub(super) fn of(path: &'a str) -> Option<Self> {
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        let (group, rest) = match parts.as_slice() {
            // The dialect of MLflow, whose versions are numbers.
            ["api", version, ..] if version.starts_with(|c: char| c.is_ascii_digit()) => return None,
            // Where clients of OpenLineage send events.
            ["api", "v1", "lineage"] => return None,
            ["api", _, rest @ ..] => ("", rest),
            ["apis", group, _, rest @ ..] => (*group, rest),
            _ => return None,
        };
        let (namespaced, rest) = match rest {
            ["namespaces", "{namespace}", rest @ ..] => (true, rest),
            rest => (false, rest),
        };
        let part = |index: usize| rest.get(index).copied().unwrap_or_default();
        (!rest.is_empty()).then(|| Self { group, namespaced, plural: part(0), name: part(1), sub: part(2) })
    }

    /// Verb, resource, namespace and name as the audit log has them.
    pub(super) fn audited(&self, route: &Route, namespace: &str) -> Value {
        let verb = match (route.method, self.name.is_empty()) {
            ("GET", true) => "list",
            ("GET", false) => "get",
            ("POST", _) => "create",
            ("PUT", _) => "update",
            ("PATCH", _) => "patch",
            ("DELETE", true) => "deletecollection",
            (_, _) => "delete",
        };
        let mut resource = self.plural.to_owned();
        for (separator, part) in [(".", self.group), ("/", self.sub)] {
            if !part.is_empty() {
                resource += &format!("{separator}{part}");
            }
        }
        let name = match (self.name, self.plural) {
            ("", _) => "",
            (_, "namespaces") => namespace,
            _ => "thing",
        };
        json!([verb, resource, if self.namespaced { namespace } else { "" }, name])
    }
}

/// An object of the kind; a new kind is added here.
pub(super) fn manifest(plural: &str, name: &str) -> Value {
    let role_ref = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"});
    let subjects = json!([{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "nobody-in-particular"}]);
    let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]);
    let containers = json!([{"name": "c", "image": "i", "command": ["true"]}]);
    let template = json!({"spec": {"restartPolicy": "Never", "containers": containers}});
    let more = match plural {
        "namespaces" | "serviceaccounts" | "resourcequotas" | "limitranges" => json!({}),
        "configmaps" => json!({"data": {"k": "v"}}),
        "secrets" => json!({"stringData": {"k": "v"}}),
        "events" => json!({"involvedObject": {"kind": "ConfigMap", "namespace": "foreign", "name": "thing"},
                           "reason": "Tested", "message": "m", "type": "Normal"}),
        "leases" => json!({"spec": {"holderIdentity": "h", "leaseDurationSeconds": 10}}),
        "roles" | "clusterroles" => json!({"rules": rules}),
        "rolebindings" | "clusterrolebindings" => json!({"roleRef": role_ref, "subjects": subjects}),
        "virtualservices" => json!({"spec": {"hosts": ["h"], "http": [{"route": [{"destination": {"host": "h"}}]}]}}),
        "destinationrules" => json!({"spec": {"host": "h"}}),
        "jobs" => json!({"spec": {"suspend": true, "template": template}}),
        "cronjobs" => {
            json!({"spec": {"schedule": "0 0 1 1 *", "suspend": true, "jobTemplate": {"spec": {"template": template}}}})
        }
        "datacontracts" => json!({"spec": {"columns": [{"name": "a", "type": "integer"}]}}),
        "gates" => json!({"spec": {
            "columns": {"label": "l", "prediction": "p"}, "thresholds": [{"metric": "accuracy", "min": 0.9}],
        }}),
        "inferenceservices" => json!({"spec": {"predictor": {"model": {
            "modelFormat": {"name": "onnx"}, "storageUri": "models:/that-is-not-there/1",
        }}}}),
        "rollouts" => json!({"spec": {"virtualService": "that-is-not-there", "version": "v2"}}),
        "monitors" => json!({"spec": {"service": "that-is-not-there"}}),
        "pipelines" => json!({}),
        "pipelineversions" => json!({"spec": {"pipelineName": "p", "pipelineSpec": pipeline()}}),
        "pipelineruns" => json!({"spec": {"pipelineRef": {"name": "that is not there"}}}),
        "featureviews" => json!({"spec": {
            "sources": [{"name": "s", "path": "s.csv"}], "sql": "SELECT * FROM s", "entities": ["e"],
            "timestampColumn": "t", "features": [{"name": "f", "type": "int64"}],
        }}),
        "users" => json!({"spec": {"role": "stranger", "password": "the password of a thing"}}),
        other => panic!("what does an object of {other} look like?"),
    };
    let mut object = json!({"metadata": {"name": name}});
    object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    object
}

/// A body with which the route would do something; those that change an object leave the label `touched`.
pub(super) fn body(route: &Route, namespace: &str) -> Value {
    let of_resource = json!({"verb": "get", "resource": "secrets", "namespace": namespace});
    let touched = json!({"metadata": {"labels": {"touched": "yes"}}});
    match (route.method, Resource::of(&route.path)) {
        ("GET" | "DELETE", _) => Value::Null,
        ("POST", None) if route.path == "/auth/login" => {
            json!({"username": "eve", "password": "the password of eve"})
        }
        // These services ask who may before they read anything.
        (_, None) => json!({"name": "thing", "run_id": "thing", "experiment_id": "0", "key": "k", "value": "v"}),
        ("PATCH", _) => touched,
        (_, Some(Resource { sub: "token", .. })) => json!({"spec": {}}),
        (_, Some(Resource { plural: "tokenreviews", .. })) => json!({"spec": {"token": "t"}}),
        (_, Some(Resource { plural: "selfsubjectreviews", .. })) => json!({}),
        (_, Some(Resource { plural: "selfsubjectrulesreviews", .. })) => json!({"spec": {"namespace": namespace}}),
        (_, Some(Resource { plural: "selfsubjectaccessreviews", .. })) => {
            json!({"spec": {"resourceAttributes": of_resource}})
        }
        (_, Some(Resource { plural: "subjectaccessreviews" | "localsubjectaccessreviews", .. })) => {
            json!({"spec": {"user": "root", "resourceAttributes": of_resource}})
        }
        ("POST", Some(resource)) => manifest(resource.plural, "another"),
        (_, Some(resource)) => {
            let name = if resource.plural == "namespaces" { namespace } else { "thing" };
            let mut object = manifest(resource.plural, name);
            object["metadata"]["labels"] = touched["metadata"]["labels"].clone();
            object
        }
    }
}

/// The smallest pipeline.
fn pipeline() -> Value {
    let task = json!({"componentRef": {"name": "comp-a"}, "taskInfo": {"name": "a"}});
    json!({
        "pipelineInfo": {"name": "p"},
        "schemaVersion": "2.1.0",
        "components": {"comp-a": {"executorLabel": "exec-a"}},
        "deploymentSpec": {"executors": {"exec-a": {"container": {"image": "i", "command": ["true"]}}}},
        "root": {"dag": {"tasks": {"a": task}}},
    })
}
