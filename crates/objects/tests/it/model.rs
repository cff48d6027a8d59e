//! Lists of the past against a model that remembers everything.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use crate::rig::{Api, Store, revision_of, text};

/// Namespace and name to object.
type State = BTreeMap<(String, String), Value>;

const NAMESPACES: [&str; 3] = ["ns", "ns-a", "nsb"];

/// Random changes, one at a time; after each the model knows the state at that revision. Meanwhile lists are read page by
/// page, and in the end every revision is listed in some way.
pub(crate) async fn every_past_list_is_exact(store: Store) {
    let api = store.start().await;
    for namespace in NAMESPACES {
        api.namespace(namespace).await;
    }
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let start = api.revision();
    let mut past = vec![State::new()];
    let mut open: Vec<Pages> = Vec::new();
    while past.len() < 250 {
        let mut now = past[past.len() - 1].clone();
        if change(&api, &mut random, &mut now).await {
            past.push(now);
            assert_eq!(api.revision(), start + past.len() as i64 - 1);
        }
        if open.len() < 5 {
            open.push(Pages::begin(&mut random));
        }
        let next = random.random_range(0..open.len());
        if let Some((revision, items)) = open[next].advance(&api).await {
            open[next].check(&items, &past[usize::try_from(revision - start).unwrap()], revision);
            open.swap_remove(next);
        }
    }
    for (index, state) in past.iter().enumerate() {
        let revision = start + index as i64;
        let mut pages = Pages::begin(&mut random);
        pages.first = format!("&resourceVersion={revision}&resourceVersionMatch=Exact");
        let (listed, items) = loop {
            if let Some(done) = pages.advance(&api).await {
                break done;
            }
        };
        assert_eq!(listed, revision);
        pages.check(&items, state, revision);
    }
}

fn path(namespace: &str) -> String {
    if namespace.is_empty() {
        "/api/v1/configmaps".to_owned()
    } else {
        format!("/api/v1/namespaces/{namespace}/configmaps")
    }
}

/// Changes one object; `false` if that changed nothing.
async fn change(api: &Api, random: &mut StdRng, now: &mut State) -> bool {
    let namespace = NAMESPACES[random.random_range(0..NAMESPACES.len())];
    let name = format!("o{}", random.random_range(0..9));
    let key = (namespace.to_owned(), name.clone());
    let (collection, object) = (path(namespace), format!("{}/{name}", path(namespace)));
    let labels = json!({"l": random.random_range(0..3).to_string()});
    let data = json!({"k": random.random_range(0..1000).to_string()});
    match (now.get(&key), random.random_range(0..10)) {
        (None, _) => {
            let made = json!({"metadata": {"name": name, "labels": labels}, "data": data});
            now.insert(key, api.post(&collection, &made).await.is(201));
        }
        (Some(_), 0..3) => {
            api.delete(&object).await.is(200);
            now.remove(&key);
        }
        (Some(before), _) => {
            let changed = api.merge(&object, &json!({"metadata": {"labels": labels}, "data": data})).await.is(200);
            if changed == *before {
                return false;
            }
            now.insert(key, changed);
        }
    }
    true
}

/// A list that is read page by page.
struct Pages {
    namespace: &'static str,
    label: Option<String>,
    limit: usize,
    first: String,
    token: String,
    items: Vec<Value>,
    revision: Option<i64>,
}

impl Pages {
    fn begin(random: &mut StdRng) -> Self {
        Self {
            namespace: ["", "ns", "ns-a", "nsb"][random.random_range(0..4)],
            label: random.random_bool(0.4).then(|| random.random_range(0..4).to_string()),
            limit: random.random_range(0..7),
            first: String::new(),
            token: String::new(),
            items: Vec::new(),
            revision: None,
        }
    }

    /// Reads a page; revision and objects if it was the last.
    async fn advance(&mut self, api: &Api) -> Option<(i64, Vec<Value>)> {
        let label = self.label.as_ref().map_or(String::new(), |label| format!("l%3D{label}"));
        let position = match self.token.as_str() {
            "" => self.first.clone(),
            token => format!("&continue={token}"),
        };
        let query = format!("{}?labelSelector={label}&limit={}{position}", path(self.namespace), self.limit);
        let list = api.get(&query).await.is(200);
        let revision = revision_of(&list);
        assert_eq!(*self.revision.get_or_insert(revision), revision);
        let page = list["items"].as_array().unwrap();
        assert!(self.limit == 0 || page.len() <= self.limit);
        self.items.extend(page.iter().cloned());
        match list["metadata"]["continue"].as_str() {
            Some(token) => token.clone_into(&mut self.token),
            None => return Some((revision, std::mem::take(&mut self.items))),
        }
        assert_eq!(page.len(), self.limit, "a page that is not the last is full");
        None
    }

    fn check(&self, items: &[Value], state: &State, revision: i64) {
        let selected = state.iter().filter(|((namespace, _), object)| {
            (self.namespace.is_empty() || self.namespace == namespace)
                && self.label.as_ref().is_none_or(|label| text(&object["metadata"]["labels"]["l"]) == *label)
        });
        let expected: Vec<&Value> = selected.map(|(_, object)| object).collect();
        assert_eq!(
            items.iter().collect::<Vec<_>>(),
            expected,
            "{:?} at {revision}",
            (self.namespace, &self.label, self.limit)
        );
    }
}
