use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn crd(spec: Value) -> Schema {
    Schema::from_crd(&json!({"type": "object", "properties": {"spec": spec}})).unwrap()
}

fn errors(schema: &Schema, value: Value) -> Vec<String> {
    schema.validate(&value).iter().map(ToString::to_string).collect()
}

fn spec_errors(spec: Value, value: Value) -> Vec<String> {
    errors(&crd(spec), json!({"spec": value}))
}

fn virtual_service() -> &'static Schema {
    builtin("networking.istio.io", "v1", "VirtualService").unwrap()
}

#[test]
fn rules_speak_as_kubernetes_does() {
    let table = [
        (
            json!({"type": "integer"}),
            json!("x"),
            r#"spec: Invalid value: "string": spec in body must be of type integer: "string""#,
        ),
        (
            json!({"type": "integer", "format": "int32"}),
            json!(4294967296_u64),
            "spec: Invalid value: 4294967296: spec in body must be of type int32: 4294967296",
        ),
        (
            json!({"type": "string", "format": "date-time"}),
            json!("now"),
            r#"spec: Invalid value: "now": spec in body must be of type date-time: "now""#,
        ),
        (
            json!({"type": "string", "enum": ["b", "a"]}),
            json!("c"),
            r#"spec: Unsupported value: "c": supported values: "a", "b""#,
        ),
        (
            json!({"type": "string", "pattern": "^a+$"}),
            json!("b"),
            r#"spec: Invalid value: "b": spec in body should match '^a+$'"#,
        ),
        (
            json!({"type": "string", "minLength": 2}),
            json!("ä"),
            r#"spec: Invalid value: "ä": spec in body should be at least 2 chars long"#,
        ),
        (json!({"type": "string", "maxLength": 1}), json!("äö"), "spec: Too long: may not be more than 1 characters"),
        (
            json!({"type": "integer", "minimum": 1}),
            json!(0),
            "spec: Invalid value: 0: spec in body should be greater than or equal to 1",
        ),
        (
            json!({"type": "number", "maximum": 1, "exclusiveMaximum": true}),
            json!(1),
            "spec: Invalid value: 1: spec in body should be less than 1",
        ),
        (
            json!({"type": "number", "multipleOf": 0.1}),
            json!(0.35),
            "spec: Invalid value: 0.35: spec in body should be a multiple of 0.1",
        ),
        (
            json!({"type": "array", "items": {"type": "string"}, "maxItems": 1}),
            json!(["a", "b"]),
            "spec: Too many: 2: must have at most 1 items",
        ),
        (
            json!({"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"}),
            json!(["a", "a"]),
            r#"spec[1]: Duplicate value: "a""#,
        ),
        (
            json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
                   "items": {"type": "object", "properties": {"k": {"type": "integer"}}}}),
            json!([{"k": 1}, {"k": 2}, {"k": 1}]),
            r#"spec[2]: Duplicate value: {"k":1}"#,
        ),
        (json!({"type": "object", "required": ["a"]}), json!({}), "spec.a: Required value"),
        (
            json!({"type": "object", "additionalProperties": {"type": "string"}}),
            json!({"a.b": 1}),
            r#"spec[a.b]: Invalid value: "integer": spec[a.b] in body must be of type string: "integer""#,
        ),
        (
            json!({"type": "object", "minProperties": 1}),
            json!({}),
            "spec: Invalid value: 0: spec in body should have at least 1 properties",
        ),
        (
            json!({"anyOf": [{"minimum": 5}, {"multipleOf": 2}], "type": "integer"}),
            json!(3),
            r#"spec: Invalid value: "": "spec" must validate at least one schema (anyOf)"#,
        ),
        (
            json!({"not": {"enum": [1]}, "type": "integer"}),
            json!(1),
            r#"spec: Invalid value: "": "spec" must not validate the schema (not)"#,
        ),
        (
            json!({"allOf": [{"minimum": 5}], "type": "integer"}),
            json!(3),
            "spec: Invalid value: 3: spec in body should be greater than or equal to 5",
        ),
        (
            json!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]}),
            json!(true),
            r#"spec: Invalid value: "boolean": spec in body must be of type integer,string: "boolean""#,
        ),
    ];
    for (schema, value, expected) in table {
        assert_eq!(spec_errors(schema.clone(), value.clone()), [expected], "{schema} {value}");
    }
}

#[test]
fn good_values_pass() {
    let table = [
        (json!({"type": "integer"}), json!(2.0)),
        (json!({"type": "number"}), json!(2)),
        (json!({"type": "number", "multipleOf": 0.1}), json!(0.3)),
        (json!({"type": "integer", "nullable": true}), json!(null)),
        (json!({"type": "integer"}), json!(null)),
        (json!({"x-kubernetes-int-or-string": true}), json!("80%")),
        (json!({"type": "array", "items": {"type": "integer"}, "uniqueItems": true}), json!([1, 2])),
    ];
    for (schema, value) in table {
        assert_eq!(spec_errors(schema.clone(), value.clone()), [""; 0], "{schema} {value}");
    }
}

