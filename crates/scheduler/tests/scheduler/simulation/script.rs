//! What happens on that day, decided beforehand by a seed.

use std::sync::Arc;

use mcplane_core::Timestamp;
use mcplane_scheduler::fairness::{Demand, NamespaceRule, Node, QueueRule};

const GIB: u64 = 1 << 30;

/// SplitMix64.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    pub(super) fn between(&mut self, start: i64, end: i64) -> i64 {
        start + self.below((end - start).unsigned_abs()) as i64
    }

    /// True in so many of a thousand throws.
    pub(super) fn permille(&mut self, of: u64) -> bool {
        self.below(1000) < of
    }
}

/// How the attempts of a task go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Succeeds,
    /// So many attempts fail before one succeeds.
    Fails(u32),
    TimesOut(u32),
    Poison,
    Refused,
}

#[derive(Debug, Clone)]
pub(super) struct Spec {
    pub(super) submitted_at: Timestamp,
    pub(super) namespace: Arc<str>,
    pub(super) queue: Arc<str>,
    pub(super) key: Option<Arc<str>>,
    pub(super) priority: u8,
    pub(super) demand: Demand,
    pub(super) delay_ms: i64,
    pub(super) run_ms: i64,
    pub(super) fate: Fate,
    pub(super) max_attempts: u32,
    pub(super) cancelled_at: Option<Timestamp>,
}

#[derive(Debug, Clone)]
pub(super) struct Tenant {
    pub(super) name: Arc<str>,
    pub(super) rule: NamespaceRule,
    pub(super) batch: QueueRule,
}

pub(super) struct Script {
    pub(super) tenants: Vec<Tenant>,
    pub(super) tasks: Vec<Spec>,
    pub(super) nodes: Vec<Node>,
    pub(super) slots: u32,
    /// When a node goes silent: time, node, for how long.
    pub(super) crashes: Vec<(Timestamp, usize, i64)>,
    /// When the server is killed and begins anew from the rows.
    pub(super) restarts: Vec<Timestamp>,
}

/// The start of the simulated day.
pub(super) const DAWN: Timestamp = 1_700_006_400_000;

impl Script {
    pub(super) fn new(seed: u64, count: usize, length: i64) -> Self {
        let mut dice = Dice::new(seed);
        let tenants = tenants();
        let mut tasks: Vec<Spec> = (0..count)
            .map(|no| match no % 10 {
                // A tenth of all comes within ten minutes of noon.
                0 => flood(&mut dice, length),
                _ => ordinary(&mut dice, length, &tenants),
            })
            .collect();
        tasks.sort_by_key(|task| task.submitted_at);
        let node = |total| Node { total, free: total };
        let ordinary = Demand { cpu_milli: 8000, memory: 32 * GIB, gpu: 0 };
        let nodes = [ordinary, ordinary, ordinary, Demand { cpu_milli: 16_000, memory: 64 * GIB, gpu: 4 }];
        let hours = length / 3_600_000;
        let crashes = (0..hours.max(1))
            .map(|_| (DAWN + dice.between(0, length), dice.below(4) as usize, dice.between(30_000, 300_000)))
            .collect();
        Self {
            tenants,
            tasks,
            nodes: nodes.map(node).to_vec(),
            slots: 30,
            crashes,
            restarts: (0..hours / 2).map(|_| DAWN + dice.between(0, length)).collect(),
        }
    }
}

/// Uneven in size, weight and limits.
fn tenants() -> Vec<Tenant> {
    let tenant = |name: &str, weight, limit, batch_limit| Tenant {
        name: name.into(),
        rule: NamespaceRule { weight, limit },
        batch: QueueRule { weight: 2, limit: batch_limit, paused: false },
    };
    vec![
        tenant("huge", 2, None, Some(20)),
        tenant("large", 1, Some(12), None),
        tenant("middle", 1, None, Some(5)),
        tenant("small-1", 1, None, None),
        tenant("small-2", 3, None, None),
        tenant("flood-a", 1, None, None),
        tenant("flood-b", 3, None, None),
    ]
}

fn ordinary(dice: &mut Dice, length: i64, tenants: &[Tenant]) -> Spec {
    let tenant = match dice.below(100) {
        0..55 => 0,
        55..80 => 1,
        80..96 => 2,
        96..98 => 3,
        _ => 4,
    };
    let small = tenant >= 3;
    let run_ms = match dice.below(1000) {
        _ if small => dice.between(100, 10_000),
        0..4 => dice.between(600_000, 3_600_000),
        4..100 => dice.between(30_000, 90_000),
        _ => dice.between(50, 8_000),
    };
    let demand = match dice.below(1000) {
        0..20 if !small => Demand { cpu_milli: 2000, memory: 8 * GIB, gpu: 1 + dice.below(4) as u32 },
        // Nearly all of a node.
        20..24 if !small => Demand { cpu_milli: 7000, memory: 30 * GIB, gpu: 0 },
        _ => Demand { cpu_milli: 250 * (1 + dice.below(4)), memory: GIB, gpu: 0 },
    };
    let fate = match dice.below(1000) {
        0..40 => Fate::Fails(1 + dice.below(3) as u32),
        40..50 => Fate::TimesOut(1),
        50..55 => Fate::Poison,
        55..57 => Fate::Refused,
        _ => Fate::Succeeds,
    };
    let submitted_at = DAWN + dice.between(0, length);
    Spec {
        submitted_at,
        namespace: Arc::clone(&tenants[tenant].name),
        queue: if dice.permille(300) { "batch".into() } else { "default".into() },
        key: (!small && dice.permille(100)).then(|| format!("key-{}", dice.below(40)).into()),
        priority: dice.below(10) as u8,
        demand,
        delay_ms: if dice.permille(100) { dice.between(1, 7_200_000) } else { 0 },
        run_ms,
        fate,
        max_attempts: 4,
        cancelled_at: dice.permille(40).then(|| submitted_at + dice.between(0, 60_000)),
    }
}

fn flood(dice: &mut Dice, length: i64) -> Spec {
    let namespace = if dice.permille(500) { "flood-a" } else { "flood-b" };
    Spec {
        submitted_at: DAWN + length / 2 + dice.between(0, length / 144),
        namespace: namespace.into(),
        queue: "default".into(),
        key: None,
        priority: 9,
        demand: Demand { cpu_milli: 1000, memory: GIB, gpu: 0 },
        delay_ms: 0,
        run_ms: dice.between(9_000, 15_000),
        fate: Fate::Succeeds,
        max_attempts: 4,
        cancelled_at: None,
    }
}
