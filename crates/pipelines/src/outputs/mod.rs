//! Folders of tasks on disk: where their programs put artifacts, parameters and what the SDK's executor says.
//!
//! URIs of artifacts are plain absolute paths, so that programs read and write them as they are.

mod digest;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mcplane_scheduler::tasks::Fresh;

use crate::run::Step;
use crate::values::{Artifact, Bindings, DeclaredOutputs, local_path, read_outputs};

pub(crate) use digest::digest;

/// Bytes of what the executor says.
const MOST_OUTPUT: u64 = 64 << 20;
/// Bytes of a parameter's file.
const MOST_PARAMETER: u64 = 8 << 20;
/// Files of ours in a task's folder, beside what its program makes.
pub(crate) const OWN: &str = ".mcplane";

/// What each attempt of a step finds: folders for what it is to make, and nothing that an earlier attempt made. A retry that
/// leaves out an output would otherwise succeed with the one of the attempt that failed.
pub(crate) fn fresh(step: &Step) -> Fresh {
    let outputs = &step.outputs;
    let root = local_path(&step.task_root).into_owned();
    let parameters = outputs.parameters.values().map(|output| output.path.clone());
    let artifacts = outputs.artifacts.values().map(|artifact| artifact.path().into_owned());
    let inside = |path: String| Some(Path::new(&path).parent()?.strip_prefix(&root).ok()?.to_owned());
    let folders: BTreeSet<PathBuf> = parameters.chain(artifacts).filter_map(inside).collect();
    let folders = folders.into_iter().filter(|folder| !folder.as_os_str().is_empty()).collect();
    Fresh { folder: PathBuf::from(root), keep: vec![OWN.to_owned()], folders }
}

/// Writes the files that a step's program is given.
pub(crate) async fn prepare(files: Vec<(PathBuf, String)>) -> Result<(), String> {
    blocking(move || {
        let failed = |path: &Path, error: std::io::Error| format!("{} can't be made: {error}", path.display());
        for (path, content) in files {
            // An attempt may be reading it: the content is the same for each.
            if path.exists() {
                continue;
            }
            let folder = path.parent().unwrap_or(Path::new("/"));
            let partial = path.with_extension("partial");
            std::fs::create_dir_all(folder)
                .and_then(|()| std::fs::write(&partial, content))
                .and_then(|()| std::fs::rename(&partial, &path))
                .map_err(|error| failed(&path, error))?;
        }
        Ok(())
    })
    .await
}

/// What a step's program left.
pub(crate) async fn read(declared: &DeclaredOutputs) -> Result<Bindings, String> {
    let declared = declared.clone();
    blocking(move || {
        let output = text(&declared.output_file, MOST_OUTPUT)?;
        let mut texts = BTreeMap::new();
        for (name, parameter) in &declared.parameters {
            if let Some(text) = text(&parameter.path, MOST_PARAMETER)? {
                texts.insert(name.clone(), text);
            }
        }
        let mut outputs = read_outputs(&declared, output.as_deref(), &texts)?;
        for list in outputs.artifacts.values_mut() {
            if list.iter().any(|artifact| artifact.custom_path.is_some()) {
                Arc::make_mut(list).iter_mut().try_for_each(bring)?;
            }
        }
        Ok(outputs)
    })
    .await
}

/// Brings what a program put elsewhere to where its URI says, which is where others look for it.
fn bring(artifact: &mut Artifact) -> Result<(), String> {
    let target = local_path(&artifact.uri).into_owned();
    let Some(source) = artifact.custom_path.take().filter(|source| *source != target) else { return Ok(()) };
    let (source, target) = (Path::new(&source), Path::new(&target));
    // An artifact without content is a warning to KFP, and none here.
    if !target.is_absolute() || !source.exists() {
        return Ok(());
    }
    copy(source, target)
        .map_err(|error| format!("{} can't be brought to {}: {error}", source.display(), target.display()))
}

