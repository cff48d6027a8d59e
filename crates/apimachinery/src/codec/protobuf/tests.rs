//! Bodies that kubectl sent, every kind of the table there and back, and damaged input.

use std::fs;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::table::{Kind, MessageId, Shape, Table, table};
use super::*;

fn fixture(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/codec/kubectl").join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn decoded(body: &[u8]) -> Value {
    decode(body, None).unwrap().value
}

fn refused(body: &[u8]) -> String {
    let error = decode(body, None).unwrap_err();
    assert_eq!(error.http_status(), 400, "{error}");
    error.to_string()
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(object) => Value::Object(
            object.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k, without_nulls(v))).collect(),
        ),
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

/// Each pair is `kubectl create …` against a recording server, and the same with `--dry-run=client -o json`.
#[test]
fn what_kubectl_creates_is_what_it_prints() {
    for name in [
        "namespace",
        "configmap",
        "secret",
        "secret-docker-registry",
        "serviceaccount",
        "quota",
        "role",
        "rolebinding",
        "clusterrole",
        "clusterrole-aggregated",
        "clusterrolebinding",
        "job",
        "cronjob",
    ] {
        let printed: Value = serde_json::from_slice(&fixture(&format!("{name}.json"))).unwrap();
        assert_eq!(decoded(&fixture(&format!("{name}.pb"))), without_nulls(printed), "{name}");
    }
}

#[test]
fn what_kubectl_asks_without_creating() {
    let review = |kind, spec: Value| json!({"apiVersion": "authorization.k8s.io/v1", "kind": kind, "metadata": {}, "spec": spec});
    let mut can_i = review(
        "SelfSubjectAccessReview",
        json!({"resourceAttributes": {"namespace": "development", "verb": "get", "resource": "pods"}}),
    );
    can_i["status"] = json!({"allowed": false});
    assert_eq!(decoded(&fixture("can-i.pb")), can_i);
    can_i["spec"] = json!({"nonResourceAttributes": {"path": "/metrics", "verb": "get"}});
    assert_eq!(decoded(&fixture("can-i-url.pb")), can_i);

    let mut list = review("SelfSubjectRulesReview", json!({"namespace": "development"}));
    list["status"] = json!({"incomplete": false});
    assert_eq!(decoded(&fixture("can-i-list.pb")), list);

    assert_eq!(
        decoded(&fixture("whoami.pb")),
        json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview", "metadata": {},
            "status": {"userInfo": {}},
        })
    );
    assert_eq!(
        decoded(&fixture("token.pb")),
        json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "metadata": {},
            "spec": {
                "audiences": ["me"],
                "boundObjectRef": {"kind": "Secret", "apiVersion": "v1", "name": "creds"},
                "expirationSeconds": 7200,
            },
            "status": {"token": ""},
        })
    );
    let job = decoded(&fixture("job-from-cronjob.pb"));
    assert_eq!(
        job["metadata"],
        json!({
            "name": "jf", "namespace": "development",
            "annotations": {"cronjob.kubernetes.io/instantiate": "manual"},
            "ownerReferences": [{
                "apiVersion": "batch/v1", "kind": "CronJob", "name": "cj",
                "uid": "5a1f3c2e-0000-4000-8000-000000000001", "controller": true,
            }],
        })
    );
}

/// A writer after the same table: as Go, it writes every value that is there, in any order.
struct Encoder<'t>(&'t Table);

