use mcplane_testkit::Backend;
use serde_json::{Value, json};

use super::{Lab, MAP, SERVICE, assert_precise, cut};

#[test]
fn patches_that_explode_do_not() {
    let lab = Lab::start(Backend::Sqlite);
    let operation =
        |op: &str, from: &str, path: &str, value: &Value| json!({"op": op, "from": from, "path": path, "value": value});
    let times = |count: usize, operation: Value| Value::from(vec![operation; count]);
    let seed = operation("add", "", "/spec/hosts", &json!(["x".repeat(1 << 10)]));
    let double = operation("copy", "/spec", "/spec/gateways", &Value::Null);
    let grow: Vec<Value> = std::iter::once(seed)
        .chain((0..9_000).flat_map(|n| [operation("copy", "/spec/hosts", &format!("/spec/k{n}"), &Value::Null)]))
        .collect();
    let whole = operation("copy", "", "/spec/x", &Value::Null);
    let words = |count: usize| Value::from((0..count).map(|n| format!("example.com/w{n}")).collect::<Vec<_>>());
    let owners = |count: usize| {
        Value::from(
            (0..count)
                .map(|n| json!({"apiVersion": "v1", "kind": "K", "name": "n", "uid": format!("u{n}")}))
                .collect::<Vec<_>>(),
        )
    };
    let json = [
        ("copies of copies", times(5_000, double)),
        ("copies of one", Value::from(grow)),
        ("copies of all", times(1_000, whole)),
        ("tests", times(60_000, operation("test", "", "/apiVersion", &json!("networking.istio.io/v1")))),
        ("tests of all", times(9_999, operation("test", "", "", &json!({})))),
        ("inserts", times(9_999, operation("add", "", "/spec/hosts/0", &json!(1)))),
        ("a deep path", json!([operation("add", "", &"/a".repeat(500_000), &json!(1))])),
        ("a far index", json!([operation("add", "", "/spec/hosts/99999999999999999999", &json!(1))])),
        ("a negative index", json!([operation("remove", "", "/spec/hosts/-1", &json!(1))])),
        ("an index with zeros", json!([operation("remove", "", "/spec/hosts/00", &json!(1))])),
        ("into itself", json!([operation("move", "/spec", "/spec/hosts/0", &json!(1))])),
        ("away with all", json!([operation("remove", "", "", &json!(1))])),
        ("another kind", json!([operation("replace", "", "/kind", &json!("Secret"))])),
        ("half an escape", json!([operation("add", "", "/spec/~", &json!(1))])),
        ("no operations", json!({"op": "add"})),
        ("of the wrong type", json!([1, null, "x"])),
    ];
    for (what, patch) in &json {
        let reply = lab.timed(what, "PATCH", SERVICE, "application/json-patch+json", patch.to_string().as_bytes());
        assert!(matches!(reply.status, 400 | 413 | 422), "{what}: {} {}", reply.status, cut(&reply.text));
        assert_precise(what, &reply);
    }
    let strategic = [
        ("many words", json!({"metadata": {"finalizers": words(100_000)}})),
        ("many words to delete", json!({"metadata": {"$deleteFromPrimitiveList/finalizers": words(100_000)}})),
        (
            "many words in order",
            json!({"metadata": {"$setElementOrder/finalizers": words(100_000), "finalizers": words(100_000)}}),
        ),
        ("many owners", json!({"metadata": {"ownerReferences": owners(30_000)}})),
        (
            "many owners to delete",
            json!({"metadata": {"ownerReferences": (0..60_000).map(|n| json!({"$patch": "delete", "uid": n})).collect::<Vec<_>>()}}),
        ),
        ("owners in no order", json!({"metadata": {"$setElementOrder/ownerReferences": owners(30_000)}})),
        ("an unknown directive", json!({"metadata": {"$patch": "explode"}})),
        ("a directive of the wrong type", json!({"metadata": {"$patch": {"a": 1}}})),
        ("an order of the wrong type", json!({"metadata": {"$setElementOrder/finalizers": {"a": 1}}})),
        ("keys kept of the wrong type", json!({"data": {"$retainKeys": {"a": 1}}})),
        ("many keys kept", json!({"data": {"$retainKeys": words(100_000)}})),
        ("a list for a map", json!({"data": [1]})),
        ("a map for a list", json!({"metadata": {"finalizers": {"a": 1}}})),
        ("owners without key", json!({"metadata": {"ownerReferences": [{"name": "x"}]}})),
        ("all replaced", json!({"$patch": "replace"})),
        ("all deleted", json!({"$patch": "delete"})),
        ("another name", json!({"metadata": {"name": "b"}})),
    ];
    for (what, patch) in &strategic {
        for kind in ["strategic-merge-patch", "merge-patch"] {
            let (path, content_type) = (format!("{MAP}?dryRun=All"), format!("application/{kind}+json"));
            let reply = lab.timed(what, "PATCH", &path, &content_type, patch.to_string().as_bytes());
            assert!(reply.status < 500, "{kind} of {what}: {} {}", reply.status, cut(&reply.text));
            if reply.status >= 400 {
                assert_precise(what, &reply);
            }
        }
    }
}
