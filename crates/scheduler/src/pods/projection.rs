//! Writes what attempts look like to their rows and to the feed.

use std::sync::Arc;

use mcplane_apimachinery::names;
use mcplane_core::{Error, Result, clock};
use mcplane_db::{Arg, Row, Tx};
use mcplane_objects::object::{self, ObjectExt as _};
use mcplane_objects::storage::{Key, publish, retract};
use serde_json::Value;

use super::{Attempt, Identity, PODS, Phase};
use crate::tasks::{State, Task, Work};

/// Names that are tried for one pod.
const NAMES_TRIED: usize = 8;

/// What was last shown of an attempt.
struct Shown {
    identity: Identity,
    revision: i64,
    text: String,
    is_over: bool,
}

/// Shows a task whose row changed, if its work is a pod: the attempt that it is at, and the one before that ended.
///
/// # Errors
/// When the store fails.
pub async fn show(tx: &mut Tx, task: &Task) -> Result<()> {
    if !matches!(task.spec.work, Work::Pod(_)) {
        return Ok(());
    }
    let at = Attempt::of(task);
    if at.phase == Phase::Pending && task.attempt > 0 {
        let ended = Attempt::given_back(task, tx.now());
        if shown(tx, task.no, task.attempt).await?.is_some_and(|was| !was.is_over) {
            show_attempt(tx, task, &ended).await?;
        }
    }
    if task.state == State::Cancelled && shown(tx, task.no, task.attempt + 1).await?.is_some() {
        return show_attempt(tx, task, &Attempt::given_up(task)).await;
    }
    show_attempt(tx, task, &at).await
}

/// Shows one attempt of `task` as it is now: nothing happens if it looks as before, or if the work is no pod.
///
/// # Errors
/// When the store fails.
pub async fn show_attempt(tx: &mut Tx, task: &Task, attempt: &Attempt) -> Result<()> {
    let Work::Pod(template) = &task.spec.work else { return Ok(()) };
    tx.lock().await?;
    let was = shown(tx, task.no, attempt.attempt).await?;
    if let Some(was) = &was
        && was.identity.deleted_at.is_some()
        && attempt.phase.is_final()
    {
        remove(tx, &task.namespace, task.no, attempt.attempt, was).await?;
        return Ok(());
    }
    let (identity, before) = match &was {
        Some(was) => (was.identity.clone(), (was.revision, was.text.as_str())),
        None => (born(tx, task, attempt, template).await?, (0, "")),
    };
    let object = super::object(task, attempt, &identity);
    let Some((revision, text)) = publish(tx, &key(&task.namespace, &identity.name), before, &object).await? else {
        return Ok(());
    };
    let args = vec![
        task.no.into(),
        attempt.attempt.into(),
        Arg::from(Arc::clone(&task.namespace)),
        identity.name.into(),
        identity.uid.into(),
        revision.into(),
        text.into(),
    ];
    let sql = "INSERT INTO attempts (task, attempt, namespace, object_name, uid, revision, object) \
               VALUES ($1, $2, $3, $4, $5, $6, $7) \
               ON CONFLICT (task, attempt) DO UPDATE SET revision = excluded.revision, object = excluded.object";
    tx.execute(sql, args).await.map(drop)
}

/// Takes all pods of tasks away, before the tasks go.
///
/// # Errors
/// When the store fails.
pub async fn forget(tx: &mut Tx, tasks: &[i64]) -> Result<()> {
    tx.lock().await?;
    for task in tasks {
        let sql = "SELECT object_name, uid, revision, object, attempt, namespace FROM attempts WHERE task = $1";
        for row in tx.fetch(sql, vec![(*task).into()]).await? {
            remove(tx, row.text(5)?, *task, row.int(4)?, &read(&row)?).await?;
        }
    }
    Ok(())
}

