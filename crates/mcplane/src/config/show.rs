//! Prints a configuration for people.

use std::fmt::Write;

use serde_json::Value;

use super::layers::Source;
use super::{KeyDoc, Setting, reference};

/// Whether output may be coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Whether to use ANSI colours.
    pub colour: bool,
}

impl Style {
    fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// A table of key, value and source; values that somebody set stand out.
pub fn render_table(settings: &[Setting], style: Style) -> String {
    let rows: Vec<(&str, String, &Source)> =
        settings.iter().map(|setting| (setting.key.as_str(), plain(&setting.value), &setting.source)).collect();
    let key_width = rows.iter().map(|row| row.0.len()).max().unwrap_or(0).max("KEY".len());
    let value_width = rows.iter().map(|row| row.1.chars().count()).max().unwrap_or(0).max("VALUE".len());
    let mut text = style.paint("1", &format!("{:key_width$}   {:value_width$}   SOURCE", "KEY", "VALUE")) + "\n";
    for (key, value, source) in rows {
        let line = format!("{key:key_width$}   {value:value_width$}   {source}");
        let code = if *source == Source::Default { "2" } else { "0" };
        let _ = writeln!(text, "{}", style.paint(code, &line));
    }
    text
}

/// The settings as a file that gives the same configuration, but for passwords.
pub fn render_yaml(settings: &[Setting]) -> String {
    let mut text = String::new();
    let mut open: Vec<&str> = Vec::new();
    for setting in settings {
        let mut parts: Vec<&str> = setting.key.split('.').collect();
        let Some(name) = parts.pop() else { continue };
        let shared = open.iter().zip(&parts).take_while(|(a, b)| a == b).count();
        for (depth, section) in parts.iter().enumerate().skip(shared) {
            let _ = writeln!(text, "{:indent$}{section}:", "", indent = depth * 2);
        }
        // JSON is YAML; a value on one line keeps its source beside it.
        let value = setting.value.to_string();
        let _ = writeln!(text, "{:indent$}{name}: {value}  # {}", "", setting.source, indent = parts.len() * 2);
        open = parts;
    }
    text
}

/// The documentation of all keys, or of those that start with `wanted`; `None` if there are none.
pub fn explain(wanted: Option<&str>, defaults: &[Setting], style: Style) -> Option<String> {
    let matches = |doc: &&KeyDoc| {
        wanted.is_none_or(|wanted| {
            doc.key.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    };
    let docs = reference();
    let mut text = String::new();
    for doc in docs.iter().filter(matches) {
        let default = defaults.iter().find(|setting| setting.key == doc.key).map(|setting| plain(&setting.value));
        let variable = format!("MCPLANE_{}", doc.key.replace('.', "__").replace('-', "_").to_ascii_uppercase());
        let _ = writeln!(text, "{}  (default {})", style.paint("1", &doc.key), default.as_deref().unwrap_or("-"));
        let _ = writeln!(text, "    {}\n    {}\n", doc.text, style.paint("2", &variable));
    }
    (!text.is_empty()).then_some(text)
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "-".to_owned(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Input, Override, load};
    use super::*;

    fn settings() -> Vec<Setting> {
        let flag = |key: &str, text: &str| Override { key: key.into(), text: text.into(), flag: "--set".into() };
        let flags = vec![
            flag("server.data-dir", "/nowhere/data"),
            flag("store.url", "postgres://me:secret@db/x"),
            flag("server.allowed-hosts", "a,b"),
        ];
        load(&Input { flags, ..Input::default() }).unwrap().settings
    }

    #[test]
    fn the_table_is_aligned_and_redacted() {
        insta::assert_snapshot!(render_table(&settings(), Style { colour: false }));
        let coloured = render_table(&settings(), Style { colour: true });
        assert!(coloured.contains("\x1b["));
        assert!(!coloured.contains("secret"));
    }

    #[test]
    fn the_yaml_reads_back() {
        let text = render_yaml(&settings());
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.yaml");
        std::fs::write(&path, &text).unwrap();
        let again = load(&Input { file: Some(path), ..Input::default() }).unwrap().settings;
        let values =
            |settings: &[Setting]| settings.iter().map(|s| (s.key.clone(), s.value.clone())).collect::<Vec<_>>();
        assert_eq!(values(&again), values(&settings()), "{text}");
    }

    #[test]
    fn sections_and_keys_are_explained() {
        let style = Style { colour: false };
        let text = explain(Some("store"), &settings(), style).unwrap();
        assert!(text.contains("MCPLANE_STORE__COMPACTION_INTERVAL") && !text.contains("server.listen"), "{text}");
        assert_eq!(explain(Some("server.max-body"), &settings(), style).unwrap().matches("MCPLANE_").count(), 1);
        assert_eq!(explain(Some("serv"), &settings(), style), None);
    }
}
