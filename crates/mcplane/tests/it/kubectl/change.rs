use super::start;
use mcplane_testkit::{Backend, on_each_backend, process};
use serde_json::json;

on_each_backend!(labels_and_annotations, patches, edit, replace, wait, immutable);

fn labels_and_annotations(backend: Backend) {
    let (_server, k) = start(backend);
    k.ok("create configmap c");
    assert_eq!(k.ok("label cm c tier=web env=dev"), "configmap/c labeled\n");
    assert!(k.err("label cm c tier=db").contains("'tier' already has a value (web), and --overwrite is false"));
    assert_eq!(k.ok("label cm c tier=db --overwrite"), "configmap/c labeled\n");
    assert_eq!(k.ok("label cm c env-"), "configmap/c unlabeled\n");
    assert_eq!(k.ok("label cm c tier=db --overwrite"), "configmap/c not labeled\n");
    assert_eq!(k.ok("annotate cm c note=first"), "configmap/c annotated\n");
    assert_eq!(k.ok("annotate cm c note-"), "configmap/c annotated\n");
    k.ok("annotate cm c kept=yes");
    let metadata = &k.json("get cm c")["metadata"];
    assert_eq!(metadata["labels"], json!({"tier": "db"}));
    assert_eq!(metadata["annotations"], json!({"kept": "yes"}));
    let message = k.run(["label", "cm", "c", "bad=a b"]).err();
    assert!(message.contains("Invalid value: \"a b\"") || message.contains("invalid label value"), "{message}");
    k.ok("create configmap d");
    assert_eq!(k.ok("label cm --all team=x"), "configmap/c labeled\nconfigmap/d labeled\n");
    assert_eq!(k.ok("label namespace default purpose=test"), "namespace/default labeled\n");
}