#[test]
fn null_stands_for_absent_unless_it_is_a_value() {
    let schema = json!({"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}}});
    assert_eq!(spec_errors(schema.clone(), json!({"a": null})), ["spec.a: Required value"]);
    let nullable =
        json!({"type": "object", "required": ["a"], "properties": {"a": {"type": "string", "nullable": true}}});
    assert_eq!(spec_errors(nullable, json!({"a": null})), [""; 0]);
    assert_eq!(spec_errors(json!({"type": "array", "items": {"type": "string"}}), json!([null])).len(), 1);
}

#[test]
fn istio_alternatives_are_enforced() {
    let route = |m: Value| json!({"spec": {"hosts": ["a"], "http": [{"match": [{"uri": m}]}]}});
    assert!(virtual_service().check(&route(json!({"prefix": "/"}))).is_clean());
    assert!(virtual_service().check(&route(json!({}))).is_clean());
    let both = virtual_service().check(&route(json!({"prefix": "/", "exact": "/a", "wrong": 1})));
    let texts: Vec<String> = both.errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            r#"spec.http[0].match[0].uri: Invalid value: "": "spec.http[0].match[0].uri" must validate one and only one schema (oneOf). Found 2 valid alternatives"#
        ]
    );
    assert_eq!(both.unknown, [r#"unknown field "spec.http[0].match[0].uri.wrong""#]);
    // Two alternatives that an allOf holds.
    let rule =
        |hash: Value| json!({"spec": {"host": "a", "trafficPolicy": {"loadBalancer": {"consistentHash": hash}}}});
    let schema = builtin("networking.istio.io", "v1alpha3", "DestinationRule").unwrap();
    assert!(schema.check(&rule(json!({"useSourceIp": true, "maglev": {}}))).is_clean());
    assert_eq!(schema.validate(&rule(json!({"useSourceIp": true, "maglev": {}, "ringHash": {}}))).len(), 1);
}

#[test]
fn istio_keeps_its_cel_rules() {
    let schema = builtin("networking.istio.io", "v1", "VirtualService").unwrap();
    let timeout = schema.at(&["spec", "http", "*", "timeout"]).unwrap();
    assert!(timeout.validations().unwrap().contains("duration(self)"));
}

#[test]
fn metadata_is_an_object_meta_everywhere() {
    let object = json!({"apiVersion": "v1", "kind": "X", "metadata": {"name": "a", "labels": {"a": 1}, "colour": 1}, "spec": {}});
    for schema in [virtual_service(), builtin("", "v1", "ConfigMap").unwrap()] {
        let report = schema.check(&object);
        assert!(report.unknown.contains(&r#"unknown field "metadata.colour""#.to_owned()), "{report:?}");
        assert_eq!(report.errors[0].field, "metadata.labels[a]");
    }
    let named = Schema::from_crd(&json!({"type": "object", "properties": {
        "metadata": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 1}}}}}));
    let named = named.unwrap();
    assert_eq!(
        errors(&named, json!({"metadata": {"name": "ab"}})),
        ["metadata.name: Too long: may not be more than 1 characters"]
    );
    assert_eq!(
        named.unknown_fields(&json!({"metadata": {"name": "a", "labels": {}, "x": 1}})),
        [r#"unknown field "metadata.x""#]
    );
}

#[test]
fn unknown_fields_are_found_and_pruned() {
    let schema = crd(json!({"type": "object", "properties": {
        "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": true,
                 "properties": {"closed": {"type": "object"}}},
        "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {"a": {"type": "string"}}}},
        "list": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}}}},
        "pod": {"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true},
    }}));
    let object = json!({"kind": "K", "extra": 1, "spec": {
        "open": {"x": 1, "closed": {"y": 1}},
        "map": {"k": {"a": "", "z": 1}},
        "list": [{"a": ""}, {"b": 1}],
        "pod": {"kind": "Pod", "metadata": {"name": "n", "x": 1}, "spec": {"any": 1}},
    }});
    let unknown = ["extra", "spec.list[1].b", "spec.map.k.z", "spec.open.closed.y", "spec.pod.metadata.x"];
    assert_eq!(schema.unknown_fields(&object), unknown.map(|path| format!("unknown field {path:?}")));
    assert_eq!(schema.check(&object).unknown, schema.unknown_fields(&object));
    let mut pruned = object;
    schema.prune(&mut pruned);
    let rest = json!({"kind": "K", "spec": {
        "open": {"x": 1, "closed": {}}, "map": {"k": {"a": ""}}, "list": [{"a": ""}, {}],
        "pod": {"kind": "Pod", "metadata": {"name": "n"}, "spec": {"any": 1}},
    }});
    assert_eq!(pruned, rest);
}

