//! What lineage is about, and how it is written: `kind:name`.

use std::fmt;
use std::str::FromStr;

use mcplane_core::{Error, Result};
use serde::{Serialize, Serializer};

/// Longest text of a node, in bytes: indices of databases take no more.
pub(crate) const LONGEST: usize = 2000;

/// A thing that has lineage.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Node {
    /// Some data: `dataset:NAME@DIGEST`, or `dataset:NAME` for a place whose content changes.
    Dataset {
        /// The name that runs logged, or the place.
        name: String,
        /// What tells versions apart; may be empty.
        digest: String,
    },
    /// One execution of some code: `run:ID`, 32 hexadecimal digits.
    Run(String),
    /// What other systems execute again and again: `job:NAMESPACE/NAME`.
    Job(String),
    /// What a run made, before and beside its registration: `model:ID`.
    Model(String),
    /// A registered version: `modelversion:NAME/VERSION`.
    ModelVersion {
        /// The model's name.
        model: String,
        /// The version's number.
        version: i64,
    },
}

impl Node {
    /// The kind, as it is written.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Dataset { .. } => "dataset",
            Self::Run(_) => "run",
            Self::Job(_) => "job",
            Self::Model(_) => "model",
            Self::ModelVersion { .. } => "modelversion",
        }
    }

    /// Some data in some version.
    pub(crate) fn dataset(name: impl Into<String>, digest: impl Into<String>) -> Self {
        Self::Dataset { name: name.into(), digest: digest.into() }
    }
}

/// `@` parts the name of a dataset from its digest, so names have it escaped.
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.kind())?;
        match self {
            Self::Dataset { name, digest } => {
                f.write_str(&name.replace('%', "%25").replace('@', "%40"))?;
                if digest.is_empty() { Ok(()) } else { write!(f, "@{digest}") }
            }
            Self::Run(id) | Self::Job(id) | Self::Model(id) => f.write_str(id),
            Self::ModelVersion { model, version } => write!(f, "{model}/{version}"),
        }
    }
}

impl FromStr for Node {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            Error::bad_request(format!(
                "{:?} is not a node of lineage: write dataset:NAME@DIGEST, run:ID, job:NAMESPACE/NAME, model:ID or \
                 modelversion:NAME/VERSION",
                text.chars().take(200).collect::<String>()
            ))
        };
        let (kind, name) = text.split_once(':').ok_or_else(wrong)?;
        if name.is_empty() || text.len() > LONGEST || text.contains('\0') {
            return Err(wrong());
        }
        Ok(match kind {
            "dataset" => {
                let (name, digest) = name.split_once('@').unwrap_or((name, ""));
                Self::dataset(name.replace("%40", "@").replace("%25", "%"), digest)
            }
            // Versions may name runs of other servers, whose ids are what they are.
            "run" => Self::Run(run_id(name).unwrap_or_else(|| name.to_owned())),
            "job" => Self::Job(name.to_owned()),
            "model" => Self::Model(name.to_owned()),
            "modelversion" => {
                let (model, version) = name.rsplit_once('/').ok_or_else(wrong)?;
                let version = version.parse().ok().filter(|version| *version > 0).ok_or_else(wrong)?;
                Self::ModelVersion { model: model.to_owned(), version }
            }
            _ => return Err(wrong()),
        })
    }
}

/// The id of a run from its UUID in any form.
pub(crate) fn run_id(text: &str) -> Option<String> {
    uuid::Uuid::try_parse(text).ok().map(|id| id.simple().to_string())
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nodes_are_written_by_kind() {
        for text in [
            "dataset:train@bfeb0c6a",
            "dataset:s3://bucket/a b.csv",
            "dataset:postgres://me%40host/db@7",
            "run:67b3da4b42184903b5f8dfd7e2cb75cb",
            "job:airflow/etl.daily",
            "model:m-81cf38e57dcd446dadb2b97cdbfa9d3b",
            "modelversion:fraud/3",
        ] {
            assert_eq!(text.parse::<Node>().unwrap().to_string(), text);
        }
        let dashed: Node = "run:67B3DA4B-4218-4903-b5f8-dfd7e2cb75cb".parse().unwrap();
        assert_eq!(dashed.to_string(), "run:67b3da4b42184903b5f8dfd7e2cb75cb");
        for bad in ["", "fraud/3", "run:", "modelversion:fraud", "modelversion:fraud/x", "thing:x", "model:\0"] {
            assert!(bad.parse::<Node>().unwrap_err().to_string().contains("is not a node of lineage"), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(name in "[ -~äß]{1,40}", digest in "[ -~]{0,20}", version in 1..i64::MAX) {
            for node in [
                Node::dataset(name.as_str(), digest),
                Node::Job(name.clone()),
                Node::Model(name.clone()),
                Node::ModelVersion { model: name, version },
            ] {
                prop_assert_eq!(node.to_string().parse::<Node>().unwrap(), node);
            }
        }

        #[test]
        fn no_text_is_a_surprise(text in "\\PC{0,60}") {
            if let Ok(node) = text.parse::<Node>() {
                prop_assert_eq!(node.to_string().parse::<Node>().unwrap(), node);
            }
        }
    }
}