impl Encoder<'_> {
    fn message(&self, message: MessageId, object: &Map<String, Value>) -> Vec<u8> {
        let mut out = Vec::new();
        for field in self.0.fields(message) {
            match (field.shape, field.kind, object.get(field.name)) {
                (Shape::Inline, Kind::Message(inner), _) => bytes(&mut out, field.number, &self.message(inner, object)),
                (_, _, None) => {}
                (Shape::List, kind, Some(items)) => {
                    for item in items.as_array().unwrap() {
                        self.value(&mut out, field.number, kind, item);
                    }
                }
                (Shape::Map, kind, Some(entries)) => {
                    for (key, value) in entries.as_object().unwrap() {
                        let mut entry = Vec::new();
                        bytes(&mut entry, 1, key.as_bytes());
                        self.value(&mut entry, 2, kind, value);
                        bytes(&mut out, field.number, &entry);
                    }
                }
                (_, kind, Some(value)) => self.value(&mut out, field.number, kind, value),
            }
        }
        out
    }

    fn value(&self, out: &mut Vec<u8>, number: u32, kind: Kind, value: &Value) {
        let text = || value.as_str().unwrap().as_bytes();
        let mut inner = Vec::new();
        match kind {
            Kind::String => return bytes(out, number, text()),
            Kind::Bool => return varint(out, number, value.as_bool().unwrap().into()),
            Kind::Int32 | Kind::Int64 => return varint(out, number, value.as_i64().unwrap().cast_unsigned()),
            Kind::Bytes => inner = STANDARD.decode(text()).unwrap(),
            Kind::Quantity => bytes(&mut inner, 1, text()),
            Kind::RawJson => bytes(&mut inner, 1, value.to_string().as_bytes()),
            Kind::Message(message) => inner = self.message(message, value.as_object().unwrap()),
            Kind::Strings => {
                for item in value.as_array().unwrap() {
                    bytes(&mut inner, 1, item.as_str().unwrap().as_bytes());
                }
            }
            Kind::IntOrString => match value.as_i64() {
                Some(int) => varint(&mut inner, 2, int.cast_unsigned()),
                None => {
                    varint(&mut inner, 1, 1);
                    bytes(&mut inner, 3, text());
                }
            },
            Kind::Time | Kind::MicroTime => {
                let time: jiff::Timestamp = value.as_str().unwrap().parse().unwrap();
                varint(&mut inner, 1, time.as_second().cast_unsigned());
                varint(&mut inner, 2, u64::try_from(time.subsec_nanosecond()).unwrap());
            }
        }
        bytes(out, number, &inner);
    }
}

fn raw_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn varint(out: &mut Vec<u8>, number: u32, value: u64) {
    raw_varint(out, u64::from(number) << 3);
    raw_varint(out, value);
}

fn bytes(out: &mut Vec<u8>, number: u32, value: &[u8]) {
    raw_varint(out, u64::from(number) << 3 | 2);
    raw_varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

fn envelope(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let (mut meta, mut out) = (Vec::new(), b"k8s\0".to_vec());
    bytes(&mut meta, 1, api_version.as_bytes());
    bytes(&mut meta, 2, kind.as_bytes());
    bytes(&mut out, 1, &meta);
    bytes(&mut out, 2, raw);
    bytes(&mut out, 3, b"");
    bytes(&mut out, 4, b"");
    out
}

/// Objects as the JSON of a Go type may be, from a stream of numbers.
struct Objects<'t> {
    table: &'t Table,
    numbers: Box<dyn Iterator<Item = u16> + 't>,
}

impl Objects<'_> {
    fn below(&mut self, end: u16) -> u16 {
        self.numbers.next().unwrap_or(0) % end
    }

    fn message(&mut self, message: MessageId, depth: usize, object: &mut Map<String, Value>) {
        let table = self.table;
        for field in table.fields(message) {
            let leaf = !matches!(field.kind, Kind::Message(_));
            let wanted = self.below(3) == 0 && (leaf || depth < 7);
            let value = match (field.shape, field.kind) {
                (Shape::Inline, Kind::Message(inner)) => {
                    self.message(inner, depth, object);
                    continue;
                }
                (Shape::List, kind) if wanted => (0..=self.below(2)).map(|_| self.value(kind, depth)).collect(),
                (Shape::Map, kind) if wanted => {
                    let entries = (0..=self.below(2)).map(|i| (format!("k.{i}"), self.value(kind, depth)));
                    Value::Object(entries.collect())
                }
                (Shape::Pointer, kind) if wanted => self.value(kind, depth),
                (Shape::Always | Shape::Optional, kind @ (Kind::Message(_) | Kind::Quantity | Kind::IntOrString))
                | (Shape::Always, kind) => self.value(kind, depth),
                (Shape::Optional, kind) if wanted => match self.value(kind, depth) {
                    value if scalar::zero(kind).as_ref() == Some(&value) => continue,
                    value => value,
                },
                _ => continue,
            };
            object.insert(field.name.to_owned(), value);
        }
    }

    fn value(&mut self, kind: Kind, depth: usize) -> Value {
        let number = i64::from(self.below(3));
        match kind {
            Kind::String => ["", "a", "ünï"][number as usize].into(),
            Kind::Bool => (number == 1).into(),
            Kind::Int32 => [0, i32::MIN, i32::MAX][number as usize].into(),
            Kind::Int64 => [0, i64::MIN, i64::MAX][number as usize].into(),
            Kind::Bytes => ["", "/wABYmlu", "YQ=="][number as usize].into(),
            Kind::Quantity => ["0", "1500m", "4Gi"][number as usize].into(),
            Kind::Time => {
                ["1970-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "9999-12-30T21:59:59Z"][number as usize].into()
            }
            Kind::MicroTime => format!("2024-02-29T12:00:00.{number:06}Z").into(),
            Kind::IntOrString => [json!(0), json!(-8080), json!("http")][number as usize].clone(),
            Kind::RawJson => json!({"f:metadata": {"f:labels": {".": {}, "n": number}}}),
            Kind::Strings => json!(["a", ""]),
            Kind::Message(message) => {
                let mut object = Map::new();
                self.message(message, depth + 1, &mut object);
                Value::Object(object)
            }
        }
    }
}

