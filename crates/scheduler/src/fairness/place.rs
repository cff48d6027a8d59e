//! On which node a task goes, and which nodes are kept for tasks that wait for much.

use super::types::{Capacity, Demand, Node, UnfitReason};

/// A node that is kept for a task.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reservation {
    pub(super) task: i64,
    pub(super) demand: Demand,
    pub(super) node: usize,
}

impl Reservation {
    /// Whether a task may start on the kept node: of what it takes, enough is left for the one that waits.
    fn tolerates(&self, demand: &Demand, free: &Demand) -> bool {
        let left = free.minus(demand);
        (demand.cpu_milli == 0 || left.cpu_milli >= self.demand.cpu_milli)
            && (demand.memory == 0 || left.memory >= self.demand.memory)
            && (demand.gpu == 0 || left.gpu >= self.demand.gpu)
    }
}

/// The node where the least is left over, so that what is large and rare, a GPU before all, stays whole for those who
/// need it. Kept nodes are only for the one they are kept for (`task`), and for what does not hold it up.
pub(super) fn place(task: i64, demand: &Demand, capacity: &Capacity, reservations: &[Reservation]) -> Option<usize> {
    let may_use = |at: usize, node: &Node| {
        demand.fits(&node.free)
            && reservations
                .iter()
                .all(|kept| kept.node != at || kept.task == task || kept.tolerates(demand, &node.free))
    };
    let nodes = capacity.nodes.iter().enumerate().filter(|(at, node)| may_use(*at, node));
    let left = |node: &Node| {
        let left = node.free.minus(demand);
        (left.gpu, left.cpu_milli, left.memory)
    };
    nodes.min_by_key(|(_, node)| left(node)).map(|(at, _)| at)
}

/// The node to keep: of those that could take the task when empty the one where the least is missing now.
pub(super) fn to_keep(demand: &Demand, capacity: &Capacity, reservations: &[Reservation]) -> Option<usize> {
    let nodes = capacity.nodes.iter().enumerate();
    let able = nodes.filter(|(at, node)| demand.fits(&node.total) && reservations.iter().all(|kept| kept.node != *at));
    let missing = |node: &Node| {
        let missing = demand.minus(&node.free);
        let part = |of: u64, total: u64| u128::from(of) * 1_000_000 / u128::from(total.max(1));
        part(missing.cpu_milli, node.total.cpu_milli)
            .max(part(missing.memory, node.total.memory))
            .max(part(missing.gpu.into(), node.total.gpu.into()))
    };
    able.min_by_key(|(_, node)| missing(node)).map(|(at, _)| at)
}

/// Why no node could run the task even when empty; `None` if one could.
pub(super) fn unfit(demand: &Demand, totals: &[Demand]) -> Option<UnfitReason> {
    use UnfitReason::{InsufficientCpu, InsufficientGpu, InsufficientMemory};
    // Of the node that comes closest; a GPU is the rarest, so a node that lacks nothing else explains the most.
    let lacks = |total: &Demand| {
        [
            (demand.cpu_milli > total.cpu_milli, InsufficientCpu),
            (demand.memory > total.memory, InsufficientMemory),
            (demand.gpu > total.gpu, InsufficientGpu),
        ]
    };
    let closest = totals.iter().min_by_key(|total| lacks(total).iter().filter(|(lacking, _)| *lacking).count())?;
    lacks(closest).iter().find(|(lacking, _)| *lacking).map(|(_, reason)| *reason)
}

/// The part of the cluster that a demand takes in the resource of which it takes the most, of `whole`.
pub(super) fn dominant_share(demand: &Demand, cluster: &Demand, whole: u64) -> u64 {
    let part = |of: u64, total: u64| match total {
        0 => 0,
        _ => {
            u64::try_from((u128::from(of) * u128::from(whole)).div_ceil(u128::from(total))).unwrap_or(whole).min(whole)
        }
    };
    part(demand.cpu_milli, cluster.cpu_milli)
        .max(part(demand.memory, cluster.memory))
        .max(part(demand.gpu.into(), cluster.gpu.into()))
}
