//! Lists: selectors, pages, revisions.

use axum::body::{Body, BodyDataStream, HttpBody as _};
use axum::http::Request;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::StreamExt as _;
use serde_json::{Value, json};

use crate::rig::{Api, CONFIG_MAPS, Store, cm, encoded, revision_of, text};

pub(crate) async fn selectors_select(store: Store) {
    let api = store.start().await;
    api.namespace("other").await;
    for (name, labels) in [("a", json!({"tier": "web", "env": "prod"})), ("b", json!({"tier": "db"})), ("c", json!({}))]
    {
        api.config_map(name, &json!({"labels": labels})).await;
    }
    let secrets = "/api/v1/namespaces/ns/secrets";
    api.post(secrets, &json!({"metadata": {"name": "s"}, "type": "example.com/x"})).await.is(201);
    api.post(secrets, &json!({"metadata": {"name": "t"}})).await.is(201);
    for (labels, fields, names) in [
        ("", "", vec!["a", "b", "c"]),
        ("tier=web", "", vec!["a"]),
        ("tier==db", "", vec!["b"]),
        ("tier!=web", "", vec!["b", "c"]),
        ("tier in (web,db)", "", vec!["a", "b"]),
        ("tier notin (web)", "", vec!["b", "c"]),
        ("tier", "", vec!["a", "b"]),
        ("!tier", "", vec!["c"]),
        ("tier,env=prod", "", vec!["a"]),
        ("", "metadata.name=b", vec!["b"]),
        ("", "metadata.name!=b", vec!["a", "c"]),
        ("tier=web", "metadata.name=b", vec![]),
        ("", "metadata.namespace=ns", vec!["a", "b", "c"]),
        ("", "metadata.namespace=other", vec![]),
        ("", "metadata.name=a,metadata.name=b", vec![]),
        ("", "metadata.name=", vec![]),
    ] {
        for base in [CONFIG_MAPS, "/api/v1/configmaps"] {
            let query = format!("{base}?labelSelector={}&fieldSelector={}", encoded(labels), encoded(fields));
            assert_eq!(api.names(&query).await, names, "{query}");
            assert_eq!(api.names(&format!("{query}&limit=500")).await, names, "{query}");
        }
    }
    assert_eq!(api.names(&format!("{secrets}?fieldSelector=type%3Dexample.com/x")).await, ["s"]);
    assert_eq!(api.names("/api/v1/namespaces?fieldSelector=status.phase%3DActive").await, ["ns", "other"]);
    assert_eq!(api.names("/api/v1/namespaces?fieldSelector=metadata.name%3Dns").await, ["ns"]);
    for wrong in [
        "labelSelector=a+b",
        "labelSelector=%3D",
        "labelSelector=a+in+()+b",
        "fieldSelector=spec.x%3D1",
        "fieldSelector=metadata.name",
        "fieldSelector=metadata.name%3D%5Cx",
        "limit=-1",
        "limit=ten",
        "resourceVersion=abc",
        "resourceVersion=-1",
        "resourceVersionMatch=Exact",
        "resourceVersion=1&resourceVersionMatch=Roughly",
        "watch=perhaps",
        "timeoutSeconds=x&watch=1",
        "continue=!",
    ] {
        let answer = api.get(&format!("{CONFIG_MAPS}?{wrong}")).await;
        assert_eq!(answer.status, 400, "{wrong}: {}", answer.text());
        assert_eq!(answer.json()["reason"], "BadRequest");
    }
    // What no name can hold selects nothing; it is not the database's problem.
    assert!(api.names(&format!("{CONFIG_MAPS}?fieldSelector=metadata.name%3Da%00")).await.is_empty());
    assert!(api.names("/api/v1/configmaps?fieldSelector=metadata.namespace%3Da%00").await.is_empty());
}

/// The pages of a list, each fetched after `between` had its turn.
pub(crate) async fn pages(
    api: &Api,
    path: &str,
    limit: usize,
    mut between: impl AsyncFnMut(usize),
) -> (i64, Vec<Value>) {
    let separator = if path.contains('?') { '&' } else { '?' };
    let (mut token, mut items, mut revision) = (String::new(), Vec::new(), None);
    for page in 0.. {
        let list = api.get(&format!("{path}{separator}limit={limit}&continue={token}")).await.is(200);
        let of_page = list["items"].as_array().unwrap();
        assert!(of_page.len() <= limit);
        assert_eq!(*revision.get_or_insert(revision_of(&list)), revision_of(&list));
        items.extend(of_page.iter().cloned());
        match list["metadata"]["continue"].as_str() {
            Some(next) => token = next.to_owned(),
            None => {
                assert_eq!(list["metadata"]["remainingItemCount"], Value::Null);
                break;
            }
        }
        between(page).await;
    }
    (revision.unwrap(), items)
}

