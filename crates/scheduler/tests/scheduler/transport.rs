//! What every transport promises.

use std::collections::HashSet;
use std::sync::Arc;

use mcplane_core::SystemClock;
use mcplane_db::Db;
use mcplane_scheduler::tasks::AttemptOf;
use mcplane_scheduler::transport::{Delivery, SqlTransport, Transport};

use crate::rig::Store;

async fn transport(store: &Store) -> SqlTransport {
    SqlTransport::new(&Db::open(&store.url, Arc::new(SystemClock)).await.unwrap())
}

fn deliveries(numbers: impl IntoIterator<Item = i64>, attempt: i64) -> Vec<Delivery> {
    numbers.into_iter().map(|no| Delivery { of: AttemptOf { no, attempt }, node: "a".into() }).collect()
}

pub(crate) async fn deliveries_are_leased_once(store: Store) {
    let transport = transport(&store).await;
    transport.publish(deliveries(1..=100, 1)).await.unwrap();
    assert_eq!(transport.lease("b", "x", 10, 100).await.unwrap(), [], "another node's deliveries");
    let leases = futures::future::join_all((0..10).map(|_| transport.lease("a", "x", 10, 100))).await;
    let leased: Vec<i64> = leases.iter().flat_map(|lease| lease.as_ref().unwrap()).map(|l| l.delivery.of.no).collect();
    assert_eq!(leased.len(), 100);
    assert_eq!(leased.iter().collect::<HashSet<_>>().len(), 100, "nothing is given out twice");
    let first = leases[0].as_ref().unwrap();
    assert!(first.windows(2).all(|pair| pair[0].delivery.of.no < pair[1].delivery.of.no), "in the order of publishing");
    assert_eq!(transport.lease("a", "y", 10, 100).await.unwrap(), []);
}

pub(crate) async fn deliveries_come_again(store: Store) {
    let transport = transport(&store).await;
    transport.publish(deliveries([1, 2, 3], 1)).await.unwrap();
    let leased = transport.lease("a", "x", 3, 100).await.unwrap();
    transport.ack(vec![leased[0].receipt]).await.unwrap();
    assert_eq!(transport.redeliver(99).await.unwrap(), 0, "not before the lease ends");
    assert_eq!(transport.redeliver(100).await.unwrap(), 2);
    let again = transport.lease("a", "y", 3, 200).await.unwrap();
    assert_eq!(again.iter().map(|l| l.delivery.of.no).collect::<Vec<_>>(), [2, 3]);
    transport.publish(deliveries([2], 2)).await.unwrap();
    transport.withdraw(vec![3]).await.unwrap();
    assert_eq!(transport.recover().await.unwrap(), deliveries([2], 2), "one task is carried once, as published last");
    let last = transport.lease("a", "z", 3, 300).await.unwrap();
    assert_eq!(last.iter().map(|l| l.delivery.of).collect::<Vec<_>>(), [AttemptOf { no: 2, attempt: 2 }]);
}