#[test]
fn defaults_fill_what_is_absent() {
    let schema = crd(json!({"type": "object", "default": {}, "properties": {
        "a": {"type": "string", "default": "A"},
        "b": {"type": "integer", "nullable": true, "default": 1},
        "c": {"type": "object", "properties": {"d": {"type": "boolean", "default": false}}},
        "e": {"type": "array", "items": {"type": "object", "properties": {"f": {"type": "integer", "default": 0}}}},
        "g": {"type": "string"},
    }}));
    let mut empty = json!({});
    schema.apply_defaults(&mut empty);
    assert_eq!(empty, json!({"spec": {"a": "A", "b": 1}}));
    let mut some = json!({"spec": {"a": null, "b": null, "c": {}, "e": [{}, {"f": 2}], "g": null}});
    schema.apply_defaults(&mut some);
    let filled = json!({"spec": {"a": "A", "b": null, "c": {"d": false}, "e": [{"f": 0}, {"f": 2}]}});
    assert_eq!(some, filled);
    schema.apply_defaults(&mut some);
    assert_eq!(some, filled);
}

#[test]
fn builtin_kinds_follow_go() {
    let config_map = builtin("", "v1", "ConfigMap").unwrap();
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "creationTimestamp": null},
                        "data": {"a": "b"}, "binaryData": null});
    assert_eq!(config_map.check(&object), Report::default());
    let mut filled = object;
    config_map.apply_defaults(&mut filled);
    assert_eq!(filled, json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"a": "b"}}));

    let pod = builtin("", "v1", "Pod").unwrap();
    let mut object = json!({"spec": {"restartPolicy": "", "containers": [
        {"name": "a", "ports": [{"containerPort": 80}], "env": [{"name": "X"}, {"name": "X"}],
         "resources": {"limits": {"cpu": 1, "memory": "1Gi"}}}]}});
    pod.apply_defaults(&mut object);
    assert_eq!(object["spec"]["containers"][0]["ports"][0]["protocol"], "TCP");
    assert_eq!(pod.check(&object), Report::default());
    let bad = json!({"spec": {"restartPolicy": "Maybe", "containers": [{"image": "i",
        "resources": {"limits": {"cpu": "lots"}}, "livenessProbe": {"httpGet": {"port": true}}}]}});
    let found = pod.check(&bad);
    let fields: Vec<&str> = found.errors.iter().map(|e| e.field.as_str()).collect();
    let expected = [
        "spec.containers[0].name",
        "spec.containers[0].livenessProbe.httpGet.port",
        "spec.containers[0].resources.limits[cpu]",
        "spec.restartPolicy",
    ];
    assert_eq!(fields, expected);

    let role = builtin("rbac.authorization.k8s.io", "v1", "ClusterRole").unwrap();
    let mut object = json!({"metadata": {"name": "a", "managedFields": [{"fieldsV1": {"f:data": {}}}]},
                            "rules": [{"verbs": null, "apiGroups": null}]});
    assert!(role.check(&object).is_clean());
    role.apply_defaults(&mut object);
    assert_eq!(object["rules"], json!([{"verbs": null}]));
    assert_eq!(errors(role, json!({"rules": [{}]})), ["rules[0].verbs: Required value"]);
}

#[test]
fn cursors_know_merge_keys() {
    let pod = builtin("", "v1", "Pod").unwrap();
    let containers = pod.at(&["spec", "containers"]).unwrap();
    assert_eq!((containers.strategy(), containers.merge_key()), (PatchStrategy::Merge, Some("name")));
    let ports = pod.at(&["spec", "containers", "*", "ports"]).unwrap();
    assert_eq!(ports.merge_key(), Some("containerPort"));
    let tolerations = pod.at(&["spec", "tolerations"]).unwrap();
    assert_eq!((tolerations.strategy(), tolerations.merge_key()), (PatchStrategy::Default, None));
    assert!(pod.at(&["metadata", "labels", "any"]).is_some());
    assert!(pod.at(&["spec", "nothing"]).is_none());
    let quota = builtin("", "v1", "ResourceQuota").unwrap();
    assert!(quota.at(&["spec", "hard", "*"]).is_some_and(|q| !q.is_object()));
}