fn copy(source: &Path, target: &Path) -> std::io::Result<()> {
    let mut waiting = vec![(source.to_owned(), target.to_owned())];
    while let Some((source, target)) = waiting.pop() {
        let kind = std::fs::metadata(&source)?;
        if kind.is_dir() {
            std::fs::create_dir_all(&target)?;
            for entry in std::fs::read_dir(&source)? {
                let entry = entry?;
                // A link would lead out of the folder, or round in it.
                if !entry.file_type()?.is_symlink() {
                    waiting.push((entry.path(), target.join(entry.file_name())));
                }
            }
        } else if kind.is_file() {
            std::fs::copy(&source, &target)?;
        }
    }
    Ok(())
}

/// A file as text; `None` if there is none.
fn text(path: &str, most: u64) -> Result<Option<String>, String> {
    let failed = |error: std::io::Error| format!("{path} can't be read: {error}");
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(format!("{path} is not a file"));
    }
    let mut text = String::new();
    match file.take(most + 1).read_to_string(&mut text) {
        Ok(_) if text.len() as u64 > most => Err(format!("{path} is larger than {most} bytes: use an artifact")),
        Ok(_) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::InvalidData => Err(format!("{path} is not UTF-8 text")),
        Err(error) => Err(failed(error)),
    }
}

/// SHA-256 of the artifacts that lie on this machine, by URI. What can't be read has none.
pub(crate) async fn digests(artifacts: impl Iterator<Item = &Artifact>) -> BTreeMap<String, String> {
    let places: Vec<(String, String)> =
        artifacts.map(|artifact| (artifact.uri.clone(), artifact.path().into_owned())).collect();
    let read = move || {
        let local = places.into_iter().filter(|(_, path)| path.starts_with('/'));
        Ok(local.filter_map(|(uri, path)| Some((uri, digest(Path::new(&path))?))).collect())
    };
    blocking(read).await.unwrap_or_default()
}

/// Whether the artifacts that lie on this machine are there still.
pub(crate) async fn are_there(outputs: &Bindings, digests: &BTreeMap<String, String>) -> bool {
    // What had content when it was made must have it; an artifact without a file is one of metadata alone.
    let all = outputs.artifacts.values().flat_map(|list| list.iter());
    let paths: Vec<PathBuf> = all
        .filter(|artifact| digests.contains_key(&artifact.uri))
        .map(|artifact| PathBuf::from(artifact.path().into_owned()))
        .collect();
    blocking(move || Ok(paths.iter().all(|path| path.exists()))).await.unwrap_or(false)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, String> + Send + 'static) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(|error| error.to_string())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::{DeclaredOutput, ParameterType};

    #[test]
    fn attempts_share_a_folder_but_not_what_is_in_it() {
        let mut step = crate::engine::testing::step();
        let number = DeclaredOutput {
            parameter_type: ParameterType::NumberInteger,
            path: "/root/task/.parameters/n".to_owned(),
        };
        step.outputs.parameters.insert("n".to_owned(), number);
        let model = Artifact { uri: "/root/task/model".to_owned(), ..Artifact::default() };
        step.outputs.artifacts.insert("model".to_owned(), model);
        let expected = Fresh {
            folder: PathBuf::from("/root/task"),
            keep: vec![OWN.to_owned()],
            folders: vec![PathBuf::from(".parameters")],
        };
        assert_eq!(fresh(&step), expected);
    }

    #[test]
    fn what_lies_elsewhere_is_brought() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name).display().to_string();
        std::fs::create_dir_all(root.path().join("own/inner")).unwrap();
        std::fs::write(root.path().join("own/inner/file"), "content").unwrap();
        let mut artifact = Artifact { uri: at("model"), custom_path: Some(at("own")), ..Artifact::default() };
        bring(&mut artifact).unwrap();
        assert_eq!(artifact.custom_path, None);
        assert_eq!(std::fs::read_to_string(root.path().join("model/inner/file")).unwrap(), "content");
        let mut nothing = Artifact { uri: at("x"), custom_path: Some(at("missing")), ..Artifact::default() };
        bring(&mut nothing).unwrap();
        assert!(!root.path().join("x").exists());
    }
}
