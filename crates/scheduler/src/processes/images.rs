//! What images stand for on a machine without containers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What an image stands for: variables of the environment, such as `PATH` of a virtual environment, and what runs when no
/// command is given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Image {
    /// Directory of a Python virtual environment whose programs come first.
    pub venv: String,
    /// What runs when the container says nothing.
    pub command: Vec<String>,
    /// Further variables.
    pub env: BTreeMap<String, String>,
}

/// Images by name, as in the configuration.
#[derive(Debug, Clone, Default)]
pub struct Images(pub BTreeMap<String, Image>);

/// What runs, and in what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chosen {
    pub(crate) command: Vec<String>,
    pub(crate) image: Option<Image>,
    /// What whoever submitted the task should be warned of.
    pub(crate) warning: Option<String>,
}

impl Images {
    /// What runs for a container with this image, command and arguments.
    ///
    /// # Errors
    /// A sentence, when nothing can.
    pub(crate) fn choose(&self, name: &str, command: Vec<String>, args: Vec<String>) -> Result<Chosen, String> {
        let image = self.0.get(name).cloned();
        let given = !command.is_empty();
        let mut command = match &image {
            Some(image) if !given => image.command.clone(),
            _ => command,
        };
        if command.is_empty() {
            return Err(match (&image, name) {
                (_, "") => "the container names neither an image nor a command".to_owned(),
                (Some(_), name) => {
                    format!("image {name:?} has no command of its own here, and the container gives none")
                }
                (None, name) => format!(
                    "no image mapping: this server runs processes, {name:?} is not in its configuration \
                     (agent.images), and the container gives no command of its own"
                ),
            });
        }
        command.extend(args);
        let unmapped = image.is_none() && !name.is_empty();
        let warning = unmapped.then(|| {
            format!(
                "image {name:?} is not in the configuration (agent.images): the command runs in the host's environment"
            )
        });
        Ok(Chosen { command, image, warning })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn what_runs_for_an_image() {
        let image = Image { command: words("serve --port 1"), ..Image::default() };
        let images = Images([("model:1".to_owned(), image)].into());
        let choose = |name: &str, command: &str, args: &str| images.choose(name, words(command), words(args));
        assert_eq!(choose("model:1", "", "-v").unwrap().command, words("serve --port 1 -v"));
        assert_eq!(choose("model:1", "sleep", "1").unwrap().command, words("sleep 1"));
        assert_eq!(choose("model:1", "", "").unwrap().warning, None);
        assert!(choose("other", "sleep 1", "").unwrap().warning.unwrap().contains("host's environment"));
        assert!(choose("other", "", "-v").unwrap_err().contains("no image mapping"));
        assert_eq!(choose("", "true", "").unwrap().warning, None);
        assert!(choose("", "", "").is_err());
    }
}