pub(crate) async fn pages_are_true_at_one_revision(store: Store) {
    let api = store.start().await;
    for number in 0..20 {
        api.config_map(&format!("o{number:02}"), &json!({"labels": {"even": (number % 2 == 0).to_string()}})).await;
    }
    let all = api.get(CONFIG_MAPS).await.is(200);
    let first = api.get(&format!("{CONFIG_MAPS}?limit=7")).await.is(200);
    assert_eq!(first["metadata"]["remainingItemCount"], 13);
    // While pages are fetched, objects before, on and behind the page change, come and go.
    let (revision, items) = pages(&api, CONFIG_MAPS, 3, async |page| {
        api.config_map(&format!("o{page:02}-new"), &json!({})).await;
        api.config_map(&format!("p{page:02}"), &json!({})).await;
        api.merge(&cm(&format!("o{:02}", 19 - page)), &json!({"data": {"k": "changed"}})).await;
        api.delete(&cm(&format!("o{:02}", 3 * page + 4))).await;
    })
    .await;
    assert_eq!((revision, &json!(items)), (revision_of(&all), &all["items"]));

    let even: Vec<&Value> =
        all["items"].as_array().unwrap().iter().filter(|o| o["metadata"]["labels"]["even"] == "true").collect();
    let query =
        format!("{CONFIG_MAPS}?labelSelector=even%3Dtrue&resourceVersion={revision}&resourceVersionMatch=Exact");
    assert_eq!(api.get(&query).await.is(200)["items"], json!(even));
    let exact = format!("{CONFIG_MAPS}?resourceVersion={revision}&resourceVersionMatch=Exact&limit=4");
    let first = api.get(&exact).await.is(200);
    assert_eq!(revision_of(&first), revision);
    let token = text(&first["metadata"]["continue"]);
    let second = api.get(&format!("{CONFIG_MAPS}?limit=4&continue={token}")).await.is(200);
    assert_eq!(second["items"].as_array().unwrap()[..], all["items"].as_array().unwrap()[4..8]);

    let (_, now) = pages(&api, &format!("{CONFIG_MAPS}?labelSelector=even%3Dtrue"), 2, async |_| ()).await;
    let names: Vec<String> = now.iter().map(|item| text(&item["metadata"]["name"])).collect();
    assert_eq!(names, api.names(&format!("{CONFIG_MAPS}?labelSelector=even%3Dtrue")).await);
}

pub(crate) async fn a_compacted_past_is_expired(store: Store) {
    let api = store.start().await;
    for name in ["a", "b", "c"] {
        api.config_map(name, &json!({})).await;
    }
    let first = api.get(&format!("{CONFIG_MAPS}?limit=1")).await.is(200);
    let (revision, token) = (revision_of(&first), text(&first["metadata"]["continue"]));
    api.config_map("d", &json!({})).await;
    let last = revision_of(&api.config_map("e", &json!({})).await);
    api.db.compact_to(last - 1).await.unwrap();
    let next = api.get(&format!("{CONFIG_MAPS}?limit=1&continue={token}")).await;
    next.refused(410, "Expired");
    let exact = |revision: i64| format!("{CONFIG_MAPS}?resourceVersion={revision}&resourceVersionMatch=Exact");
    api.get(&exact(revision)).await.refused(410, "Expired");
    assert_eq!(api.names(&exact(last - 1)).await, ["a", "b", "c", "d"]);
    assert_eq!(api.names(&exact(last)).await.len(), 5);
    // The present needs no past.
    assert_eq!(api.names(&format!("{CONFIG_MAPS}?resourceVersion={revision}")).await.len(), 5);
}

