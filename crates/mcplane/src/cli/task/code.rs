//! The folder that travels with a task.

use std::path::{Component, Path};

use serde_json::Value;

use super::super::archive::{Contents, pack};
use super::super::connection::typed_bytes;
use super::super::failure::Failure;
use super::Tasks;

/// What was delivered.
pub(super) struct Delivered {
    /// `sha256:` and the digest.
    pub(super) code: String,
    /// The same in words.
    pub(super) words: String,
}

impl Tasks<'_> {
    /// Hands the folder to the server, unless it has it.
    pub(super) async fn deliver(&self, contents: &Contents) -> Result<Delivered, Failure> {
        let packed = pack(contents).map_err(Failure::failed)?;
        let size = packed.bytes.len();
        let known = self.connection.get_optional(&self.path(&format!("code/{}", packed.code))).await?.is_some();
        let code = if known {
            packed.code
        } else {
            let request = typed_bytes("PUT", &self.path("code"), "application/gzip", packed.bytes)?;
            let answer: Value = self.connection.json(request).await?;
            answer["code"].as_str().map_or(packed.code, str::to_owned)
        };
        let sent = if known { "which the server has already".to_owned() } else { format!("{} packed", shown(size)) };
        let files = match contents.files() {
            1 => "1 file".to_owned(),
            count => format!("{count} files"),
        };
        let words = format!("code: {files} of {}, {sent}", contents.root.display());
        Ok(Delivered { code, words })
    }
}

/// Words of the command that name something in the folder, as they are written.
pub(super) fn named(words: &[String], folder: &Path) -> Vec<String> {
    let before = std::iter::once("").chain(words.iter().map(String::as_str));
    let named = before.zip(words).filter_map(|(before, word)| {
        let candidates = if before == "-m" {
            let first = word.split('.').next().unwrap_or_default();
            vec![format!("{first}.py"), first.to_owned()]
        } else {
            vec![word.clone()]
        };
        candidates.into_iter().find(|name| {
            let inside =
                Path::new(name).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
            !name.is_empty() && inside && folder.join(name).exists()
        })
    });
    named.collect()
}

/// Whether a word looks like a program of this folder's.
pub(super) fn is_script(word: &str) -> bool {
    let path = Path::new(word);
    path.is_relative()
        && path.extension().is_some_and(|end| ["py", "sh", "R", "ipynb"].iter().any(|known| end == *known))
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn shown(bytes: usize) -> String {
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..0x10_0000 => format!("{} KiB", bytes / 1024),
        _ => format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_command_names_is_found() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("pkg")).unwrap();
        std::fs::write(folder.path().join("train.py"), "").unwrap();
        for (command, expected) in [
            ("python train.py --epochs 3", vec!["train.py"]),
            ("python ./train.py", vec!["./train.py"]),
            ("python -m pkg.train", vec!["pkg"]),
            ("python -m train", vec!["train.py"]),
            ("python -m http.server", vec![]),
            ("python other.py", vec![]),
            ("python ../train.py", vec![]),
            ("/bin/sh -c true", vec![]),
        ] {
            let words: Vec<String> = command.split(' ').map(str::to_owned).collect();
            assert_eq!(named(&words, folder.path()), expected, "{command}");
        }
        assert!(is_script("a/b.py") && !is_script("/a/b.py") && !is_script("python"));
        assert_eq!([shown(10), shown(2048), shown(3 << 20)], ["10 bytes", "2 KiB", "3.0 MiB"]);
    }
}
