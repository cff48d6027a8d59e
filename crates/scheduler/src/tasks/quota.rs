//! What LimitRange and ResourceQuota say to tasks whose work is a pod. Decided in the unit that makes them, under the lock,
//! so that no storm of submissions can pass a limit; what is used is counted from the unfinished tasks themselves.

use mcplane_apimachinery::quantity::{Format, Quantity};
use mcplane_apimachinery::resources::limits::{self, LimitRange};
use mcplane_apimachinery::resources::quota::Quota;
use mcplane_apimachinery::resources::usage::pod_usage;
use mcplane_apimachinery::resources::{Pod, Refusal, ResourceList};
use mcplane_core::{Error, Result, Subject, Timestamp};
use mcplane_db::{Db, Row, Tx};
use mcplane_objects::object;
use serde_json::{Map, Value};

use super::types::{NewTask, Spec, Work};

/// Gives pods what the namespace's limit ranges default, and refuses those that its policies do not allow. To be called
/// under the lock, in the unit that makes the tasks, and for tasks that are made, not for those that were found.
///
/// # Errors
/// [`Error::Invalid`] for amounts that are no quantities, [`Error::Forbidden`] for what a policy forbids.
pub async fn admit(tx: &mut Tx, namespace: &str, new: &mut [NewTask]) -> Result<()> {
    if !new.iter().any(|task| matches!(task.spec.work, Work::Pod(_))) {
        return Ok(());
    }
    let (ranges, quotas) = policies(tx, namespace).await?;
    if ranges.is_empty() && quotas.is_empty() {
        return Ok(());
    }
    let mut asked = Vec::with_capacity(new.len());
    for task in new {
        if let Some(pod) = default_and_check(task, &ranges)? {
            asked.push((subject(task), pod));
        }
    }
    if quotas.is_empty() {
        return Ok(());
    }
    let (running, shown) = (unfinished(tx, namespace).await?, shown(tx, namespace).await?);
    charge(&quotas, &running, shown, &asked, tx.now())
}

fn subject(task: &NewTask) -> Subject {
    Subject::new("", "pods", task.name.as_str())
}

/// Fills in what the task's pod leaves to the limit ranges, and gives the pod.
fn default_and_check(task: &mut NewTask, ranges: &[LimitRange]) -> Result<Option<Pod>> {
    let refused = subject(task);
    let Work::Pod(template) = &mut task.spec.work else { return Ok(None) };
    limits::admit_pod(ranges, template).map_err(|refusal| refusal.into_error(refused.clone()))?;
    let pod = Pod::from_object(template).map_err(|faults| Refusal::Malformed(faults).into_error(refused))?;
    let requests = pod.requests();
    // Devices have no defaults, and may be asked for under names of our own.
    task.demand.cpu_milli = requests.get("cpu").map_or(task.demand.cpu_milli, |cpu| cpu.milli());
    task.demand.memory = requests.get("memory").map_or(task.demand.memory, |memory| memory.value());
    Ok(Some(pod))
}

/// Whether all pods that are asked for fit into every quota, beside those that there are.
fn charge(quotas: &[Value], running: &[Pod], shown: i64, asked: &[(Subject, Pod)], now: Timestamp) -> Result<()> {
    for policy in quotas {
        let mut policy = policy.clone();
        policy["status"] = Value::Null;
        let Ok(quota) = Quota::from_object(&policy) else { continue };
        let mut used = sum(&quota, running, now);
        used.insert("count/pods".to_owned(), units(shown));
        for (subject, pod) in asked {
            let text = |(name, amount): (&String, &Quantity)| (name.clone(), Value::from(amount.to_string()));
            policy["status"] =
                Value::Object(Map::from_iter([("used".to_owned(), Value::Object(used.iter().map(text).collect()))]));
            let quota =
                Quota::from_object(&policy).map_err(|faults| Refusal::Malformed(faults).into_error(subject.clone()))?;
            if let Some(after) = quota.admit_pod(pod, now).map_err(|refusal| refusal.into_error(subject.clone()))? {
                used = after;
            }
        }
    }
    Ok(())
}

/// What pods use of that to which a quota applies.
fn sum(quota: &Quota, pods: &[Pod], now: Timestamp) -> ResourceList {
    let mut used = ResourceList::new();
    for pod in pods.iter().filter(|pod| quota.matches(pod)) {
        for (name, amount) in pod_usage(pod, now) {
            *used.entry(name).or_default() += amount;
        }
    }
    used
}

