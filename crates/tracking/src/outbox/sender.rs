//! Sends what waits.

use std::sync::Arc;
use std::time::Duration;

use mcplane_core::Result;
use mcplane_db::{Db, Dialect};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::schedule::{Next, Outcome, Pace};
use super::store::{self, Claim, Step};
use super::{Carrier, Fate};

/// Lanes that one server sends at the same time.
const AT_ONCE: usize = 10;
/// Messages of a lane after which others have their turn.
const TURN: usize = 100;
/// The longest time without a look: another server may have written something.
const LOOK: Duration = Duration::from_secs(5);
/// How long what is under way may take to end when the server stops.
const GRACE: Duration = Duration::from_secs(2);
/// How often the dead are counted.
const BURIALS: Duration = Duration::from_secs(600);

/// Tells the sender of this server that something was written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wake(Arc<Notify>);

impl Wake {
    /// Call it after the commit.
    pub(crate) fn up(&self) {
        self.0.notify_one();
    }
}

/// Sends until it is told to stop.
pub(crate) async fn run(db: Db, carrier: Arc<dyn Carrier>, pace: Pace, wake: Wake, stopping: CancellationToken) {
    let sender = Sender { db, carrier, pace };
    if sender.db.dialect() == Dialect::Sqlite {
        sender.told(store::release_all(&sender.db).await);
    }
    let mut lanes = JoinSet::new();
    let mut burial = tokio::time::interval_at(tokio::time::Instant::now() + BURIALS, BURIALS);
    loop {
        let wait = sender.told(sender.take(&mut lanes, &stopping).await).unwrap_or(LOOK);
        tokio::select! {
            () = stopping.cancelled() => break,
            () = wake.0.notified() => {}
            Some(_) = lanes.join_next(), if !lanes.is_empty() => {}
            _ = burial.tick() => {
                let until = sender.db.clock().now() - sender.pace.keep_dead;
                sender.told(store::bury(&sender.db, until).await);
            }
            () = tokio::time::sleep(wait) => {}
        }
    }
    // Each lane ends by itself, because it was told too.
    while lanes.join_next().await.is_some() {}
}

#[derive(Clone)]
struct Sender {
    db: Db,
    carrier: Arc<dyn Carrier>,
    pace: Pace,
}

impl Sender {
    /// What fails here is tried again soon; the store tells when it is away.
    fn told<T>(&self, done: Result<T>) -> Option<T> {
        done.inspect_err(|error| tracing::warn!(%error, "messages to others wait")).ok()
    }

    /// Starts on lanes that are due; tells how long there is nothing to do.
    async fn take(&self, lanes: &mut JoinSet<()>, stopping: &CancellationToken) -> Result<Duration> {
        while lanes.try_join_next().is_some() {}
        if lanes.len() < AT_ONCE && self.due_in().await? == Some(Duration::ZERO) {
            for claim in store::claim(&self.db, AT_ONCE - lanes.len(), self.pace.lease).await? {
                lanes.spawn(self.clone().send(claim, stopping.clone()));
            }
        }
        if lanes.len() >= AT_ONCE {
            return Ok(LOOK);
        }
        // What was claimed just now is due when its lease ends.
        Ok(self.due_in().await?.unwrap_or(LOOK).clamp(Duration::from_millis(1), LOOK))
    }

    async fn due_in(&self) -> Result<Option<Duration>> {
        let now = self.db.clock().now();
        let due = store::next_due(&self.db).await?;
        Ok(due.map(|at| Duration::from_millis(u64::try_from(at - now).unwrap_or_default())))
    }

    /// Sends a lane while it is ours.
    async fn send(self, claim: Claim, stopping: CancellationToken) {
        let sending = self.send_all(&claim, &stopping);
        let stopped = async {
            stopping.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        let done = tokio::select! {
            done = sending => done,
            // What was under way may have arrived; it is sent again all the same.
            () = stopped => store::release(&self.db, claim.clone()).await,
        };
        self.told(done);
    }

    async fn send_all(&self, claim: &Claim, stopping: &CancellationToken) -> Result<()> {
        let mut step = Step::Begin;
        for _ in 0..TURN {
            let Some(message) = store::step(&self.db, claim.clone(), step, self.pace.lease).await? else {
                return Ok(());
            };
            let fate = self.carrier.carry(&claim.lane, &message).await;
            let fate = fate.unwrap_or_else(|error| Fate::Tried(Outcome::Failed(error.to_string())));
            let now = self.db.clock().now();
            let attempts = message.attempts + 1;
            step = match fate {
                Fate::Resting => Step::Rest,
                Fate::Void => Step::Settle { no: message.no, next: Next::Done },
                Fate::Tried(outcome) => {
                    let next = self.pace.next(&outcome, attempts, message.created_at, now, rand::random());
                    if let Next::GiveUp { reason } = &next {
                        tracing::warn!(lane = claim.lane, message = message.id, reason, "a message was given up");
                    }
                    Step::Settle { no: message.no, next }
                }
            };
            if stopping.is_cancelled() {
                break;
            }
        }
        // Others have their turn; the lane stays due.
        store::step(&self.db, claim.clone(), step, 0).await.map(drop)
    }
}