#[test]
fn recursive_components_compile_and_walk() {
    let text = json!({
        "Tree": {"type": "object", "required": ["name"], "properties": {
            "name": {"type": "string"},
            "left": {"allOf": [{"$ref": "#/components/schemas/Tree"}]},
            "children": {"type": "array", "items": {"$ref": "#/components/schemas/Tree"}}}},
        "Loop": {"allOf": [{"$ref": "#/components/schemas/Pool"}]},
        "Pool": {"$ref": "#/components/schemas/Loop"},
        "Judge": {"anyOf": [{"$ref": "#/components/schemas/Judge"}]},
    });
    let components = text.as_object().unwrap().clone().into_iter().collect();
    let schema = Schema::from_components(&components, "Tree").unwrap();
    let report = schema.check(&json!({"name": "a", "children": [{"left": {"name": "b", "x": 1}}]}));
    assert_eq!(report.errors.len(), 1);
    assert_eq!(report.errors[0].field, "children[0].name");
    assert_eq!(report.unknown, [r#"unknown field "children[0].left.x""#]);
    for name in ["Loop", "Judge", "Nowhere"] {
        assert!(Schema::from_components(&components, name).is_err(), "{name}");
    }
    let mut deep = json!({"name": "leaf"});
    for _ in 0..300 {
        deep = json!({"name": "a", "left": deep});
    }
    let report = schema.check(&deep);
    assert!(report.errors.iter().any(|e| e.detail == "nested too deeply"));
}

#[test]
fn bad_schemas_are_refused_with_a_place() {
    let table = [
        (json!({"type": "text"}), "type: unknown type \"text\""),
        (json!({"properties": {"a": {"pattern": "("}}}), "properties.a.pattern: regex parse error"),
        (json!({"properties": {"a": 1}}), "properties.a: a schema must be an object"),
        (json!({"required": [1]}), "required: must hold strings"),
        (json!({"items": {"minItems": -1}}), "items.minItems: must be a count"),
        (json!({"$ref": "#/components/schemas/Nothing"}), "there is no component \"Nothing\""),
    ];
    for (schema, expected) in table {
        let error = Schema::from_crd(&schema).unwrap_err().to_string();
        assert!(error.trim_start_matches(": ").starts_with(expected), "{error}");
    }
    let mut deep = json!({"type": "string"});
    for _ in 0..200 {
        deep = json!({"type": "array", "items": deep});
    }
    assert!(Schema::from_crd(&deep).is_err());
}

#[test]
fn reports_are_capped() {
    let fields: serde_json::Map<String, Value> = (0..500).map(|i| (format!("f{i}"), json!(1))).collect();
    let object =
        json!({"data": (0..500).map(|i| (format!("k{i}"), json!(1))).collect::<serde_json::Map<_, _>>(), "x": fields});
    let config_map = builtin("", "v1", "ConfigMap").unwrap();
    assert_eq!(config_map.validate(&object).len(), MAX_ERRORS);
    let many = Value::Object((0..500).map(|i| (format!("f{i}"), json!(1))).collect());
    assert_eq!(config_map.unknown_fields(&many).len(), MAX_ERRORS);
}

#[test]
fn compiled_schemas_are_small() {
    let pod = builtin("", "v1", "Pod").unwrap();
    let rule = builtin("networking.istio.io", "v1", "DestinationRule").unwrap();
    assert!(std::mem::size_of::<node::Node>() <= 72, "{}", std::mem::size_of::<node::Node>());
    assert!(pod.nodes.len() < 1_000, "{}", pod.nodes.len());
    // The traffic policy occurs twice and is stored once.
    assert!(rule.nodes.len() < 200, "{}", rule.nodes.len());
}

/// Arbitrary JSON.
fn any_json() -> impl Strategy<Value = Value> {
    let keys = prop_oneof![
        Just("spec".to_owned()),
        Just("metadata".into()),
        Just("name".into()),
        Just("http".into()),
        Just("containers".into()),
        Just("labels".into()),
        Just("match".into()),
        "[a-z$/.]{0,4}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(keys.clone(), inner, 0..6).prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_value_breaks_a_walk(value in any_json()) {
        for schema in [virtual_service(), builtin("", "v1", "Pod").unwrap()] {
            let report = schema.check(&value);
            prop_assert_eq!(&report.errors, &schema.validate(&value));
            prop_assert_eq!(&report.unknown, &schema.unknown_fields(&value));
            let mut pruned = value.clone();
            schema.prune(&mut pruned);
            prop_assert_eq!(schema.unknown_fields(&pruned), Vec::<String>::new());
            let mut once = pruned;
            schema.apply_defaults(&mut once);
            let mut twice = once.clone();
            schema.apply_defaults(&mut twice);
            prop_assert_eq!(once, twice);
        }
    }

    #[test]
    fn no_schema_breaks_the_compiler(schema in any_json()) {
        if let Ok(compiled) = Schema::from_crd(&json!({"properties": {"spec": schema}})) {
            compiled.check(&json!({"spec": {"a": [1, null]}}));
        }
    }
}