/// What the unfinished tasks of a namespace use of that to which a quota applies, but for the number of their pods as objects: finished
/// ones count there too.
///
/// # Errors
/// When the store fails.
pub async fn used(db: &Db, namespace: &str, quota: &Quota, now: Timestamp) -> Result<ResourceList> {
    let rows = db.fetch(UNFINISHED, vec![namespace.into()]).await?;
    let mut used = sum(quota, &pods_of(&rows)?, now);
    used.remove("count/pods");
    Ok(used)
}

fn units(count: i64) -> Quantity {
    Quantity::from_units(count, Format::DecimalSi)
}

/// The limit ranges of a namespace, and its quotas.
async fn policies(tx: &mut Tx, namespace: &str) -> Result<(Vec<LimitRange>, Vec<Value>)> {
    let sql = "SELECT resource, body FROM objects WHERE resource IN ('limitranges', 'resourcequotas') \
               AND namespace = $1 ORDER BY name";
    let (mut ranges, mut quotas) = (Vec::new(), Vec::new());
    for row in tx.fetch(sql, vec![namespace.into()]).await? {
        let policy = object::parse(row.text(1)?)?;
        match row.text(0)? {
            "limitranges" => ranges.extend(LimitRange::from_object(&policy)),
            _ => quotas.push(policy),
        }
    }
    Ok((ranges, quotas))
}

/// The pods of the namespace's unfinished tasks.
async fn unfinished(tx: &mut Tx, namespace: &str) -> Result<Vec<Pod>> {
    pods_of(&tx.fetch(UNFINISHED, vec![namespace.into()]).await?)
}

/// The specs of a namespace's tasks that are to run or run.
const UNFINISHED: &str = "SELECT spec FROM tasks WHERE namespace = $1 AND state < 3";

fn pods_of(rows: &[Row]) -> Result<Vec<Pod>> {
    let mut pods = Vec::with_capacity(rows.len());
    for row in rows {
        let spec: Spec = serde_json::from_str(row.text(0)?).map_err(Error::internal)?;
        if let Work::Pod(template) = spec.work {
            pods.extend(Pod::from_object(&template));
        }
    }
    Ok(pods)
}

/// How many pods are shown in the namespace, finished ones too.
async fn shown(tx: &mut Tx, namespace: &str) -> Result<i64> {
    let rows = tx.fetch("SELECT count(*) FROM attempts WHERE namespace = $1", vec![namespace.into()]).await?;
    rows.first().map_or(Ok(0), |row| row.int(0))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(cpu: &str) -> Pod {
        let resources = json!({"requests": {"cpu": cpu}});
        Pod::from_object(&json!({"spec": {"containers": [{"name": "c", "resources": resources}]}})).unwrap()
    }

    fn ask(cpus: &[&str]) -> Vec<(Subject, Pod)> {
        cpus.iter().map(|cpu| (Subject::new("", "pods", "p"), pod(cpu))).collect()
    }

    #[test]
    fn pods_fit_together_or_not_at_all() {
        let quotas = [json!({"metadata": {"name": "q"}, "spec": {"hard": {"requests.cpu": "2", "pods": "3"}}})];
        assert!(charge(&quotas, &[pod("1")], 0, &ask(&["500m", "500m"]), 0).is_ok());
        let over = charge(&quotas, &[pod("1")], 0, &ask(&["500m", "501m"]), 0).unwrap_err();
        assert_eq!(
            over.to_string(),
            "pods \"p\" is forbidden: exceeded quota: q, requested: requests.cpu=501m, used: requests.cpu=1500m, \
             limited: requests.cpu=2"
        );
        let many = charge(&quotas, &[pod("1m"), pod("1m"), pod("1m")], 0, &ask(&["1m"]), 0).unwrap_err();
        assert_eq!(many.http_status(), 403);
        let counted = [json!({"metadata": {"name": "q"}, "spec": {"hard": {"count/pods": "5"}}})];
        assert!(charge(&counted, &[], 4, &ask(&["1"]), 0).is_ok());
        assert!(charge(&counted, &[], 5, &ask(&["1"]), 0).is_err(), "finished pods are objects, too");
    }
}
