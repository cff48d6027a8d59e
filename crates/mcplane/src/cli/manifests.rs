//! Objects from files: YAML with several documents, JSON, directories, and standard input.

use std::io::Read;
use std::path::{Path, PathBuf};

use mcplane_apimachinery::codec::{Decoded, yaml};
use serde_json::Value;

use super::failure::Failure;

const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// An object and where it was found, for messages.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Manifest {
    pub(super) object: Value,
    pub(super) origin: String,
}

impl Manifest {
    pub(super) fn text(&self, field: &str) -> &str {
        self.object[field].as_str().unwrap_or_default()
    }

    pub(super) fn metadata(&self, field: &str) -> &str {
        self.object["metadata"][field].as_str().unwrap_or_default()
    }
}

/// Reads everything that `-f` names: files, directories (recursively on request), `-` for standard input.
pub(super) fn read(sources: &[String], recursive: bool) -> Result<Vec<Manifest>, Failure> {
    let mut manifests = Vec::new();
    for source in sources {
        if source == "-" {
            let mut text = String::new();
            std::io::stdin().lock().read_to_string(&mut text)?;
            manifests.extend(parse("standard input", &text)?);
            continue;
        }
        for path in files(Path::new(source), recursive)? {
            let shown = path.display().to_string();
            let text = std::fs::read_to_string(&path)
                .map_err(|error| Failure::from_error(format!("can't read {shown}"), &error))?;
            manifests.extend(parse(&shown, &text)?);
        }
    }
    if manifests.is_empty() {
        return Err(Failure::usage(format!("there is no object in {}", sources.join(", "))));
    }
    Ok(manifests)
}

/// A file itself, or a directory's manifests in order of names.
fn files(path: &Path, recursive: bool) -> Result<Vec<PathBuf>, Failure> {
    let failed = |error| Failure::from_error(format!("can't read {}", path.display()), &error);
    if !path.metadata().map_err(failed)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut entries = path.read_dir().and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(failed)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    let mut found = Vec::new();
    for entry in entries {
        let inner = entry.path();
        let known = inner.extension().and_then(|extension| extension.to_str());
        if inner.is_dir() {
            if recursive {
                found.extend(files(&inner, recursive)?);
            }
        } else if known.is_some_and(|extension| EXTENSIONS.contains(&extension)) {
            found.push(inner);
        }
    }
    Ok(found)
}

/// The objects of a text; a `List` stands for its items.
fn parse(origin: &str, text: &str) -> Result<Vec<Manifest>, Failure> {
    let mut manifests = Vec::new();
    for (line, document) in documents(text) {
        // Blank lines before it make the decoder count lines as the file does.
        let padded = format!("{}{document}", "\n".repeat(line));
        let Decoded { value, duplicates } = yaml::decode(padded.as_bytes())
            .map_err(|error| Failure::usage(format!("{origin}: {}", of_a_file(&error.to_string()))))?;
        if let Some(duplicate) = duplicates.first() {
            return Err(Failure::usage(format!("{origin}: {duplicate}")));
        }
        let here = if line == 0 { origin.to_owned() } else { format!("{origin}, line {}", line + 1) };
        add(value, &here, &mut manifests)?;
    }
    Ok(manifests)
}

fn of_a_file(message: &str) -> String {
    message.strip_prefix("the request body ").unwrap_or(message).to_owned()
}

fn add(value: Value, origin: &str, manifests: &mut Vec<Manifest>) -> Result<(), Failure> {
    let manifest = Manifest { object: value, origin: origin.to_owned() };
    if manifest.text("apiVersion").is_empty() || manifest.text("kind").is_empty() {
        return Err(Failure::usage(format!("{origin}: an object needs apiVersion and kind")));
    }
    if manifest.text("kind") == "List"
        && let Value::Object(mut list) = manifest.object
    {
        let items =
            list.remove("items").and_then(|items| if let Value::Array(items) = items { Some(items) } else { None });
        return items.unwrap_or_default().into_iter().try_for_each(|item| add(item, origin, manifests));
    }
    if manifest.metadata("name").is_empty() {
        return Err(Failure::usage(format!("{origin}: {} needs metadata.name", manifest.text("kind"))));
    }
    manifests.push(manifest);
    Ok(())
}

/// The documents of a YAML stream that hold anything, with the number of lines before each.
fn documents(text: &str) -> Vec<(usize, &str)> {
    let is_separator = |line: &str| {
        line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
    };
    let (mut found, mut start, mut start_line, mut position) = (Vec::new(), 0, 0, 0);
    for (number, line) in text.split_inclusive('\n').enumerate() {
        if is_separator(line) && position > start {
            found.push((start_line, &text[start..position]));
            (start, start_line) = (position, number);
        }
        position += line.len();
    }
    found.push((start_line, &text[start..]));
    found.retain(|(_, document)| {
        document
            .lines()
            .any(|line| !line.trim().is_empty() && !is_separator(line) && !line.trim_start().starts_with('#'))
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(manifests: &[Manifest]) -> Vec<&str> {
        manifests.iter().map(|manifest| manifest.metadata("name")).collect()
    }

    const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: NAME}\n";

    #[test]
    fn streams_have_many_documents() {
        let text = format!(
            "# heading\n---\n{}---\n# nothing\n--- # more\n{}---\n{}",
            MAP.replace("NAME", "a"),
            MAP.replace("NAME", "b"),
            r#"{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "c"}}]}"#
        );
        assert_eq!(names(&parse("f", &text).unwrap()), ["a", "b", "c"]);
        assert_eq!(parse("f", "").unwrap(), []);
        assert_eq!(parse("f", "--- \n---\n").unwrap(), []);
    }

    #[test]
    fn errors_name_file_and_line() {
        let broken = format!("{}---\na: [1\n", MAP.replace("NAME", "a"));
        let error = parse("f.yaml", &broken).unwrap_err().text();
        assert!(error.starts_with("error: f.yaml: is not valid YAML") && error.contains("line 5"), "{error}");
        for (text, words) in [
            ("kind: ConfigMap", "needs apiVersion and kind"),
            ("apiVersion: v1\nkind: ConfigMap", "ConfigMap needs metadata.name"),
            ("apiVersion: v1\nkind: ConfigMap\nkind: Secret", "duplicate field \"kind\""),
        ] {
            assert!(parse("f", text).unwrap_err().text().contains(words), "{text}");
        }
    }

    #[test]
    fn directories_are_read_in_order_of_names() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("deep")).unwrap();
        for (file, name) in [("b.yaml", "b"), ("a.json", "a"), ("notes.txt", "x"), ("deep/c.yml", "c")] {
            std::fs::write(dir.path().join(file), MAP.replace("NAME", name)).unwrap();
        }
        let source = [dir.path().display().to_string()];
        assert_eq!(names(&read(&source, false).unwrap()), ["a", "b"]);
        assert_eq!(names(&read(&source, true).unwrap()), ["a", "b", "c"]);
        assert!(read(&["/nowhere.yaml".into()], false).unwrap_err().text().contains("can't read /nowhere.yaml"));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "(---|\n|a: b|[ \\[{:#-]|.){0,40}") {
            let _ = parse("f", &text);
            let total: usize = documents(&text).iter().map(|(_, document)| document.len()).sum();
            proptest::prop_assert!(total <= text.len());
        }
    }
}
