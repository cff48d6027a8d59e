//! Which task is meant.

use serde_json::Value;

use super::super::failure::Failure;
use super::{Tasks, show};

/// Tasks that are looked through for a name, newest first.
const MOST: usize = 1000;
/// Characters of an id.
const ID: usize = 36;

impl Tasks<'_> {
    /// The task of an id, of the start of one, or the newest of a name.
    pub(super) async fn find(&self, wanted: &str) -> Result<Value, Failure> {
        if wanted.len() == ID && wanted.chars().all(|c| c.is_ascii_hexdigit() || c == '-') {
            return self.get(wanted).await;
        }
        choose(self.list(None, None, MOST).await?, wanted)
            .map_err(|why| Failure::failed(format!("{why} in namespace {}", self.namespace)))
    }
}

fn choose(tasks: Vec<Value>, wanted: &str) -> Result<Value, String> {
    if let Some(named) = tasks.iter().position(|task| task["name"] == wanted) {
        return tasks.into_iter().nth(named).ok_or_else(String::new);
    }
    let mut begun: Vec<Value> = tasks
        .into_iter()
        .filter(|task| !wanted.is_empty() && show::text(task, "id").starts_with(&wanted.to_ascii_lowercase()))
        .collect();
    match (begun.pop(), begun.len()) {
        (Some(task), 0) => Ok(task),
        (Some(_), others) => Err(format!("{} tasks have an id that begins with {wanted}", others + 1)),
        (None, _) => Err(format!("none of the newest {MOST} tasks has the name {wanted:?} or an id that begins so")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_mean_the_newest_and_ids_may_be_short() {
        let tasks = || {
            vec![
                json!({"id": "aa3", "name": "train"}),
                json!({"id": "aa2", "name": "train"}),
                json!({"id": "ab1", "name": "aa"}),
            ]
        };
        let chosen = |wanted: &str| choose(tasks(), wanted).map(|task| show::text(&task, "id").to_owned());
        assert_eq!(chosen("train").unwrap(), "aa3");
        assert_eq!(chosen("AB").unwrap(), "ab1");
        assert_eq!(chosen("aa").unwrap(), "ab1", "a name goes before an id");
        assert!(chosen("a").unwrap_err().starts_with("3 tasks"));
        assert!(chosen("").unwrap_err().starts_with("none"));
    }
}