fn patches(backend: Backend) {
    let (_server, k) = start(backend);
    k.ok("create configmap c --from-literal=a=1 --from-literal=b=2");
    let patch = |kind: &str, text: &str| k.run(["patch", "cm", "c", "--type", kind, "-p", text]);
    assert_eq!(patch("strategic", r#"{"data":{"a":"s"}}"#).ok(), "configmap/c patched\n");
    assert_eq!(patch("merge", r#"{"data":{"b":null,"m":"m"}}"#).ok(), "configmap/c patched\n");
    let steps = r#"[{"op":"test","path":"/data/a","value":"s"},{"op":"add","path":"/data/j","value":"j"},
                    {"op":"move","from":"/data/m","path":"/data/moved"}]"#;
    assert_eq!(patch("json", steps).ok(), "configmap/c patched\n");
    let now = k.json("get cm c");
    assert_eq!(now["data"], json!({"a": "s", "j": "j", "moved": "m"}));
    assert_eq!(patch("merge", r#"{"data":{"a":"s"}}"#).ok(), "configmap/c patched (no change)\n");
    assert_eq!(k.json("get cm c"), now, "a patch that changes nothing writes nothing");

    let failed = patch("json", r#"[{"op":"test","path":"/data/a","value":"other"}]"#).err();
    assert!(failed.contains("/data/a"), "{failed}");
    let failed = patch("json", r#"[{"op":"remove","path":"/data/none"}]"#).err();
    assert!(failed.contains("/data/none"), "{failed}");
    let failed = patch("merge", r#"{"metadata":{"name":"other"}}"#).err();
    assert!(failed.contains("the name of the object") || failed.contains("metadata.name"), "{failed}");
    let failed = patch("merge", r#"{"data":{"a":7}}"#).err();
    assert!(failed.contains("data"), "{failed}");
    assert_eq!(k.json("get cm c"), now, "a refused patch changes nothing");

    // Lists of a kind with merge keys: one subject of two is changed by strategic merge on ServiceAccount's secrets.
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "sa"},
                         "secrets": [{"name": "one"}, {"name": "two"}]});
    k.feed("create -f -", &account.to_string()).ok();
    k.ok(["patch", "sa", "sa", "-p", r#"{"secrets":[{"name":"three"},{"$patch":"delete","name":"one"}]}"#]);
    let secrets = k.json("get sa sa")["secrets"].clone();
    let mut names: Vec<&str> =
        secrets.as_array().unwrap().iter().map(|secret| secret["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["three", "two"]);
    // A kind of a group without Go types has no strategic merge, as a custom resource has none.
    let rule = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: dr}\nspec: {host: a}\n";
    k.feed("create -f -", rule).ok();
    k.ok(["patch", "dr", "dr", "--type=merge", "-p", r#"{"spec":{"host":"b"}}"#]);
    assert_eq!(k.json("get dr dr")["spec"]["host"], "b");
}

fn edit(backend: Backend) {
    let (_server, k) = start(backend);
    k.ok("create configmap c --from-literal=colour=green");
    let edit = |editor: &str| process::run(k.command("edit configmap c").env("KUBE_EDITOR", editor), None);
    assert_eq!(edit("sed -i s/green/blue/").ok(), "configmap/c edited\n");
    assert_eq!(k.json("get cm c")["data"]["colour"], "blue");
    let untouched = edit("true");
    assert_eq!((untouched.code, untouched.stderr.as_str()), (0, "Edit cancelled, no changes made.\n"));
}

fn replace(backend: Backend) {
    let (_server, k) = start(backend);
    k.ok("create configmap c --from-literal=a=1");
    let old = k.json("get cm c");
    let mut new = old.clone();
    new["data"] = json!({"b": "2"});
    assert_eq!(k.feed("replace -f -", &new.to_string()).ok(), "configmap/c replaced\n");
    assert_eq!(k.json("get cm c")["data"], json!({"b": "2"}));
    // `new` still carries the revision that it was read at.
    let message = k.feed("replace -f -", &new.to_string()).err();
    assert!(message.contains("Error from server (Conflict)"), "{message}");
    assert!(
        message.contains("the object has been modified; please apply your changes to the latest version"),
        "{message}"
    );
    new["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    assert_eq!(k.feed("replace -f -", &new.to_string()).ok(), "configmap/c replaced\n");
    new["metadata"]["uid"] = json!("11111111-2222-3333-4444-555555555555");
    let message = k.feed("replace -f -", &new.to_string()).err();
    assert!(message.contains("Precondition failed: UID in precondition"), "{message}");
    new["metadata"].as_object_mut().unwrap().remove("uid");
    let uid = &old["metadata"]["uid"];
    assert_eq!(k.json("get cm c")["metadata"]["uid"], *uid);
    let replaced = k.feed("replace --force -f -", &new.to_string()).ok();
    assert!(replaced.contains("configmap/c replaced"), "{replaced}");
    assert_ne!(k.json("get cm c")["metadata"]["uid"], *uid, "--force deletes and creates");
    new["metadata"]["name"] = json!("none");
    assert!(k.feed("replace -f -", &new.to_string()).err().contains("configmaps \"none\" not found"));
}

fn wait(backend: Backend) {
    let (_server, k) = start(backend);
    k.ok("create configmap c --from-literal=state=new");
    let change = k.spawn("wait cm/c --for=jsonpath={.data.state}=done --timeout=20s");
    let gone = k.spawn("wait cm/c --for=delete --timeout=20s");
    let created = k.spawn("wait cm/later --for=create --timeout=20s");
    std::thread::sleep(std::time::Duration::from_millis(300));
    k.ok(["patch", "cm", "c", "-p", r#"{"data":{"state":"done"}}"#]);
    assert_eq!(change.finish(20), (0, "configmap/c condition met\n".into()));
    k.ok("create configmap later");
    assert_eq!(created.finish(20), (0, "configmap/later condition met\n".into()));
    k.ok("delete cm c");
    assert_eq!(gone.finish(20).0, 0);
    let late = k.err("wait cm/later --for=jsonpath={.data.x}=never --timeout=1s");
    assert!(late.contains("timed out waiting for the condition"), "{late}");
}

/// `immutable: true` is a promise for the rest of the object's life.
fn immutable(backend: Backend) {
    let (_server, k) = start(backend);
    k.ok("create configmap c --from-literal=a=1");
    k.ok(["patch", "cm", "c", "-p", r#"{"immutable":true}"#]);
    let message = k.err(["patch", "cm", "c", "-p", r#"{"data":{"a":"2"}}"#]);
    assert!(message.contains("field is immutable when `immutable` is set"), "{message}");
    assert_eq!(k.ok("label cm c still=possible"), "configmap/c labeled\n");
    k.ok("create role r --verb=get --resource=configmaps");
    k.ok("create rolebinding b --role=r --user=ann");
    let message = k.err(["patch", "rolebinding", "b", "-p", r#"{"roleRef":{"name":"other"}}"#]);
    assert!(message.contains("cannot change roleRef"), "{message}");
}
