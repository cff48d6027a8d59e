//! kube-rs over a real socket: what operators are written with.

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions, WatchEvent, WatchParams};
use kube::core::PartialObjectMeta;
use kube::runtime::controller::Action;
use kube::runtime::finalizer::{self, finalizer};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{Controller, WatchStreamExt, reflector};
use kube::{Api, Client, Resource, ResourceExt};
use mcplane_testkit::{Backend, Server, on_each_backend};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

on_each_backend!(api, watch_resumes_where_it_was, watcher_follows, reflector_mirrors, controller_reconciles);

const NAMESPACE: &str = "work";

/// Runs a scenario against a server of its own, with a namespace to work in.
fn scenario<F: Future<Output = ()>>(backend: Backend, body: impl FnOnce(Client) -> F) {
    let server = Server::start(env!("CARGO_BIN_EXE_mcplane"), backend);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let client = connect(&server.url(), NAMESPACE);
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let namespace = from(json!({"metadata": {"name": NAMESPACE}}));
        namespaces.create(&PostParams::default(), &namespace).await.unwrap();
        tokio::time::timeout(Duration::from_secs(60), body(client)).await.expect("the scenario ends in a minute");
    });
}

/// A client as any program makes one.
pub(crate) fn connect(url: &str, namespace: &str) -> Client {
    rustls::crypto::ring::default_provider().install_default().ok();
    let mut config = kube::Config::new(url.parse().unwrap());
    config.default_namespace = namespace.to_owned();
    Client::try_from(config).unwrap()
}

fn from<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn config_map(name: &str, value: &str) -> ConfigMap {
    from(json!({"metadata": {"name": name}, "data": {"v": value}}))
}

fn value_of(map: &ConfigMap) -> &str {
    map.data.as_ref().and_then(|data| data.get("v")).map_or("", String::as_str)
}

fn code(error: kube::Error) -> (u16, String) {
    match error {
        kube::Error::Api(status) => (status.code, status.reason.clone()),
        other => panic!("not an answer of the server: {other}"),
    }
}

fn api(backend: Backend) {
    scenario(backend, |client| async move {
        let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
        let create = PostParams::default();
        let made = maps.create(&create, &config_map("c", "1")).await.unwrap();
        assert_eq!(maps.get("c").await.unwrap(), made);
        assert_eq!(maps.get_opt("none").await.unwrap(), None);
        assert_eq!(code(maps.create(&create, &config_map("c", "1")).await.unwrap_err()), (409, "AlreadyExists".into()));

        let merged =
            maps.patch("c", &PatchParams::default(), &Patch::Merge(json!({"data": {"v": "2"}}))).await.unwrap();
        assert_eq!(value_of(&merged), "2");
        assert_eq!(code(maps.replace("c", &create, &made).await.unwrap_err()), (409, "Conflict".into()));
        let patch = Patch::Strategic(json!({"metadata": {"labels": {"a": "b"}}}));
        let labelled = maps.patch("c", &PatchParams::default(), &patch).await.unwrap();
        assert_eq!(labelled.labels()["a"], "b");
        assert_eq!(labelled.uid(), made.uid());
        let dry = PatchParams { dry_run: true, ..PatchParams::default() };
        maps.patch("c", &dry, &Patch::Merge(json!({"data": {"v": "never"}}))).await.unwrap();
        assert_eq!(maps.get("c").await.unwrap(), labelled);

        let metadata = maps.get_metadata("c").await.unwrap();
        assert_eq!(metadata.metadata, labelled.metadata);
        let listed = maps.list_metadata(&ListParams::default().labels("a=b")).await.unwrap();
        assert_eq!(listed.items.len(), 1);
        let all: Api<ConfigMap> = Api::all(client.clone());
        let found = all.list(&ListParams::default().fields("metadata.namespace=work,metadata.name=c")).await.unwrap();
        assert_eq!(found.items, std::slice::from_ref(&labelled));

        let stale = Preconditions { resource_version: made.resource_version(), uid: None };
        let stale = DeleteParams { preconditions: Some(stale), ..DeleteParams::default() };
        assert_eq!(code(maps.delete("c", &stale).await.unwrap_err()), (409, "Conflict".into()));
        maps.delete("c", &DeleteParams::default()).await.unwrap();
        assert_eq!(code(maps.get("c").await.unwrap_err()), (404, "NotFound".into()));
        for n in 0..3 {
            maps.create(&create, &config_map(&format!("c-{n}"), "")).await.unwrap();
        }
        maps.delete_collection(&DeleteParams::default(), &ListParams::default()).await.unwrap();
        assert!(maps.list(&ListParams::default()).await.unwrap().items.is_empty());
        let info = client.apiserver_version().await.unwrap();
        assert_eq!(info.major, "1");
    });
}

