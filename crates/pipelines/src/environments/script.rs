//! Reading the start scripts that the SDK writes before Python functions.
//!
//! A function's command is regular: a shell script that installs packages (if there are any), then one that writes the
//! function's source to a file and runs the SDK's executor on it. What is recognised here need not be run by a shell: the
//! packages come from an environment that is made once, and the source is a file already. A script that is in any way
//! different is left alone.

use serde::Serialize;

/// A Python function as the SDK packs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// What `pip install` is called with, in order; empty if the function needs nothing.
    pub installs: Vec<Install>,
    /// The module that runs it: `kfp.dsl.executor_main`.
    pub module: String,
    /// The source of the function's module.
    pub source: String,
    /// What follows the source: arguments of the executor.
    pub args: Vec<String>,
}

/// One call of `pip install`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Install {
    /// Where packages come from, and whether what they depend on does too: options in the order of the script.
    pub options: Vec<String>,
    /// Packages, sorted.
    pub requirements: Vec<String>,
}

/// What the script that installs packages begins with, up to white space: it makes sure that there is a pip.
const ENSURE: &str = "if ! [ -x \"$(command -v pip)\" ]; then";
/// What it does in place when the function wants an environment of its own, which it has here anyway.
const OWN_VENV: &str = "export PIP_DISABLE_PIP_VERSION_CHECK=1 tmp=$(mktemp -d) \
    python3 -m venv \"$tmp/venv\" --system-site-packages . \"$tmp/venv/bin/activate\"";
/// How the script begins that runs a function.
const RUN: &str = "program_path=$(mktemp -d) printf \"%s\" \"$0\" > \"$program_path/ephemeral_component.py\" ";
/// How it ends.
const RUN_END: &str = " --component_module_path \"$program_path/ephemeral_component.py\" \"$@\"";
/// Options of pip that take a value.
const VALUED: [&str; 6] = ["--index-url", "-i", "--extra-index-url", "--trusted-host", "--find-links", "-f"];
/// Options that change nothing about what is installed.
const QUIET: [&str; 3] = ["--quiet", "-q", "--no-warn-script-location"];

impl Function {
    /// Reads a container's command and arguments; `None` if they are not a function of the SDK.
    pub fn read(command: &[String], args: &[String]) -> Option<Self> {
        let mut words = command.iter().chain(args).map(String::as_str);
        let mut script = (words.next()?, words.next()?, words.next()?);
        let mut installs = Vec::new();
        if let ("sh", "-c", install) = script {
            installs = read_installs(install)?;
            script = (words.next()?, words.next()?, words.next()?);
        }
        let ("sh", "-ec" | "-c", run) = script else { return None };
        let module = read_run(run)?;
        let source = words.next()?.to_owned();
        Some(Self { installs, module, source, args: words.map(str::to_owned).collect() })
    }
}