async fn shown(tx: &mut Tx, task: i64, attempt: i64) -> Result<Option<Shown>> {
    let sql = "SELECT object_name, uid, revision, object FROM attempts WHERE task = $1 AND attempt = $2";
    tx.fetch(sql, vec![task.into(), attempt.into()]).await?.first().map(read).transpose()
}

fn read(row: &Row) -> Result<Shown> {
    let text = row.text(3)?.to_owned();
    let object = object::parse(&text)?;
    let time = |field| clock::parse_rfc3339(object.meta_text(field));
    let identity = Identity {
        name: row.text(0)?.to_owned(),
        uid: row.text(1)?.to_owned(),
        created_at: time("creationTimestamp").unwrap_or_default(),
        deleted_at: time("deletionTimestamp"),
    };
    let is_over = matches!(object["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    Ok(Shown { identity, revision: row.int(2)?, text, is_over })
}

async fn remove(tx: &mut Tx, namespace: &str, task: i64, attempt: i64, was: &Shown) -> Result<()> {
    retract(tx, &key(namespace, &was.identity.name), &was.text).await?;
    let sql = "DELETE FROM attempts WHERE task = $1 AND attempt = $2";
    tx.execute(sql, vec![task.into(), attempt.into()]).await.map(drop)
}

fn key(namespace: &str, name: &str) -> Key {
    Key::new(&Arc::from(PODS), namespace, name)
}

/// What a new pod keeps for life. The first attempt has the name that its template asks for.
async fn born(tx: &mut Tx, task: &Task, attempt: &Attempt, template: &Value) -> Result<Identity> {
    let prefix = match template.meta_text("generateName") {
        "" => format!("{}-", dns_name(&task.name)),
        prefix => prefix.to_owned(),
    };
    let numbered = || format!("{}{}-{}", prefix, task.no, attempt.attempt);
    let first = match (template.meta_text("name"), attempt.attempt) {
        ("", _) if template.meta_text("generateName").is_empty() => numbered(),
        ("", _) => names::generate_name(&prefix, rand::random),
        (name, 1) => name.to_owned(),
        (name, _) => names::generate_name(&format!("{name}-"), rand::random),
    };
    let mut name = first;
    for _ in 0..NAMES_TRIED {
        let sql = "SELECT 1 FROM attempts WHERE namespace = $1 AND object_name = $2";
        let args = vec![Arg::from(Arc::clone(&task.namespace)), name.as_str().into()];
        if tx.fetch(sql, args).await?.is_empty() {
            let uid = uuid::Uuid::new_v4().to_string();
            return Ok(Identity { uid, name, created_at: tx.now(), deleted_at: None });
        }
        name = names::generate_name(&prefix, rand::random);
    }
    Err(Error::internal("no name was free for a pod"))
}

/// What people called a task, as a part of a name that DNS allows.
fn dns_name(text: &str) -> String {
    const LONGEST: usize = 40;
    let mut name = String::with_capacity(text.len().min(LONGEST));
    for letter in text.chars().map(|letter| letter.to_ascii_lowercase()) {
        if name.len() >= LONGEST {
            break;
        }
        match letter {
            'a'..='z' | '0'..='9' => name.push(letter),
            _ if name.is_empty() || name.ends_with('-') => {}
            _ => name.push('-'),
        }
    }
    let name = name.trim_end_matches('-');
    if name.is_empty() { "task".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_of_tasks_become_names_of_pods() {
        for (task, pod) in [
            ("train.py", "train-py"),
            ("XGBoost v3 (final)", "xgboost-v3-final"),
            ("Übung", "bung"),
            ("--", "task"),
            ("", "task"),
            ("a/b//c", "a-b-c"),
        ] {
            assert_eq!(dns_name(task), pod);
        }
    }

    proptest! {
        #[test]
        fn any_name_becomes_one_of_dns(text in "\\PC{0,80}") {
            let name = dns_name(&text);
            prop_assert_eq!(names::dns1123_label(&format!("{name}-9223372036854775807-1")), Ok(()));
        }
    }
}
