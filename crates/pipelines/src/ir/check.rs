//! What can only be checked once everything is read.

use mcplane_core::{Error, Result};

use super::fields::Node;
use super::types::{
    ArtifactInput, Body, Component, ComponentIndex, Dag, Iterator, ParameterInput, ParameterSource, Source, Task,
};
use super::{MAX_DEPTH, Plan};

/// Refuses tasks that wait for each other.
pub(super) fn acyclic(node: &Node<'_>, tasks: &[Task]) -> Result<()> {
    let mut waiting: Vec<usize> = tasks.iter().map(|task| task.upstream.len()).collect();
    let mut free: Vec<usize> = (0..tasks.len()).filter(|task| waiting[*task] == 0).collect();
    while let Some(task) = free.pop() {
        for next in &tasks[task].downstream {
            waiting[*next] -= 1;
            if waiting[*next] == 0 {
                free.push(*next);
            }
        }
    }
    let stuck: Vec<&str> = tasks
        .iter()
        .zip(&waiting)
        .filter(|(_, waiting)| **waiting > 0)
        .map(|(task, _)| task.key.as_str())
        .take(5)
        .collect();
    if stuck.is_empty() { Ok(()) } else { Err(node.error(format!("tasks wait for each other: {}", stuck.join(", ")))) }
}

/// Whether what tasks take from each other is given.
pub(super) fn references(node: &Node<'_>, component: &Component, components: &[Component]) -> Result<()> {
    let Body::Dag(dag) = &component.body else { return Ok(()) };
    let node = node.field("dag")?;
    let tasks = node.field("tasks")?;
    for task in &dag.tasks {
        let at = |what: &str| tasks.error(format!("task {:?}: {what}", task.key));
        let missing = |kind: &str, source: &Source| {
            let producer = &dag.tasks[source.task].key;
            at(&format!(
                "its input comes from the output {kind} {:?} of task {producer:?}, which has no such output",
                source.key
            ))
        };
        for source in task.parameters.values().filter_map(taken) {
            if !gives_parameter(dag, source, components) {
                return Err(missing("parameter", source));
            }
        }
        for input in task.artifacts.values() {
            if let ArtifactInput::Output(source) = input
                && !gives_artifact(dag, source, components)
            {
                return Err(missing("artifact", source));
            }
        }
        iterated(task, &components[task.component]).map_err(|reason| at(&reason))?;
        if task.condition.is_some() && matches!(components[task.component].body, Body::Importer(_)) {
            return Err(at("an importer can't have a condition of its own: put it into dsl.If"));
        }
    }
    let outputs = node.field("outputs")?;
    for (name, sources) in &dag.parameters {
        if sources.is_empty() || sources.iter().any(|source| !gives_parameter(dag, source, components)) {
            return Err(outputs.error(format!("output parameter {name:?} comes from no task's output")));
        }
    }
    for (name, sources) in &dag.artifacts {
        if sources.is_empty() || sources.iter().any(|source| !gives_artifact(dag, source, components)) {
            return Err(outputs.error(format!("output artifact {name:?} comes from no task's output")));
        }
    }
    Ok(())
}

fn taken(input: &ParameterInput) -> Option<&Source> {
    match &input.source {
        ParameterSource::Output(source) => Some(source),
        ParameterSource::Input(_) | ParameterSource::Constant(_) | ParameterSource::FinalStatus(_) => None,
    }
}

fn gives_parameter(dag: &Dag, source: &Source, components: &[Component]) -> bool {
    components[dag.tasks[source.task].component].outputs.parameters.contains_key(&source.key)
}

fn gives_artifact(dag: &Dag, source: &Source, components: &[Component]) -> bool {
    components[dag.tasks[source.task].component].outputs.artifacts.contains_key(&source.key)
}

fn iterated(task: &Task, component: &Component) -> Result<(), String> {
    let (item, known) = match &task.iterator {
        None => return Ok(()),
        Some(Iterator::Parameters { item, .. }) => (item, component.inputs.parameters.contains_key(item)),
        Some(Iterator::Artifacts { item, .. }) => (item, component.inputs.artifacts.contains_key(item)),
    };
    if known { Ok(()) } else { Err(format!("its component has no input {item:?} for the item of the iteration")) }
}

/// Refuses components that hold themselves, and nesting beyond [`MAX_DEPTH`]; passes on what components inherit.
pub(super) fn nesting(plan: &mut Plan) -> Result<()> {
    let mut heights = vec![None; plan.components.len()];
    let mut open = vec![false; plan.components.len()];
    height(plan.root, &mut plan.components, &mut heights, &mut open, 0).map(|_| ())
}

/// Levels of DAGs below and with a component; recursion is bounded by [`MAX_DEPTH`].
fn height(
    at: ComponentIndex,
    components: &mut [Component],
    heights: &mut [Option<usize>],
    open: &mut [bool],
    above: usize,
) -> Result<usize> {
    let too_deep = || Error::bad_request(format!("DAGs nest more than the {MAX_DEPTH} levels allowed"));
    if let Some(known) = heights[at] {
        return if above + known > MAX_DEPTH + 1 { Err(too_deep()) } else { Ok(known) };
    }
    let component = &components[at];
    let Some(dag) = component.dag() else { return Ok(0) };
    if open[at] {
        return Err(Error::bad_request(format!("components['{}'] holds itself", component.name)));
    }
    if above > MAX_DEPTH {
        return Err(too_deep());
    }
    open[at] = true;
    let mut tallest = 0;
    let inner: Vec<ComponentIndex> = dag.tasks.iter().map(|task| task.component).collect();
    for inner in inner {
        tallest = tallest.max(height(inner, components, heights, open, above + 1)?);
        let wanted = std::mem::take(&mut components[inner].inherited);
        let missing = wanted.iter().filter(|name| !components[at].inputs.parameters.contains_key(*name)).cloned();
        let missing: Vec<String> = missing.collect();
        components[at].inherited.extend(missing);
        components[inner].inherited = wanted;
    }
    open[at] = false;
    heights[at] = Some(tallest + 1);
    Ok(tallest + 1)
}