/// White space between words is one blank.
fn normal(script: &str) -> String {
    script.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The module that the script runs on the source.
fn read_run(script: &str) -> Option<String> {
    let script = normal(script);
    let call = script.strip_prefix(RUN)?.strip_suffix(RUN_END)?;
    let call = call.strip_prefix("_KFP_RUNTIME=true ").unwrap_or(call);
    let module = call.strip_prefix("python3 -m ")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_');
    (!module.is_empty() && module.chars().all(plain)).then(|| module.to_owned())
}

fn read_installs(script: &str) -> Option<Vec<Install>> {
    let script = normal(script);
    let (_, rest) = script.strip_prefix(ENSURE)?.split_once(" fi ")?;
    let calls = rest.replacen(OWN_VENV, "", 1);
    let mut installs = Vec::new();
    let mut calls = calls.split(" && ").peekable();
    while let Some(call) = calls.next() {
        if calls.peek().is_none() {
            return (call.trim() == "\"$0\" \"$@\"").then_some(installs);
        }
        installs.push(read_install(call)?);
    }
    None
}

/// Reads one `python3 -m pip install …`.
fn read_install(call: &str) -> Option<Install> {
    // What a shell would replace is nothing that the SDK writes.
    if !is_quoted(call) {
        return None;
    }
    let words = shlex::split(call)?;
    let mut words = words.into_iter().skip_while(|word| word.starts_with("PIP_") && word.contains('=')).peekable();
    for expected in ["python3", "-m", "pip", "install"] {
        words.next_if_eq(expected)?;
    }
    let (mut options, mut requirements) = (Vec::new(), Vec::new());
    while let Some(word) = words.next() {
        if QUIET.contains(&word.as_str()) {
            continue;
        }
        if VALUED.contains(&word.as_str()) {
            let value = words.next()?;
            options.extend([word, value]);
        } else if word.starts_with('-') {
            options.push(word);
        } else {
            requirements.push(word);
        }
    }
    requirements.sort();
    requirements.dedup();
    Some(Install { options, requirements })
}

/// Whether all that a shell would take for more than a word is between quotes.
fn is_quoted(call: &str) -> bool {
    let mut quote = None;
    for c in call.chars() {
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            (None, '$' | '`' | '|' | '<' | '>' | '&' | ';' | '#' | '*' | '?' | '\\') => return false,
            (Some('"'), '$' | '`' | '\\') => return false,
            _ => {}
        }
    }
    quote.is_none()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ENSURE_PIP: &str = "\nif ! [ -x \"$(command -v pip)\" ]; then\n    python3 -m ensurepip || python3 -m ensurepip --user \
        || apt-get install python3-pip\nfi\n\n";
    const EXECUTE: &str = "program_path=$(mktemp -d)\n\nprintf \"%s\" \"$0\" > \"$program_path/ephemeral_component.py\"\n\
        _KFP_RUNTIME=true python3 -m kfp.dsl.executor_main                         --component_module_path   \
        \"$program_path/ephemeral_component.py\"                         \"$@\"\n";
    const KFP: &str = "python3 -m pip install --quiet --no-warn-script-location 'kfp==2.17.0' '--no-deps' \
        'typing-extensions>=3.7.4,<5; python_version<\"3.9\"'";

    fn read(install: Option<&str>) -> Option<Function> {
        let mut words: Vec<String> = Vec::new();
        if let Some(install) = install {
            words.extend(["sh".to_owned(), "-c".to_owned(), format!("{ENSURE_PIP}{install} && \"$0\" \"$@\"\n")]);
        }
        words.extend(["sh", "-ec", EXECUTE, "def f(): pass"].map(str::to_owned));
        Function::read(&words, &["--executor_input".to_owned(), "{}".to_owned()])
    }

    fn install(options: &[&str], requirements: &[&str]) -> Install {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Install { options: owned(options), requirements: owned(requirements) }
    }

    #[test]
    fn what_the_sdk_writes_is_read() {
        let kfp = install(&["--no-deps"], &["kfp==2.17.0", "typing-extensions>=3.7.4,<5; python_version<\"3.9\""]);
        let plain = read(Some(&format!("PIP_DISABLE_PIP_VERSION_CHECK=1 {KFP}"))).unwrap();
        assert_eq!(plain.installs, std::slice::from_ref(&kfp));
        assert_eq!((plain.module.as_str(), plain.source.as_str()), ("kfp.dsl.executor_main", "def f(): pass"));
        assert_eq!(plain.args, ["--executor_input", "{}"]);

        let more = "PIP_DISABLE_PIP_VERSION_CHECK=1 python3 -m pip install --quiet --no-warn-script-location \
            --index-url https://a/simple --extra-index-url https://b/simple --trusted-host b 'scikit-learn>=1.4' \
            'pandas==2.2.0'  &&  ";
        let index = ["--index-url", "https://a/simple", "--extra-index-url", "https://b/simple", "--trusted-host", "b"];
        let packages = install(&index, &["pandas==2.2.0", "scikit-learn>=1.4"]);
        assert_eq!(read(Some(&format!("{more}{KFP}"))).unwrap().installs, [packages.clone(), kfp.clone()]);

        let own = "\nexport PIP_DISABLE_PIP_VERSION_CHECK=1\ntmp=$(mktemp -d)\n\
            python3 -m venv \"$tmp/venv\" --system-site-packages\n. \"$tmp/venv/bin/activate\"\n ";
        assert_eq!(read(Some(&format!("{more}{own}{KFP}"))).unwrap().installs, [packages, kfp]);
        assert_eq!(read(None).unwrap().installs, []);
    }

    #[test]
    fn what_is_different_is_left_alone() {
        for other in [
            "python3 -m pip install $(cat requirements.txt)",
            "python3 -m pip install 'a b\\'c; python_version < \"3.9\"'",
            "python3 -m pip install a > /dev/null",
            "apt-get install -y gcc",
            "echo hello",
            "python3 -m pip install a; rm -rf x",
            "python3 -m pip install --index-url",
        ] {
            assert_eq!(read(Some(other)), None, "{other}");
        }
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(Function::read(&words("python train.py"), &[]), None);
        assert_eq!(Function::read(&words("sh -c ls"), &words("a b c d e")), None);
        assert_eq!(Function::read(&[], &[]), None);
    }

    proptest! {
        #[test]
        fn any_words_are_read_without_panic(words in proptest::collection::vec("\\PC{0,40}", 0..8), script in "\\PC{0,80}") {
            Function::read(&words, &[]);
            read(Some(&script));
        }

        #[test]
        fn any_requirement_comes_back(requirement in "[a-z][a-z0-9_.-]{0,20}(\\[[a-z]{1,5}\\])?[<>=]=[0-9.]{1,8}") {
            let found = read(Some(&format!("python3 -m pip install --quiet '{requirement}'"))).unwrap();
            prop_assert_eq!(found.installs, [install(&[], &[&requirement])]);
        }
    }
}