pub(crate) async fn revisions_mean_what_they_mean_in_kubernetes(store: Store) {
    let api = store.start().await;
    let old = revision_of(&api.config_map("a", &json!({})).await);
    let now = revision_of(&api.config_map("b", &json!({})).await);
    for (query, names, revision) in [
        ("".to_owned(), 2, now),
        ("resourceVersion=0".to_owned(), 2, now),
        ("resourceVersion=0&limit=5".to_owned(), 2, now),
        (format!("resourceVersion={old}"), 2, now),
        (format!("resourceVersion={old}&resourceVersionMatch=NotOlderThan"), 2, now),
        (format!("resourceVersion={old}&resourceVersionMatch=NotOlderThan&limit=5"), 2, now),
        (format!("resourceVersion={old}&resourceVersionMatch=Exact"), 1, old),
        // With a limit, a revision without a word on its meaning is exact.
        (format!("resourceVersion={old}&limit=5"), 1, old),
    ] {
        let list = api.get(&format!("{CONFIG_MAPS}?{query}")).await.is(200);
        assert_eq!((list["items"].as_array().unwrap().len(), revision_of(&list)), (names, revision), "{query}");
    }
    for query in ["", "&resourceVersionMatch=Exact", "&limit=5"] {
        let answer = api.get(&format!("{CONFIG_MAPS}?resourceVersion={}{query}", now + 1)).await;
        let message = answer.refused(504, "Timeout");
        assert!(message.starts_with("Too large resource version"), "{message}");
        assert_eq!(answer.json()["details"]["causes"][0]["reason"], "ResourceVersionTooLarge");
        assert_eq!(answer.headers["retry-after"], "1");
    }
    let token = text(&api.get(&format!("{CONFIG_MAPS}?limit=1")).await.is(200)["metadata"]["continue"]);
    let both = api.get(&format!("{CONFIG_MAPS}?limit=1&continue={token}&resourceVersion={old}")).await;
    both.refused(400, "BadRequest");
}

/// Tokens are the client's to keep, and to forge.
pub(crate) async fn forged_tokens_are_refused(store: Store) {
    let api = store.start().await;
    for name in ["a", "b", "c"] {
        api.config_map(name, &json!({})).await;
    }
    let get = async |token: &Value| {
        let token = URL_SAFE_NO_PAD.encode(token.to_string());
        api.get(&format!("{CONFIG_MAPS}?limit=1&continue={token}")).await
    };
    let now = api.revision();
    for token in [
        json!({}),
        json!([]),
        json!({"at": now + 1, "after": ["ns", "a"], "left": null}),
        json!({"at": i64::MAX, "after": ["ns", "a"], "left": null}),
        json!({"at": "x", "after": ["ns", "a"], "left": null}),
    ] {
        let answer = get(&token).await;
        assert_eq!(answer.status, 400, "{token}: {}", answer.text());
    }
    assert_eq!(get(&json!({"at": -1, "after": ["ns", "a"], "left": null})).await.status, 410);
    for left in [i64::MIN, -1, 0, i64::MAX] {
        get(&json!({"at": now, "after": ["ns", "a"], "left": left})).await.is(200);
    }
    let odd = get(&json!({"at": now, "after": ["ns", "a\u{0}"], "left": null})).await;
    assert!([200, 400].contains(&odd.status), "{}", odd.text());
}

/// So many objects that no list of them is sent whole.
const MANY: usize = 1500;

async fn fill(api: &Api) {
    let text = "x".repeat(2000);
    let create = |number: usize| {
        let object = json!({"metadata": {"name": format!("o{number:04}")}, "data": {"k": text}});
        async move { api.post(CONFIG_MAPS, &object).await.is(201) }
    };
    futures::stream::iter((0..MANY).map(create)).buffer_unordered(50).collect::<Vec<_>>().await;
}

/// Begins a list of which the server is to know no length.
async fn begin(api: &Api, path: &str, accept: &str) -> BodyDataStream {
    let request = Request::get(path).header("accept", accept).body(Body::empty()).unwrap();
    let response = api.request(request).await;
    assert_eq!((response.status().as_u16(), response.body().size_hint().exact()), (200, None));
    response.into_body().into_data_stream()
}

/// The rest of a list, and the error that broke it off. `between` has its turn after each piece.
async fn rest(mut list: BodyDataStream, mut between: impl AsyncFnMut(usize)) -> (Vec<u8>, usize, Option<axum::Error>) {
    let mut text = Vec::new();
    for pieces in 0.. {
        match list.next().await {
            Some(Ok(piece)) => text.extend_from_slice(&piece),
            Some(Err(error)) => return (text, pieces, Some(error)),
            None => return (text, pieces, None),
        }
        between(pieces).await;
    }
    unreachable!("no list is that long")
}

