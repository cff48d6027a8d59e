//! Lays flags over environment over file over defaults, and remembers where each value came from.
//!
//! The serialised defaults are the schema: their leaves are the keys that exist, and a leaf's type tells how to read
//! text from a flag or a variable. Each given value is tried alone on top of the defaults, so that every wrong one is
//! reported, with its key, instead of the first.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::values::{fit, hide_secrets, leaves, parse_yaml, put, read_text};
use super::{Config, ConfigError, ConfigErrors};

const FILE_NAME: &str = "mcplane.yaml";
const DATA_DIR: &str = "server.data-dir";
const PREFIX: &str = "MCPLANE_";

/// A value given on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// The key, such as `server.listen`.
    pub key: String,
    /// The value as text.
    pub text: String,
    /// The flag that gave it.
    pub flag: String,
}

/// Where configuration is read from.
#[derive(Debug, Clone, Default)]
pub struct Input {
    /// Values from flags; they win over everything.
    pub flags: Vec<Override>,
    /// The environment. Names with a double underscore are settings: `MCPLANE_SERVER__MAX_BODY` is `server.max-body`.
    pub environment: BTreeMap<String, String>,
    /// The file to read; without one, `mcplane.yaml` in the data directory if it exists.
    pub file: Option<PathBuf>,
}

impl Input {
    /// The process's own environment, no flags and no file.
    pub fn from_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self { environment: std::env::vars_os().filter_map(text).collect(), ..Self::default() }
    }
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Nobody set it.
    Default,
    /// A file.
    File(PathBuf),
    /// A variable.
    Environment(String),
    /// A flag.
    Flag(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(name) => write!(f, "{name}"),
            Self::Flag(flag) => write!(f, "{flag}"),
        }
    }
}

/// One key with its value in force.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// The key.
    pub key: String,
    /// The value, normalised and without secrets.
    pub value: Value,
    /// Where it came from.
    pub source: Source,
}

/// A configuration that may be used.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// Every key with its source, in order of keys.
    pub settings: Vec<Setting>,
}

/// Reads and checks the configuration.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load(input: &Input) -> Result<Loaded, ConfigErrors> {
    let mut layers = Layers::new(default_data_dir(&input.environment));
    // Flags and environment are read first, because they may say where the file is.
    let mut stronger = Layers::empty(&layers);
    stronger.environment(&input.environment);
    stronger.flags(&input.flags);
    match &input.file {
        Some(path) => layers.file(path),
        None => {
            let data_dir = stronger.text_of(DATA_DIR).or_else(|| layers.text_of(DATA_DIR)).unwrap_or_default();
            let path = Path::new(&data_dir).join(FILE_NAME);
            if path.exists() {
                layers.file(&path);
                layers.forbid_data_dir_from(&path);
            }
        }
    }
    layers.cover_with(stronger);
    layers.finish()
}

