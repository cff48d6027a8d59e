//! Empties the folder that the attempts of a task share.

use std::fs;
use std::io;
use std::path::Path;

use crate::protocol::Fresh;

/// Leaves in the folder what is to stay, and the empty folders that are to be there.
///
/// # Errors
/// A sentence that names what can't be removed or made. The command must not start then: it could take what is old for its own.
pub(super) fn refresh(fresh: &Fresh) -> Result<(), String> {
    if !fresh.folder.is_absolute() {
        return Err(format!("{} is to be emptied, and is no absolute path", fresh.folder.display()));
    }
    empty(&fresh.folder, &fresh.keep)?;
    for folder in &fresh.folders {
        let folder = fresh.folder.join(folder);
        fs::create_dir_all(&folder).map_err(|error| format!("{} can't be made: {error}", folder.display()))?;
    }
    Ok(())
}

fn empty(folder: &Path, keep: &[String]) -> Result<(), String> {
    let unmade = |error: io::Error| format!("{} can't be made: {error}", folder.display());
    match fs::symlink_metadata(folder) {
        Ok(found) if found.is_dir() => {}
        // Whatever an attempt put in its place leads elsewhere, where nothing of the task's is.
        Ok(_) => fs::remove_file(folder).map_err(unmade)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(unmade(error)),
    }
    fs::create_dir_all(folder).map_err(unmade)?;
    let unread = |error: io::Error| format!("{} can't be read: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(unread)? {
        let entry = entry.map_err(unread)?;
        if keep.iter().any(|name| entry.file_name() == name.as_str()) {
            continue;
        }
        let path = entry.path();
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let removed = if is_folder { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed
            .map_err(|error| format!("{}, which an earlier attempt left, can't be removed: {error}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn only_what_is_to_stay_stays() {
        let root = tempfile::tempdir().unwrap();
        let fresh = Fresh {
            folder: root.path().join("a/task"),
            keep: vec![".own".to_owned()],
            folders: vec![PathBuf::from(".parameters")],
        };
        refresh(&fresh).unwrap();
        let at = |name: &str| fresh.folder.join(name);
        assert!(at(".parameters").is_dir());
        fs::create_dir_all(at("model/inner")).unwrap();
        fs::create_dir(at(".own")).unwrap();
        for file in ["model/inner/weights", ".parameters/n", "output_metadata.json", ".own/source.py"] {
            fs::write(at(file), "stale").unwrap();
        }
        let elsewhere = root.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        fs::write(elsewhere.join("file"), "not ours").unwrap();
        std::os::unix::fs::symlink(&elsewhere, at("link")).unwrap();
        refresh(&fresh).unwrap();
        let mut left: Vec<String> =
            fs::read_dir(&fresh.folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        assert_eq!(left, [".own", ".parameters"]);
        assert!(!at(".parameters/n").exists() && at(".own/source.py").exists());

        // A folder that became a link is made anew; where it led to is left alone.
        fs::remove_dir_all(&fresh.folder).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &fresh.folder).unwrap();
        refresh(&fresh).unwrap();
        assert!(!fs::symlink_metadata(&fresh.folder).unwrap().is_symlink());
        assert!(elsewhere.join("file").exists());
    }

    #[test]
    fn no_relative_folder_is_emptied() {
        let fresh = Fresh { folder: PathBuf::from("here"), keep: vec![], folders: vec![] };
        assert!(refresh(&fresh).unwrap_err().contains("no absolute path"));
    }
}