proptest! {
    #[test]
    fn every_kind_survives_the_wire(which in any::<prop::sample::Index>(), seed in prop::collection::vec(any::<u16>(), 1..400)) {
        let table = table().unwrap();
        let kinds: Vec<_> = table.kinds().collect();
        let (api_version, kind, message) = kinds[which.index(kinds.len())];
        let api_version = if api_version == "*" { "v1" } else { api_version };
        let mut object = Map::new();
        Objects { table, numbers: Box::new(seed.into_iter().cycle().take(20_000)) }.message(message, 0, &mut object);
        let body = envelope(api_version, kind, &Encoder(table).message(message, &object));
        object.insert("apiVersion".to_owned(), api_version.into());
        object.insert("kind".to_owned(), kind.into());
        prop_assert_eq!(decoded(&body), Value::Object(object));
    }

    #[test]
    fn any_bytes_are_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(&body, None);
        let _ = decode(&envelope("batch/v1", "CronJob", &body), None);
        let _ = decode(&[b"k8s\0".as_slice(), &body].concat(), None);
    }

    #[test]
    fn damaged_bodies_are_read_or_refused(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        for name in ["cronjob.pb", "rolebinding.pb", "quota.pb", "configmap.pb"] {
            let mut body = fixture(name);
            let at = at.index(body.len());
            if cut { body.truncate(at) } else { body[at] = byte }
            let _ = decode(&body, None);
        }
    }
}

/// A message of one field after the given key.
fn config_map(raw: &[u8]) -> Vec<u8> {
    envelope("v1", "ConfigMap", raw)
}

#[test]
fn what_is_wrong_is_said_precisely() {
    for (body, expected) in [
        (b"{}".to_vec(), "the request body is not Kubernetes protobuf: it does not begin with `k8s\\0`"),
        (b"k8s\0\x0a".to_vec(), "the protobuf envelope is not valid: the message ends within a number"),
        (b"k8s\0\x0a\x02\x08\x01".to_vec(), "typeMeta: bytes are due, but the wire has a number"),
        (b"k8s\0\x1a\x04gzip".to_vec(), "the protobuf envelope holds encoded content, which is not supported"),
        (b"k8s\0\x22\x04json".to_vec(), "the protobuf envelope holds something else than protobuf"),
        (
            config_map(b"\x08\x01"),
            "the ConfigMap is not valid protobuf: metadata: bytes are due, but the wire has a number",
        ),
        (config_map(b"\x0a\x02\x38"), "metadata: a length exceeds the message"),
        (config_map(b"\x0a\x03\x3a\x01a"), "metadata.generation: a number is due, but the wire has bytes"),
        (config_map(b"\x0a\x03\x0a\x01\xff"), "metadata.name: a string is not valid UTF-8"),
        (config_map(b"\x12\x05\x12\x03\xff\xff\xff"), "data: a string is not valid UTF-8"),
        (config_map(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), "metadata: a length exceeds the message"),
        (config_map(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), "metadata: a number is longer than 64 bits"),
        (config_map(b"\x00\x00"), "a field number is out of range"),
        (config_map(b"\x7b"), "field 15 has the unsupported wire type 3"),
        (config_map(b"\xfa\x01\x09a"), "a length exceeds the message"),
        (config_map(b"\xf9\x01a"), "the message ends within a field"),
    ] {
        let message = refused(&body);
        assert!(message.ends_with(expected), "{message}\n{expected}");
    }
    let error = decode(&envelope("networking.istio.io/v1", "VirtualService", b""), None).unwrap_err();
    assert_eq!(error.http_status(), 415);
}

