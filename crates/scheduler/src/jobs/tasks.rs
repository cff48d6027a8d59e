//! The scheduler as controllers use it.

use std::sync::Arc;

use futures::future::BoxFuture;
use mcplane_core::Result;

use super::Tasks;
use crate::pods;
use crate::scheduler::Scheduler;
use crate::tasks::store::{self, Submission};
use crate::tasks::{NewTask, Task};

/// Who the tasks of controllers are made by.
const CREATED_BY: &str = "system:mcplane:jobs";

impl Tasks for Scheduler {
    fn of_owner<'a>(&'a self, owner: &'a str) -> BoxFuture<'a, Result<Vec<Task>>> {
        Box::pin(store::of_owner(&self.db, owner))
    }

    fn find<'a>(&'a self, namespace: &'a str, id: &'a str) -> BoxFuture<'a, Result<Option<Task>>> {
        Box::pin(store::get(&self.db, namespace, id))
    }

    fn owners<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<Arc<str>>>> {
        Box::pin(async move {
            let sql = "SELECT DISTINCT owner FROM tasks WHERE owner IS NOT NULL AND owner LIKE $1";
            let rows = self.db.fetch(sql, vec![format!("{prefix}%").into()]).await?;
            rows.iter().map(|row| Ok(row.text(0)?.into())).collect()
        })
    }

    fn submit<'a>(&'a self, namespace: &'a str, new: Vec<NewTask>, trace: &'a str) -> BoxFuture<'a, Result<Vec<Task>>> {
        let (created_by, trace) = (CREATED_BY.to_owned(), trace.to_owned());
        let by = Submission { namespace: namespace.into(), created_by, trace, process: self.identity.clone() };
        Box::pin(self.submit(by, new, None))
    }

    fn cancel<'a>(&'a self, nos: Vec<i64>, by: &'a str) -> BoxFuture<'a, Result<()>> {
        let by = by.to_owned();
        Box::pin(async move { self.cancel(nos, by, None).await.map(drop) })
    }

    fn delete(&self, nos: Vec<i64>) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            self.db
                .write(move |tx| {
                    Box::pin(async move {
                        pods::forget(tx, &nos).await?;
                        store::delete(tx, &nos).await.map(drop)
                    })
                })
                .await
        })
    }
}
