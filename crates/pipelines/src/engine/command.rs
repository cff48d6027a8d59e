//! What a step's process is started with.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::environments::Function;
use crate::outputs::OWN;
use crate::run::Step;

/// Bytes of one argument: Linux takes 128 KiB, with what ends it.
const MOST_ARGUMENT: usize = 100 << 10;
/// Bytes of all arguments together, which the task that runs the step keeps.
const MOST_ARGUMENTS: usize = 160 << 10;

/// Runs a module with arguments from a file, as `python3 -m` does with those of the command line.
const FROM_FILE: &str = "import json, runpy, sys; module, path = sys.argv[1:]; \
    sys.argv = [module] + json.load(open(path)); runpy.run_module(module, run_name='__main__', alter_sys=True)";

/// How a step is started.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Launch {
    /// Program and arguments; empty for the image's own.
    pub(super) command: Vec<String>,
    /// Arguments after the command.
    pub(super) args: Vec<String>,
    /// Variables beside the step's own.
    pub(super) env: Vec<(String, String)>,
    /// Files that it needs, by path.
    pub(super) files: Vec<(PathBuf, String)>,
}

/// How a step is started whose command is one of its author's.
///
/// # Errors
/// A sentence, when a process can't be given so much.
pub(super) fn of_container(step: &Step) -> Result<Launch, String> {
    let words = step.command.iter().chain(&step.args);
    if let Some((index, word)) = words.clone().enumerate().find(|(_, word)| word.len() > MOST_ARGUMENT) {
        return Err(format!(
            "word {index} of the command has {} bytes, and a process takes at most {MOST_ARGUMENT} in one: hand it over in \
             a file, as an artifact",
            word.len()
        ));
    }
    let all: usize = words.map(String::len).sum();
    if all > MOST_ARGUMENTS {
        return Err(format!(
            "the command has {all} bytes, and {MOST_ARGUMENTS} are allowed: hand inputs over in files, as artifacts"
        ));
    }
    Ok(Launch { command: step.command.clone(), args: step.args.clone(), ..Launch::default() })
}

/// How a Python function is started: its source is a file, its packages are there, and no shell is needed.
pub(super) fn of_function(step: &Step, function: Function, environment: Option<&Path>) -> Launch {
    let own = Path::new(&step.task_root).join(OWN);
    let source = own.join("ephemeral_component.py");
    let text = |path: &Path| path.display().to_string();
    let mut env = vec![("_KFP_RUNTIME".to_owned(), "true".to_owned())];
    if let Some(environment) = environment {
        // What is there already follows; Kubernetes' syntax, which the template keeps.
        env.push(("PATH".to_owned(), format!("{}/bin:$(PATH)", text(environment))));
        env.push(("VIRTUAL_ENV".to_owned(), text(environment)));
    }
    let mut args = vec!["--component_module_path".to_owned(), text(&source)];
    args.extend(function.args);
    let mut files = vec![(source, function.source)];
    let python = environment.map_or_else(|| "python3".to_owned(), |venv| text(&venv.join("bin/python3")));
    let words = |words: &[&str]| [python.as_str()].iter().chain(words).map(|word| (*word).to_owned()).collect();
    let large = args.iter().any(|arg| arg.len() > MOST_ARGUMENT)
        || args.iter().map(String::len).sum::<usize>() > MOST_ARGUMENTS;
    let command = if large {
        let path = own.join("arguments.json");
        let command = words(&["-c", FROM_FILE, &function.module, &text(&path)]);
        files.push((path, json!(args).to_string()));
        args = vec![];
        command
    } else {
        words(&["-m", &function.module])
    };
    Launch { command, args, env, files }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(argument: &str) -> Function {
        Function {
            installs: vec![],
            module: "kfp.dsl.executor_main".to_owned(),
            source: "def f(): pass".to_owned(),
            args: vec!["--executor_input".to_owned(), argument.to_owned()],
        }
    }

    #[test]
    fn a_function_is_started_without_a_shell() {
        let step = super::super::testing::step();
        let launch = of_function(&step, function("{}"), Some(Path::new("/env")));
        assert_eq!(launch.command, ["/env/bin/python3", "-m", "kfp.dsl.executor_main"]);
        let source = "/root/task/.mcplane/ephemeral_component.py";
        assert_eq!(launch.args, ["--component_module_path", source, "--executor_input", "{}"]);
        assert_eq!(launch.files, [(PathBuf::from(source), "def f(): pass".to_owned())]);
        assert!(launch.env.contains(&("PATH".to_owned(), "/env/bin:$(PATH)".to_owned())));
    }

    #[test]
    fn what_is_too_long_for_an_argument_is_a_file() {
        let step = super::super::testing::step();
        let large = "x".repeat(MOST_ARGUMENT + 1);
        let launch = of_function(&step, function(&large), None);
        assert_eq!((launch.command[0].as_str(), launch.args.len()), ("python3", 0));
        assert!(launch.files[1].1.contains(&large));
        let step = Step { command: vec!["echo".to_owned(), large], ..super::super::testing::step() };
        assert!(of_container(&step).unwrap_err().starts_with("word 1 of the command has 102401 bytes"));
        let many = vec!["x".repeat(10 << 10); 20];
        let step = Step { command: vec!["echo".to_owned()], args: many, ..super::super::testing::step() };
        assert!(of_container(&step).unwrap_err().contains("hand inputs over in files"));
    }
}
