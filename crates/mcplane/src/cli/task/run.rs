//! `mcplane task run`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use mcplane_core::units::HumanDuration;
use serde_json::{Value, json};

use super::super::archive::Contents;
use super::super::connection::request;
use super::super::failure::Failure;
use super::super::output::{complain, print_line};
use super::code::{is_script, named};
use super::follow::{Ended, Follower, Keys};
use super::screen::Screen;
use super::{Tasks, show};

/// What a shell answers for a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

const EXAMPLES: &str = "\
The folder goes with the task if the command names something in it, as `python train.py` does.
What .gitignore and .mcplaneignore name stays, and so do links out of the folder.

The command follows the task's log and ends with its exit code, or 1 if it has none, and 130 if
it was cancelled. Ctrl-C cancels the task, Ctrl-\\ leaves it running; so does closing the terminal.

Examples:
  mcplane task run -- python train.py --epochs 10
  mcplane task run --name tune --queue research --cpu 2 --memory 4Gi --gpu 1 -- python -m tune
  mcplane task run --env SEED=7 --env HF_TOKEN --timeout 2h --retries 3 -- ./train.sh
  id=$(mcplane task run --detach --delay 1h -- python nightly.py)
";

/// Run a command as a task, and follow it
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Program and its arguments, after --
    #[arg(value_name = "COMMAND", required = true, last = true)]
    command: Vec<String>,
    /// What to call it; without it the name of the program
    #[arg(long)]
    name: Option<String>,
    /// Queue to line up in
    #[arg(long, default_value = "default")]
    queue: String,
    /// Processors that an attempt takes, such as 2 or 500m
    #[arg(long, value_name = "COUNT")]
    cpu: Option<String>,
    /// Memory that an attempt takes, such as 4Gi
    #[arg(long, value_name = "SIZE")]
    memory: Option<String>,
    /// Devices that an attempt takes
    #[arg(long, value_name = "COUNT")]
    gpu: Option<String>,
    /// Image that names the environment to run in
    #[arg(long)]
    image: Option<String>,
    /// Variable for the attempt; without a value the one of this shell
    #[arg(long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Service account to run as
    #[arg(long, value_name = "NAME")]
    service_account: Option<String>,
    /// 0 to 9; higher goes first
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..=9))]
    priority: i64,
    /// How long to wait before it is ready, such as 10m
    #[arg(long, value_name = "DURATION")]
    delay: Option<HumanDuration>,
    /// How often to try again when it fails
    #[arg(long, value_name = "COUNT", default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..1000))]
    retries: i64,
    /// How long an attempt may take, such as 2h
    #[arg(long, value_name = "DURATION")]
    timeout: Option<HumanDuration>,
    /// How long an attempt has to end when it is told to, such as 1m
    #[arg(long, value_name = "DURATION")]
    grace: Option<HumanDuration>,
    /// Folder to send, whatever the command names
    #[arg(long, value_name = "DIR")]
    code: Option<PathBuf>,
    /// Send no folder
    #[arg(long, conflicts_with = "code")]
    no_code: bool,
    /// Only submit it, and print its id
    #[arg(short, long)]
    detach: bool,
}

pub(super) async fn run(tasks: &Tasks<'_>, arguments: Arguments) -> Result<(), Failure> {
    let mut body = arguments.body(|name| std::env::var(name).ok())?;
    let contents = arguments.contents()?;
    let mut notes = Vec::new();
    if let Some(contents) = &contents {
        let delivered = tasks.deliver(contents).await?;
        body["code"] = delivered.code.into();
        notes.push(delivered.words);
        notes.extend(left_out(&contents.left_out));
    }
    // The signals are ours before there is a task that they could leave alone.
    let keys = if arguments.detach { None } else { Some(Keys::new()?) };
    let task: Value = tasks.connection.json(request("POST", &tasks.path("tasks"), Some(&body))?).await?;
    let id = show::text(&task, "id").to_owned();
    notes.iter().for_each(|note| complain(note));
    if arguments.detach {
        complain(&format!("`mcplane task logs -f {id}` follows it"));
        return print_line(&id);
    }
    complain(&format!(
        "task {} is in queue {}; Ctrl-C cancels it, Ctrl-\\ leaves it running",
        show::title(&task),
        show::text(&task, "queue")
    ));
    let mut follower = Follower { tasks, id: &id, options: &[], screen: Screen::new(), keys };
    match follower.follow(None).await? {
        Ended::Finished(task) => finish(&mut follower.screen, &task),
        Ended::Left => {
            follower.screen.say(&format!("`mcplane task logs -f {id}` follows it again"));
            Ok(())
        }
    }
}