/// Where data is kept if nobody says so: the user's data folder, or a system folder for a user without a home.
fn default_data_dir(environment: &BTreeMap<String, String>) -> PathBuf {
    let set = |name: &str| environment.get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("XDG_DATA_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".local/share")))
        .map_or_else(|| PathBuf::from("/var/lib/mcplane"), |base| base.join("mcplane"))
}

/// The key that was probably meant by one that does not exist.
pub fn nearest_key(key: &str) -> Option<String> {
    nearest(key, &leaves(&defaults()))
}

/// The keys that exist.
#[cfg(test)]
pub(super) fn default_keys() -> BTreeSet<String> {
    leaves(&defaults()).into_keys().collect()
}

fn defaults() -> Value {
    // Plain structs of text, numbers and lists always serialise.
    serde_json::to_value(Config::default()).unwrap_or_default()
}

/// The values given so far, the stronger ones over the weaker.
struct Layers {
    schema: BTreeMap<String, Value>,
    values: BTreeMap<String, (Value, Source)>,
    errors: Vec<ConfigError>,
}

impl Layers {
    fn new(data_dir: PathBuf) -> Self {
        let schema = leaves(&defaults());
        let mut values: BTreeMap<_, _> =
            schema.iter().map(|(key, value)| (key.clone(), (value.clone(), Source::Default))).collect();
        values.insert(DATA_DIR.to_owned(), (Value::from(data_dir.to_string_lossy()), Source::Default));
        Self { schema, values, errors: Vec::new() }
    }

    fn empty(like: &Self) -> Self {
        Self { schema: like.schema.clone(), values: BTreeMap::new(), errors: Vec::new() }
    }

    fn cover_with(&mut self, stronger: Self) {
        self.values.extend(stronger.values);
        self.errors.extend(stronger.errors);
    }

    fn text_of(&self, key: &str) -> Option<String> {
        self.values.get(key).and_then(|(value, _)| value.as_str()).map(ToOwned::to_owned)
    }

    fn environment(&mut self, environment: &BTreeMap<String, String>) {
        for (name, text) in environment {
            // Names without a double underscore are left alone: a cluster injects MCPLANE_PORT and the like.
            let Some(rest) = name.strip_prefix(PREFIX).filter(|rest| rest.contains("__")) else { continue };
            let key = rest.to_ascii_lowercase().replace("__", ".").replace('_', "-");
            self.set_text(&key, text, Source::Environment(name.clone()));
        }
    }

    fn flags(&mut self, flags: &[Override]) {
        for Override { key, text, flag } in flags {
            self.set_text(key, text, Source::Flag(flag.clone()));
        }
    }

    fn file(&mut self, path: &Path) {
        let wrong = |reason: String| ConfigError::File { path: path.to_owned(), reason };
        let tree = std::fs::read_to_string(path)
            .map_err(|error| wrong(format!("can't be read: {error}")))
            .and_then(|text| parse_yaml(&text).map_err(|error| wrong(format!("is not YAML: {error}"))));
        match tree {
            Ok(Value::Null) => {}
            Ok(Value::Object(sections)) => self.tree("", Value::Object(sections), &Source::File(path.to_owned())),
            Ok(_) => self.errors.push(wrong("must be a mapping of sections, such as `server:`".to_owned())),
            Err(error) => self.errors.push(error),
        }
    }

    fn tree(&mut self, key: &str, node: Value, source: &Source) {
        if self.schema.contains_key(key) {
            // A key without a value sets nothing.
            if !node.is_null() {
                let value = fit(&self.schema[key], node);
                self.set(key, value, source.clone());
            }
            return;
        }
        let is_section = key.is_empty() || self.schema.keys().any(|known| starts_section(known, key));
        match node {
            _ if !is_section => self.unknown(key, source.clone()),
            Value::Null => {}
            Value::Object(children) => {
                for (name, child) in children {
                    let inner = if key.is_empty() { name } else { format!("{key}.{name}") };
                    self.tree(&inner, child, source);
                }
            }
            other => self.errors.push(ConfigError::WrongValue {
                key: key.to_owned(),
                value: other.to_string(),
                source: source.clone(),
                reason: "expected a section with keys of its own".to_owned(),
            }),
        }
    }

    fn set_text(&mut self, key: &str, text: &str, source: Source) {
        match self.schema.get(key) {
            Some(like) => {
                let value = read_text(like, text);
                self.set(key, value, source);
            }
            None => self.unknown(key, source),
        }
    }

    /// Takes a value if the configuration can be read with it alone on top of the defaults.
    fn set(&mut self, key: &str, value: Value, source: Source) {
        let mut tree = defaults();
        put(&mut tree, key, value.clone());
        match serde_json::from_value::<Config>(tree) {
            Ok(_) => {
                self.values.insert(key.to_owned(), (value, source));
            }
            Err(error) => self.errors.push(ConfigError::WrongValue {
                key: key.to_owned(),
                value: hide_secrets(&value).to_string(),
                source,
                reason: error.to_string(),
            }),
        }
    }

    fn unknown(&mut self, key: &str, source: Source) {
        let nearest = nearest(key, &self.schema);
        self.errors.push(ConfigError::UnknownKey { key: key.to_owned(), source, nearest });
    }

    /// The file in the data directory was found through the data directory; it can't move it.
    fn forbid_data_dir_from(&mut self, path: &Path) {
        let from_file = self.values.get(DATA_DIR).is_some_and(|(_, source)| matches!(source, Source::File(_)));
        if from_file {
            self.errors.push(ConfigError::Rule(format!(
                "{DATA_DIR} can't be set in {}, which is itself in the data directory: use --data-dir or --config",
                path.display()
            )));
        }
    }

    fn finish(mut self) -> Result<Loaded, ConfigErrors> {
        let mut tree = Value::Null;
        for (key, (value, _)) in &self.values {
            put(&mut tree, key, value.clone());
        }
        let config = match serde_json::from_value::<Config>(tree) {
            Ok(config) => config,
            Err(error) => {
                self.errors.push(ConfigError::Rule(error.to_string()));
                return Err(ConfigErrors(self.errors));
            }
        };
        // Wrong values were left at their defaults, so that the rules between the others are told too.
        self.errors.extend(config.broken_rules().into_iter().map(ConfigError::Rule));
        if !self.errors.is_empty() {
            return Err(ConfigErrors(self.errors));
        }
        let normal = leaves(&serde_json::to_value(&config).unwrap_or_default());
        let settings = self
            .values
            .into_iter()
            .map(|(key, (given, source))| {
                let value = hide_secrets(normal.get(&key).unwrap_or(&given));
                Setting { key, value, source }
            })
            .collect();
        Ok(Loaded { config, settings })
    }
}

fn starts_section(key: &str, section: &str) -> bool {
    key.strip_prefix(section).is_some_and(|rest| rest.starts_with('.'))
}

/// The key or section that was probably meant: the same last part elsewhere, or the most similar one.
fn nearest(key: &str, schema: &BTreeMap<String, Value>) -> Option<String> {
    const SIMILAR_ENOUGH: f64 = 0.6;
    let mut candidates: BTreeSet<&str> = schema.keys().map(String::as_str).collect();
    candidates.extend(schema.keys().flat_map(|known| known.match_indices('.').map(|(at, _)| &known[..at])));
    let last = |text: &str| text.rsplit('.').next().unwrap_or_default().replace('_', "-");
    let score = |candidate: &str| {
        let whole = strsim::normalized_damerau_levenshtein(&key.replace('_', "-"), candidate);
        let part = strsim::normalized_damerau_levenshtein(&last(key), &last(candidate));
        // The last part counts for more: people forget the section more often than they misspell both. Where sections
        // have the same key, the section that was named decides.
        (whole.max(part * 0.95), whole)
    };
    candidates
        .into_iter()
        .map(|candidate| (score(candidate), candidate))
        .filter(|((score, _), _)| *score >= SIMILAR_ENOUGH)
        .max_by(|((a, near_a), _), ((b, near_b), _)| a.total_cmp(b).then(near_a.total_cmp(near_b)))
        .map(|(_, candidate)| candidate.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(flags: &[(&str, &str)], environment: &[(&str, &str)]) -> Input {
        Input {
            flags: flags
                .iter()
                .map(|(key, text)| Override { key: (*key).into(), text: (*text).into(), flag: "--set".into() })
                .collect(),
            environment: environment.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
            file: None,
        }
    }

    fn with_file(text: &str, mut input: Input) -> (tempfile::TempDir, Result<Loaded, ConfigErrors>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.yaml");
        std::fs::write(&path, text).unwrap();
        input.file = Some(path);
        let loaded = load(&input);
        (dir, loaded)
    }

    fn errors(text: &str) -> String {
        let (dir, loaded) = with_file(text, Input::default());
        loaded.unwrap_err().to_string().replace(&dir.path().display().to_string(), "DIR")
    }

    #[test]
    fn flags_beat_environment_beats_file_beats_default() {
        let file = "server:\n  listen: 127.0.0.1:1\n  max-body: 1MiB\n  request-timeout: 5s\n";
        let environment = [("MCPLANE_SERVER__LISTEN", "127.0.0.1:2"), ("MCPLANE_SERVER__MAX_BODY", "2MiB")];
        let (_dir, loaded) = with_file(file, input(&[("server.listen", "127.0.0.1:3")], &environment));
        let Loaded { config, settings } = loaded.unwrap();
        assert_eq!(config.server.listen.0.port(), 3);
        assert_eq!(config.server.max_body.0, 2 << 20);
        assert_eq!(config.server.request_timeout.to_string(), "5s");
        let source = |key: &str| settings.iter().find(|s| s.key == key).unwrap().source.clone();
        assert_eq!(source("server.listen"), Source::Flag("--set".into()));
        assert_eq!(source("server.max-body"), Source::Environment("MCPLANE_SERVER__MAX_BODY".into()));
        assert!(matches!(source("server.request-timeout"), Source::File(_)));
        assert_eq!(source("log.level"), Source::Default);
    }

    #[test]
    fn the_data_directory_holds_the_file() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE_NAME), "log: {level: debug}\n").unwrap();
        let flags = [(DATA_DIR, dir.path().to_str().unwrap())];
        assert_eq!(load(&input(&flags, &[])).unwrap().config.log.level.to_string(), "debug");

        std::fs::write(dir.path().join(FILE_NAME), "server: {data-dir: /elsewhere}\n").unwrap();
        let error = load(&input(&flags, &[])).unwrap_err().to_string();
        assert!(error.contains("use --data-dir or --config"), "{error}");
    }

    #[test]
    fn default_data_directory_follows_the_home() {
        let dir = |vars: &[(&str, &str)]| load(&input(&[], vars)).unwrap().config.server.data_dir;
        assert_eq!(dir(&[("HOME", "/nowhere/ann")]), Path::new("/nowhere/ann/.local/share/mcplane"));
        assert_eq!(dir(&[("HOME", "/nowhere/ann"), ("XDG_DATA_HOME", "/nowhere/x")]), Path::new("/nowhere/x/mcplane"));
        assert_eq!(dir(&[]), Path::new("/var/lib/mcplane"));
    }

    #[test]
    fn unknown_keys_name_the_nearest() {
        for (given, nearest) in [
            ("server: {lisen: '127.0.0.1:1'}", "server.listen"),
            ("server: {max_body: 1MiB}", "server.max-body"),
            ("listen: '127.0.0.1:1'", "server.listen"),
            ("sever: {}", "server"),
            ("store: {sans: [a]}", "server.tls.san"),
        ] {
            let error = errors(given);
            assert!(error.contains(&format!("in DIR/c.yaml: did you mean {nearest:?}?")), "{error}");
        }
        assert!(errors("quux: 1").contains("`mcplane config explain` lists all keys"));
        let error = load(&input(&[], &[("MCPLANE_SERVER__LISTENN", "x")])).unwrap_err().to_string();
        assert!(error.contains("\"server.listenn\" in MCPLANE_SERVER__LISTENN: did you mean"), "{error}");
    }

    #[test]
    fn all_wrong_values_are_told_at_once_with_what_is_expected() {
        let error = errors(
            "server: {request-timeout: 5, behind-tls-proxy: maybe, max-connections: -1, allowed-hosts: x}\n\
             auth: {mode: requried}\nlog: 3\n",
        );
        for part in [
            "server.request-timeout = \"5\" in DIR/c.yaml: \"5\" is not a duration: write it like",
            "server.behind-tls-proxy = \"maybe\" in DIR/c.yaml: invalid type: string \"maybe\", expected a boolean",
            "server.max-connections = -1 in DIR/c.yaml: invalid value: integer `-1`, expected usize",
            "server.allowed-hosts = \"x\" in DIR/c.yaml: invalid type: string \"x\", expected a sequence",
            "auth.mode = \"requried\" in DIR/c.yaml: unknown variant `requried`, expected `auto` or `required`",
            "log = 3 in DIR/c.yaml: expected a section",
        ] {
            assert!(error.contains(part), "{part}\n{error}");
        }
    }

    #[test]
    fn files_that_are_no_configuration() {
        assert!(errors("[]").contains("must be a mapping"));
        assert!(errors("server: {").contains("is not YAML"));
        assert!(errors("log: {}\nlog: {}").contains("is not YAML"), "a key given twice");
        assert!(errors("server: {max-body: 1}").contains("between 1KiB and 1GiB"));
        assert!(with_file("", Input::default()).1.is_ok());
        assert!(with_file("server:\n  listen:\n", Input::default()).1.is_ok());
        let missing = Input { file: Some("/nowhere/c.yaml".into()), ..Input::default() };
        assert!(load(&missing).unwrap_err().to_string().contains("/nowhere/c.yaml: can't be read"));
    }

    #[test]
    fn lists_and_numbers_are_read_from_text() {
        let flags = [("server.allowed-hosts", "a, b"), ("server.max-connections", "7"), ("server.tls.san", "[x, y]")];
        let config = load(&input(&flags, &[("MCPLANE_SERVER__BEHIND_TLS_PROXY", "true")])).unwrap().config;
        assert_eq!(config.server.allowed_hosts, ["a", "b"]);
        assert_eq!(config.server.max_connections, 7);
        assert_eq!(config.server.tls.san, ["x", "y"]);
        assert!(config.server.behind_tls_proxy);
    }

    #[test]
    fn variables_of_others_are_left_alone() {
        assert!(load(&input(&[], &[("MCPLANE_PORT", "tcp://10.0.0.1:5080"), ("MCPLANE_URL", "x")])).is_ok());
    }

    #[test]
    fn secrets_stay_out_of_settings_and_errors() {
        let url = "postgres://me:secret@db/x";
        let loaded = load(&input(&[("store.url", url)], &[])).unwrap();
        assert_eq!(loaded.config.store.url.expose(), url);
        assert!(!format!("{loaded:?}").contains("secret"));
        let error = errors("store: {url: 'mysql://me:secret@db/x'}");
        assert!(!error.contains("secret") && error.contains("me:***@db"), "{error}");
    }
}