fn watch_resumes_where_it_was(backend: Backend) {
    scenario(backend, |client| async move {
        let maps: Api<ConfigMap> = Api::default_namespaced(client);
        let start = maps.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
        for n in 0..20 {
            maps.create(&PostParams::default(), &config_map(&format!("c-{n:02}"), "")).await.unwrap();
        }
        // Each watch is left after three events; the next goes on where it was.
        let (mut seen, mut revision) = (Vec::new(), start);
        while seen.len() < 20 {
            let watch = maps.watch(&WatchParams::default().timeout(20), &revision).await.unwrap();
            let events: Vec<WatchEvent<ConfigMap>> = watch.take(3.min(20 - seen.len())).try_collect().await.unwrap();
            for event in events {
                let WatchEvent::Added(map) = event else { panic!("{event:?}") };
                revision = map.resource_version().unwrap();
                seen.push(map.name_any());
            }
        }
        assert_eq!(seen, (0..20).map(|n| format!("c-{n:02}")).collect::<Vec<_>>());
        let ahead = maps.watch(&WatchParams::default().timeout(1), "1").await;
        // Revision 1 is from before the namespace: it can be served from, or is compacted; nothing else.
        if let Err(error) = ahead {
            assert_eq!(code(error).0, 410);
        }
    });
}

fn watcher_follows(backend: Backend) {
    scenario(backend, |client| async move {
        let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
        for n in 0..7 {
            maps.create(&PostParams::default(), &config_map(&format!("old-{n}"), "")).await.unwrap();
        }
        let config = watcher::Config::default().page_size(3);
        let mut full = kube::runtime::watcher(maps.clone(), config.clone()).default_backoff().boxed();
        assert!(matches!(full.next().await.unwrap().unwrap(), Event::Init));
        for n in 0..7 {
            let Event::InitApply(map) = full.next().await.unwrap().unwrap() else { panic!("{n}") };
            assert_eq!(map.name_any(), format!("old-{n}"));
        }
        assert!(matches!(full.next().await.unwrap().unwrap(), Event::InitDone));

        let metadata: Api<PartialObjectMeta<ConfigMap>> = Api::default_namespaced(client);
        let mut light = kube::runtime::watcher(metadata, config).boxed();
        while !matches!(light.next().await.unwrap().unwrap(), Event::InitDone) {}

        maps.create(&PostParams::default(), &config_map("new", "1")).await.unwrap();
        let Event::Apply(map) = full.next().await.unwrap().unwrap() else { panic!("new") };
        assert_eq!((map.name_any().as_str(), value_of(&map)), ("new", "1"));
        let Event::Apply(metadata) = light.next().await.unwrap().unwrap() else { panic!("new") };
        assert_eq!(metadata.metadata, map.metadata);
        maps.delete("new", &DeleteParams::default()).await.unwrap();
        assert!(matches!(full.next().await.unwrap().unwrap(), Event::Delete(map) if map.name_any() == "new"));
        assert!(matches!(light.next().await.unwrap().unwrap(), Event::Delete(map) if map.name_any() == "new"));
    });
}