fn finish(screen: &mut Screen, task: &Value) -> Result<(), Failure> {
    let state = show::text(task, "state");
    if state == "succeeded" {
        return Ok(());
    }
    let why = show::why(task);
    let why = if why.is_empty() { why } else { format!(": {why}") };
    screen.say(&format!("task {} {state}{why}", show::title(task)));
    Err(Failure::of_task(exit_code(task)))
}

/// The task's own exit code where it says something; never success.
fn exit_code(task: &Value) -> u8 {
    if show::text(task, "state") == "cancelled" {
        return INTERRUPTED;
    }
    task["exitCode"].as_i64().and_then(|code| u8::try_from(code).ok()).filter(|code| *code > 0).unwrap_or(1)
}

fn left_out(names: &[String]) -> Vec<String> {
    const SHOWN: usize = 5;
    let mut lines: Vec<String> = names.iter().take(SHOWN).map(|name| format!("not sent: {name}")).collect();
    if names.len() > SHOWN {
        lines.push(format!("not sent: {} more", names.len() - SHOWN));
    }
    lines
}

impl Arguments {
    /// The task as the server takes it.
    fn body(&self, variable: impl Fn(&str) -> Option<String>) -> Result<Value, Failure> {
        let mut body = json!({
            "name": self.name.clone().unwrap_or_else(|| name_of(&self.command)),
            "queue": self.queue,
            "command": self.command,
            "priority": self.priority,
        });
        let resources: BTreeMap<&str, &String> = [("cpu", &self.cpu), ("memory", &self.memory), ("gpu", &self.gpu)]
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.as_ref()?)))
            .collect();
        let mut env = BTreeMap::new();
        for entry in &self.env {
            let (name, value) = match entry.split_once('=') {
                Some((name, value)) => (name, value.to_owned()),
                None => {
                    (entry.as_str(), variable(entry).ok_or_else(|| Failure::usage(format!("{entry} is not set here")))?)
                }
            };
            if name.is_empty() {
                return Err(Failure::usage(format!("{entry:?} is no variable: write NAME or NAME=VALUE")));
            }
            env.insert(name, value);
        }
        let milliseconds = |duration: HumanDuration| u64::try_from(duration.0.as_millis()).unwrap_or(u64::MAX);
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                body[name] = value;
            }
        };
        put("resources", (!resources.is_empty()).then(|| json!(resources)));
        put("env", (!env.is_empty()).then(|| json!(env)));
        put("image", self.image.clone().map(Value::from));
        put("serviceAccount", self.service_account.clone().map(Value::from));
        put("delayMs", self.delay.map(|delay| milliseconds(delay).into()));
        put("timeoutMs", self.timeout.map(|timeout| milliseconds(timeout).into()));
        put("graceMs", self.grace.map(|grace| milliseconds(grace).into()));
        put("retries", (self.retries > 0).then(|| json!({"maxAttempts": self.retries + 1})));
        Ok(body)
    }

    /// What travels.
    fn contents(&self) -> Result<Option<Contents>, Failure> {
        if self.no_code {
            return Ok(None);
        }
        if let Some(folder) = &self.code {
            return Contents::of(folder).map(Some).map_err(Failure::failed);
        }
        let here = std::env::current_dir()?;
        let named = named(&self.command, &here);
        if named.is_empty() {
            for word in self.command.iter().filter(|word| is_script(word)) {
                complain(&format!("{word} is not in {}: the task's folder will be empty", here.display()));
            }
            return Ok(None);
        }
        let home = std::env::var_os("HOME").map(PathBuf::from);
        if here == Path::new("/") || Some(&here) == home.as_ref() {
            return Err(Failure::usage(format!("{} does not travel unasked", here.display()))
                .hint("work in a folder of its own, name one with --code DIR, or send none with --no-code"));
        }
        let contents = Contents::of(&here).map_err(Failure::failed)?;
        for word in named.iter().filter(|word| !contents.holds(Path::new(word))) {
            complain(&format!("{word} does not travel: an ignore file leaves it out"));
        }
        Ok(Some(contents))
    }
}

