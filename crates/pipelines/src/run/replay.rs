//! A run from its records.

use std::collections::HashMap;
use std::sync::Arc;

use mcplane_core::Result;
use serde_json::{Map, Value};

use super::Run;
use super::types::{Context, Effect, NodeId, NodeKind, Record, State};
use crate::ir::Plan;
use crate::values::Bindings;

impl Run {
    /// The run as it was, from the newest record of each node (in any order), with what remains to be done: records that
    /// were not kept, steps and imports that have not ended, and the end of the run if it has ended.
    ///
    /// Without records this is [`Run::start`]. Records of nodes that the plan does not lead to are ignored.
    ///
    /// # Errors
    /// As of [`Run::start`].
    pub fn restore(
        plan: Arc<Plan>,
        context: Context,
        arguments: Map<String, Value>,
        records: impl Iterator<Item = Record>,
    ) -> Result<(Self, Vec<Effect>)> {
        let mut kept: HashMap<NodeId, (State, u64)> = HashMap::new();
        let mut ends = Vec::new();
        for record in records {
            kept.insert(record.node.clone(), (record.state, record.sequence));
            // All that ever happens to a run from outside.
            if let Some(sequence) = record.canceled_at {
                ends.push((sequence, None));
            }
            if matches!(record.kind, NodeKind::Container | NodeKind::Importer) && record.state.is_final() {
                ends.push((record.sequence, Some(record)));
            }
        }
        ends.sort_by_key(|(sequence, _)| *sequence);

        let mut run = Self::new(plan, context);
        run.replaying = true;
        run.begin(arguments)?;
        for (sequence, record) in ends {
            match record {
                Some(record) => run.replay(record),
                None => {
                    run.cancel();
                    run.canceled_at = Some(sequence);
                }
            }
            run.settle();
        }
        run.replaying = false;
        run.sequence = kept.values().map(|(_, sequence)| *sequence).max().unwrap_or(0);
        run.catch_up(&kept);
        let effects = run.drain();
        Ok((run, effects))
    }

    fn replay(&mut self, record: Record) {
        let Some(index) = self.running_leaf(&record.node) else { return };
        self.nodes[index].cached = record.cached;
        match record.state {
            State::Succeeded => {
                let outputs: Bindings = Arc::unwrap_or_clone(record.outputs);
                self.succeed(index, outputs);
            }
            state => self.end(index, state, record.error),
        }
    }

    /// Records what was not kept, and asks again for what runs.
    fn catch_up(&mut self, kept: &HashMap<NodeId, (State, u64)>) {
        if self.nodes[0].state.is_final() {
            self.finish();
        }
        for index in 0..self.nodes.len() {
            let node = &self.nodes[index];
            // What is launched is recorded then.
            let launched = self.running_leaf(&node.id).is_some();
            let state = if index == 0 { self.state() } else { node.state };
            if !launched && state != State::Pending && kept.get(&node.id).is_none_or(|(kept, _)| *kept != state) {
                self.record(index);
            }
        }
        // A driver that knows nothing of the steps yet hears of each before it is to end it.
        self.launch_all();
        if self.canceling {
            self.cancel_leaves();
        }
    }
}
