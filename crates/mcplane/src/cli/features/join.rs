//! `mcplane features join`.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use mcplane_core::units::HumanDuration;
use mcplane_features::join::{Events, View, ViewFacts, join};
use mcplane_features::tables::{ParquetOutput, Table, open};

use super::failed;
use crate::cli::failure::Failure;
use crate::cli::output::print_line;

const VIEWS: &str = "\
A view is PATH[,KEY=VALUE…], where the keys are
  on          columns of the events that name the entity, if they are called otherwise: on=origin
  prefix      what names of features begin with in the result: prefix=origin_
and, for a file that does not say it in its own metadata,
  entities    columns that name the entity, as a+b
  timestamp   the column that tells when a row became true
  created     the column that tells when a row became known
  ttl         how long a row is good for, such as 1d
  features    columns to add, as a+b; without it all others

Each event gets, of each view, the latest row of its entity that was true and known by the event's time, and no older
than the ttl. Events keep their order and number.
";

/// Add features to events, as they were known when each event happened
#[derive(Debug, Args)]
#[command(after_help = VIEWS)]
pub(super) struct Arguments {
    /// The events: a Parquet or CSV file
    #[arg(long, value_name = "FILE")]
    events: PathBuf,
    /// The events' column that tells when they happened
    #[arg(long, value_name = "COLUMN", default_value = "event_timestamp")]
    timestamp: String,
    /// A view to take features from; repeat for several
    #[arg(long, value_name = "VIEW", required = true)]
    view: Vec<Wanted>,
    /// The Parquet file to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

/// A view, as the command line says it.
#[derive(Debug, Clone, Default, PartialEq)]
struct Wanted {
    path: PathBuf,
    on: Vec<String>,
    prefix: String,
    entities: Vec<String>,
    timestamp: Option<String>,
    created: Option<String>,
    ttl: Option<HumanDuration>,
    features: Vec<String>,
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',');
        let mut wanted = Self { path: parts.next().unwrap_or_default().into(), ..Self::default() };
        if wanted.path.as_os_str().is_empty() {
            return Err("a view begins with the path of its file".to_owned());
        }
        for part in parts {
            let (key, value) = part.split_once('=').ok_or_else(|| format!("{part:?} is not KEY=VALUE"))?;
            let names = || value.split('+').map(str::to_owned).collect();
            match key {
                "on" => wanted.on = names(),
                "prefix" => value.clone_into(&mut wanted.prefix),
                "entities" => wanted.entities = names(),
                "timestamp" => wanted.timestamp = Some(value.to_owned()),
                "created" => wanted.created = Some(value.to_owned()),
                "ttl" => wanted.ttl = Some(value.parse()?),
                "features" => wanted.features = names(),
                _ => return Err(format!("{key:?} is none of on, prefix, entities, timestamp, created, ttl, features")),
            }
        }
        Ok(wanted)
    }
}

impl Wanted {
    fn view(&self) -> mcplane_core::Result<View> {
        let table = open(&self.path)?;
        let mut view = if self.entities.is_empty() {
            View::of_table(table)?
        } else {
            let facts = self.facts(&*table)?;
            View { table, facts, on: vec![], prefix: String::new() }
        };
        view.on.clone_from(&self.on);
        view.prefix.clone_from(&self.prefix);
        if self.ttl.is_some() {
            view.facts.ttl = self.ttl;
        }
        if !self.features.is_empty() {
            view.facts.features.clone_from(&self.features);
        }
        Ok(view)
    }

    /// What a file of others is, as the command line says it.
    fn facts(&self, table: &dyn Table) -> mcplane_core::Result<ViewFacts> {
        let timestamp_column = self.timestamp.clone().ok_or_else(|| {
            mcplane_core::Error::bad_request(format!("{}: say which column is the timestamp", table.name()))
        })?;
        let taken = |name: &String| {
            self.entities.contains(name) || *name == timestamp_column || self.created.as_ref() == Some(name)
        };
        let others = table.schema().fields().iter().map(|field| field.name()).filter(|name| !taken(name));
        Ok(ViewFacts {
            view: self.name(),
            entities: self.entities.clone(),
            features: others.cloned().collect(),
            timestamp_column,
            created_timestamp_column: self.created.clone(),
            ttl: None,
            spec_digest: String::new(),
        })
    }

    fn name(&self) -> String {
        self.path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    if arguments.output.extension().is_none_or(|extension| extension != "parquet" && extension != "pq") {
        return Err(Failure::usage("--output must end in .parquet"));
    }
    write(arguments, &arguments.output).map_err(|error| failed(&error)).and_then(|lines| print_line(&lines.join("\n")))
}

fn write(arguments: &Arguments, output: &Path) -> mcplane_core::Result<Vec<String>> {
    let events = Events { table: open(&arguments.events)?, timestamp: arguments.timestamp.clone() };
    let views: Vec<View> = arguments.view.iter().map(Wanted::view).collect::<mcplane_core::Result<_>>()?;
    let joined = join(&events, &views)?;
    let (total, matched) = (joined.events(), joined.matched());
    let mut file = ParquetOutput::create(output, joined.schema().clone(), &[])?;
    for batch in joined {
        file.write(&batch?)?;
    }
    let written = file.finish()?;
    let mut lines = vec![format!("{}: {total} events", output.display())];
    lines.extend(views.iter().zip(matched).map(|(view, matched)| {
        let share = if total == 0 { 0.0 } else { matched as f64 * 100.0 / total as f64 };
        format!("{}{}: {matched} events have features ({share:.1} %)", view.prefix, view.facts.view)
    }));
    lines.push(written.digest);
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_are_written_short() {
        let wanted: Wanted = "w.parquet,on=origin+gate,prefix=o_,ttl=3h".parse().unwrap();
        let expected = Wanted {
            path: "w.parquet".into(),
            on: vec!["origin".into(), "gate".into()],
            prefix: "o_".into(),
            ttl: Some("3h".parse().unwrap()),
            ..Wanted::default()
        };
        assert_eq!(wanted, expected);
        for (text, words) in [
            ("", "begins with the path"),
            ("w.parquet,on", "not KEY=VALUE"),
            ("w.parquet,colour=red", "none of on, prefix"),
            ("w.parquet,ttl=soon", "not a duration"),
        ] {
            assert!(text.parse::<Wanted>().unwrap_err().contains(words), "{text}");
        }
    }
}