/// The script's name without its ending, or the program's.
fn name_of(command: &[String]) -> String {
    let module = command.iter().skip_while(|word| *word != "-m").nth(1);
    let script = command.iter().find(|word| is_script(word));
    let word = script.or(module).or(command.first()).map(String::as_str).unwrap_or_default();
    let file = Path::new(word).file_name().and_then(|name| name.to_str()).unwrap_or(word);
    let stem = if is_script(word) { Path::new(file).file_stem().and_then(|stem| stem.to_str()) } else { None };
    stem.unwrap_or(file).to_owned()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn read(line: &str) -> Arguments {
        Line::try_parse_from(std::iter::once("run").chain(line.split(' '))).unwrap().arguments
    }

    #[test]
    fn flags_become_the_servers_words() {
        let arguments = read(
            "--queue gpu --cpu 500m --memory 4Gi --gpu 1 --env A=b=c --env SHELL_VAR --delay 1m30s --retries 2 --timeout 2h \
             --grace 5s --priority 7 --image reg/py:1 -- python train.py -x",
        );
        let body = arguments.body(|name| Some(format!("value of {name}"))).unwrap();
        assert_eq!(
            body,
            json!({
                "name": "train", "queue": "gpu", "command": ["python", "train.py", "-x"], "priority": 7,
                "resources": {"cpu": "500m", "memory": "4Gi", "gpu": "1"},
                "env": {"A": "b=c", "SHELL_VAR": "value of SHELL_VAR"},
                "delayMs": 90_000, "timeoutMs": 7_200_000, "graceMs": 5000, "retries": {"maxAttempts": 3}, "image": "reg/py:1",
            })
        );
        let plain = read("-- true").body(|_| None).unwrap();
        assert_eq!(plain, json!({"name": "true", "queue": "default", "command": ["true"], "priority": 0}));
    }

    #[test]
    fn variables_that_are_not_set_are_told() {
        assert!(read("--env NONE -- true").body(|_| None).unwrap_err().text().contains("NONE is not set here"));
        assert!(read("--env =x -- true").body(|_| None).is_err());
    }

    #[test]
    fn names_come_from_the_command() {
        for (command, name) in [
            ("python train.py", "train"),
            ("python a/b/eval.py --x", "eval"),
            ("python -m pkg.train", "pkg.train"),
            ("./run.sh", "run"),
            ("/usr/bin/env true", "env"),
        ] {
            let words: Vec<String> = command.split(' ').map(str::to_owned).collect();
            assert_eq!(name_of(&words), name, "{command}");
        }
    }

    #[test]
    fn the_exit_code_is_the_tasks() {
        for (task, code) in [
            (json!({"state": "failed", "exitCode": 3}), 3),
            (json!({"state": "failed", "exitCode": 0}), 1),
            (json!({"state": "failed", "exitCode": 300}), 1),
            (json!({"state": "failed"}), 1),
            (json!({"state": "cancelled", "exitCode": 143}), 130),
        ] {
            assert_eq!(exit_code(&task), code, "{task}");
        }
    }
}