#[test]
fn numbers_keep_their_range() {
    let lease = |raw: &[u8]| {
        let mut body = Vec::new();
        bytes(&mut body, 2, raw);
        envelope("coordination.k8s.io/v1", "Lease", &body)
    };
    let mut raw = Vec::new();
    varint(&mut raw, 2, (-5_i64).cast_unsigned());
    assert_eq!(decoded(&lease(&raw))["spec"]["leaseDurationSeconds"], -5);
    let mut raw = Vec::new();
    varint(&mut raw, 2, 1 << 31);
    assert!(refused(&lease(&raw)).contains("spec.leaseDurationSeconds: 2147483648 does not fit into 32 bits"));
    let mut time = Vec::new();
    varint(&mut time, 1, u64::MAX / 2);
    let mut raw = Vec::new();
    bytes(&mut raw, 3, &time);
    assert!(refused(&lease(&raw)).ends_with("spec.acquireTime: a time is out of range"));
}

#[test]
fn unknown_fields_are_ignored_and_parts_are_merged() {
    let mut raw = Vec::new();
    varint(&mut raw, 1000, 7);
    bytes(&mut raw, 1001, b"new");
    bytes(&mut raw, 1, b"\x0a\x01a\x1a\x01n");
    bytes(&mut raw, 1, b"\x0a\x01b");
    assert_eq!(
        decoded(&config_map(&raw)),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b", "namespace": "n"}})
    );
}

#[test]
fn packed_numbers_are_a_list() {
    // Job.spec.template.spec.securityContext.supplementalGroups, packed and then alone.
    let mut body = Vec::new();
    bytes(&mut body, 4, &[1, 2, 0xac, 2]);
    varint(&mut body, 4, 5);
    for number in [14, 2, 6, 2] {
        let mut outer = Vec::new();
        bytes(&mut outer, number, &body);
        body = outer;
    }
    let job = decoded(&envelope("batch/v1", "Job", &body));
    assert_eq!(job["spec"]["template"]["spec"]["securityContext"], json!({"supplementalGroups": [1, 2, 300, 5]}));
}

#[test]
fn fields_without_omitempty_are_there() {
    let role_binding = decoded(&envelope("rbac.authorization.k8s.io/v1", "RoleBinding", b"\x12\x00"));
    assert_eq!(
        role_binding,
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {},
            "subjects": [{"kind": "", "name": ""}],
            "roleRef": {"apiGroup": "", "kind": "", "name": ""},
        })
    );
}

#[test]
fn the_fallback_names_the_type() {
    let config_map = TypeMeta { api_version: "v1", kind: "ConfigMap" };
    assert_eq!(decode(b"k8s\0", Some(config_map)).unwrap().value["kind"], "ConfigMap");
    assert_eq!(decode(b"k8s\0", None).unwrap_err().http_status(), 415);
}

#[test]
fn options_belong_to_every_version() {
    let mut raw = Vec::new();
    varint(&mut raw, 1, 0);
    bytes(&mut raw, 4, b"Foreground");
    for api_version in ["v1", "batch/v1", "meta.k8s.io/v1"] {
        assert_eq!(
            decoded(&envelope(api_version, "DeleteOptions", &raw)),
            json!({
                "apiVersion": api_version, "kind": "DeleteOptions",
                "gracePeriodSeconds": 0, "propagationPolicy": "Foreground",
            })
        );
    }
}

#[test]
fn small_bodies_cannot_grow_without_bound() {
    // Two bytes each on the wire, a Subject with two strings each in JSON.
    let raw = b"\x12\x00".repeat(MAX_VALUES / 2);
    assert!(
        refused(&envelope("rbac.authorization.k8s.io/v1", "RoleBinding", &raw)).ends_with("more than 500000 values")
    );
}
