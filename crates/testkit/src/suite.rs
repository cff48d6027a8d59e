//! One behaviour suite, run against every backend: a table of cases, each on a backend of its own.

use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::future::LocalBoxFuture;

/// A case is given the backend that it runs on.
pub type Case<B> = fn(B) -> LocalBoxFuture<'static, ()>;

/// Cases that run side by side: most of each is waiting for the disk.
const AT_ONCE: usize = 4;
/// After this, a case has failed.
const PATIENCE: Duration = Duration::from_secs(120);

/// The table of cases: `cases![module::{case, case}]`, each an `async fn(Backend)`.
#[macro_export]
macro_rules! cases {
    ($($module:ident :: { $($case:ident),+ $(,)? }),+ $(,)?) => {
        &[$($((concat!(stringify!($module), "::", stringify!($case)), |backend| Box::pin($module::$case(backend)))),+),+]
    };
}

/// Runs all cases and names those that failed. `CASE=part-of-a-name` runs some.
pub async fn run<B: Send + 'static>(cases: &'static [(&'static str, Case<B>)], make: fn() -> B) {
    let only = std::env::var("CASE").unwrap_or_default();
    let chosen = cases.iter().filter(|(name, _)| name.contains(&only));
    let runs = chosen.map(|(name, case)| async move {
        let started = Instant::now();
        // A runtime of its own, which takes whatever the case left running with it.
        let run = tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            let runtime = runtime.expect("a runtime for a case");
            runtime.block_on(async { tokio::time::timeout(PATIENCE, case(make())).await })
        });
        let passed = matches!(run.await, Ok(Ok(())));
        println!("{} {name} ({:?})", if passed { "ok    " } else { "FAILED" }, started.elapsed());
        (!passed).then_some(*name)
    });
    let outcomes: Vec<Option<&str>> = futures::stream::iter(runs).buffer_unordered(AT_ONCE).collect().await;
    let failed: Vec<&str> = outcomes.into_iter().flatten().collect();
    assert!(failed.is_empty(), "failed: {failed:?}");
}