/// A mirror in memory ends up equal to the server after many concurrent changes.
fn reflector_mirrors(backend: Backend) {
    scenario(backend, |client| async move {
        let maps: Api<ConfigMap> = Api::default_namespaced(client);
        let (store, writer) = reflector::store();
        let stream = reflector(writer, kube::runtime::watcher(maps.clone(), watcher::Config::default()));
        let mirror = tokio::spawn(stream.default_backoff().touched_objects().for_each(|_| async {}));
        store.wait_until_ready().await.unwrap();
        let tasks: Vec<_> = (0..8)
            .map(|task| {
                let maps = maps.clone();
                tokio::spawn(async move {
                    for n in 0..12 {
                        let name = format!("c-{task}-{}", n % 4);
                        match n / 4 {
                            0 => drop(maps.create(&PostParams::default(), &config_map(&name, "0")).await.unwrap()),
                            1 => {
                                let patch = Patch::Merge(json!({"data": {"v": "1"}}));
                                maps.patch(&name, &PatchParams::default(), &patch).await.unwrap();
                            }
                            _ if n % 2 == 0 => drop(maps.delete(&name, &DeleteParams::default()).await.unwrap()),
                            _ => {}
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let truth = revisions(maps.list(&ListParams::default()).await.unwrap().items.iter());
        assert_eq!(truth.len(), 16);
        for _ in 0..200 {
            if revisions(store.state().iter().map(AsRef::as_ref)) == truth {
                mirror.abort();
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(revisions(store.state().iter().map(AsRef::as_ref)), truth);
    });
}

fn revisions<'a>(maps: impl Iterator<Item = &'a ConfigMap>) -> BTreeMap<String, String> {
    maps.map(|map| (map.name_any(), map.resource_version().unwrap())).collect()
}

/// The operator of this test: each map labelled `copy=yes` gets a secret that it owns, and a farewell when it goes.
async fn reconcile(map: Arc<ConfigMap>, client: Arc<Client>) -> Result<Action, finalizer::Error<kube::Error>> {
    let maps: Api<ConfigMap> = Api::namespaced((*client).clone(), NAMESPACE);
    let secrets: Api<Secret> = Api::namespaced((*client).clone(), NAMESPACE);
    finalizer(&maps.clone(), "example.com/copier", map, |event| async move {
        match event {
            finalizer::Event::Apply(map) => {
                let secret: Secret = from(json!({
                    "metadata": {"name": map.name_any(), "ownerReferences": [map.controller_owner_ref(&()).unwrap()]},
                    "stringData": {"v": value_of(&map)},
                }));
                match secrets.create(&PostParams::default(), &secret).await {
                    Err(kube::Error::Api(status)) if status.code == 409 => {
                        let patch = Patch::Merge(json!({"stringData": {"v": value_of(&map)}}));
                        secrets.patch(&map.name_any(), &PatchParams::default(), &patch).await?;
                    }
                    other => drop(other?),
                }
            }
            finalizer::Event::Cleanup(map) => {
                let farewell = config_map(&format!("{}-was-here", map.name_any()), value_of(&map));
                maps.create(&PostParams::default(), &farewell).await?;
            }
        }
        Ok(Action::await_change())
    })
    .await
}

fn controller_reconciles(backend: Backend) {
    scenario(backend, |client| async move {
        let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
        let secrets: Api<Secret> = Api::default_namespaced(client.clone());
        let selected = watcher::Config::default().labels("copy=yes");
        let controller = Controller::new(maps.clone(), selected)
            .owns(secrets.clone(), watcher::Config::default())
            .run(reconcile, |_, _, _| Action::requeue(Duration::from_millis(100)), Arc::new(client))
            .for_each(|_| async {});
        let controller = tokio::spawn(controller);

        let mut map = config_map("origin", "one");
        map.labels_mut().insert("copy".into(), "yes".into());
        let map = maps.create(&PostParams::default(), &map).await.unwrap();
        let copy = until(|| async { secrets.get_opt("origin").await.unwrap() }).await;
        assert_eq!(copy.data.unwrap()["v"].0, b"one");
        assert_eq!(copy.metadata.owner_references.unwrap()[0].uid, map.uid().unwrap());

        maps.patch("origin", &PatchParams::default(), &Patch::Merge(json!({"data": {"v": "two"}}))).await.unwrap();
        let copied = |secret: &Secret| secret.data.as_ref().is_some_and(|data| data["v"].0 == b"two");
        until(|| async { secrets.get_opt("origin").await.unwrap().filter(copied) }).await;

        // The copy is made again when somebody takes it away.
        secrets.delete("origin", &DeleteParams::default()).await.unwrap();
        until(|| async { secrets.get_opt("origin").await.unwrap() }).await;

        maps.delete("origin", &DeleteParams::default()).await.unwrap();
        let gone = || async { maps.get_opt("origin").await.unwrap().is_none().then_some(()) };
        until(gone).await;
        assert_eq!(value_of(&maps.get("origin-was-here").await.unwrap()), "two");
        until(|| async { secrets.get_opt("origin").await.unwrap().is_none().then_some(()) }).await;
        controller.abort();
    });
}

/// Asks again until there is an answer; the scenario has its own limit.
async fn until<T, F: Future<Output = Option<T>>>(ask: impl Fn() -> F) -> T {
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