pub(crate) async fn long_lists_stream_at_one_revision(store: Store) {
    let api = store.start().await;
    fill(&api).await;
    let (revision, truth) = pages(&api, CONFIG_MAPS, 250, async |_| ()).await;
    assert_eq!(truth.len(), MANY);
    let list = begin(&api, CONFIG_MAPS, "application/json").await;
    // While it is read, objects before, on and behind each page change, come and go; one changes and goes, one goes and
    // comes again, and of those to come more go than a page holds.
    let (text, pieces, error) = rest(list, async |piece| {
        for number in [3, 500, 700, 1100, 1499] {
            api.config_map(&format!("o{number:04}-new{piece}"), &json!({})).await;
            api.merge(&cm(&format!("o{number:04}")), &json!({"data": {"l": piece.to_string()}})).await;
        }
        match piece {
            0 => {
                api.merge(&cm("o1490"), &json!({"data": {"k": "changed"}})).await.is(200);
                api.delete(&cm("o1490")).await.is(200);
                api.delete(&cm("o1491")).await.is(200);
                api.config_map("o1491", &json!({})).await;
                let some = (701..1099).map(|number| cm(&format!("o{number:04}")));
                futures::stream::iter(some)
                    .for_each_concurrent(50, async |path| drop(api.delete(&path).await.is(200)))
                    .await;
            }
            1 => {
                api.delete(&cm("o0000")).await.is(200);
                api.delete(&cm("o1499")).await.is(200);
            }
            _ => {}
        }
    })
    .await;
    assert!(error.is_none() && pieces > 3, "{pieces} pieces, {error:?}");
    assert!(
        text.starts_with(
            format!(
                r#"{{"kind":"ConfigMapList","apiVersion":"v1","metadata":{{"resourceVersion":"{revision}"}},"items":["#
            )
            .as_bytes()
        )
    );
    let list: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!((revision_of(&list), &list["items"]), (revision, &json!(truth)));

    // The same past, asked for by its revision, in all representations.
    let exact = format!("{CONFIG_MAPS}?resourceVersion={revision}&resourceVersionMatch=Exact");
    let of = |kind: &str| format!("application/json;as={kind};v=v1;g=meta.k8s.io");
    for (accept, items, name) in [
        ("application/json".to_owned(), "/items", "/metadata/name"),
        ("application/yaml".to_owned(), "/items", "/metadata/name"),
        (of("PartialObjectMetadataList"), "/items", "/metadata/name"),
        (of("Table"), "/rows", "/cells/0"),
    ] {
        let list = begin(&api, &exact, &accept).await;
        let (text, _, error) = rest(list, async |_| ()).await;
        assert!(error.is_none(), "{accept}: {error:?}");
        let list: Value = match accept.ends_with("yaml") {
            true => serde_norway::from_slice(&text).unwrap(),
            false => serde_json::from_slice(&text).unwrap(),
        };
        assert_eq!(revision_of(&list), revision, "{accept}");
        let items = list.pointer(items).and_then(Value::as_array).unwrap();
        let names: Vec<&Value> = items.iter().map(|item| item.pointer(name).unwrap()).collect();
        let wanted: Vec<&Value> = truth.iter().map(|item| &item["metadata"]["name"]).collect();
        assert_eq!(names, wanted, "{accept}");
    }

    // What fits is sent whole, with its length.
    for query in ["?limit=5", "?fieldSelector=metadata.name%3Do0001", "?labelSelector=none"] {
        let request = Request::get(format!("{CONFIG_MAPS}{query}")).body(Body::empty()).unwrap();
        let length = api.request(request).await.body().size_hint().exact();
        assert!(length.is_some_and(|length| length > 50), "{query}: {length:?}");
    }
}

pub(crate) async fn an_interrupted_list_is_no_list(store: Store) {
    let api = store.start().await;
    fill(&api).await;
    for accept in ["application/json", "application/json;as=Table;v=v1;g=meta.k8s.io"] {
        let list = begin(&api, &format!("{CONFIG_MAPS}?includeObject=Object"), accept).await;
        let (text, pieces, error) = rest(list, async |_| {
            api.merge(&cm("o1499"), &json!({"data": {"l": api.revision().to_string()}})).await.is(200);
            api.db.compact_to(api.revision()).await.unwrap();
        })
        .await;
        assert!(error.is_some_and(|error| error.to_string().contains("too old resource version")), "{pieces}");
        assert!(!text.is_empty() && serde_json::from_slice::<Value>(&text).is_err(), "{accept}");
    }
    // Nothing was sent yet: then an error is answered as one.
    let past = format!("{CONFIG_MAPS}?resourceVersion={}&resourceVersionMatch=Exact", api.revision() - 1);
    api.get(&past).await.refused(410, "Expired");
    // Who goes away leaves nothing behind that holds the database open.
    drop(begin(&api, CONFIG_MAPS, "application/json").await);
    api.stop().await;
}
