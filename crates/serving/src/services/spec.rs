//! What an InferenceService says, and what of it is possible.

use mcplane_core::FieldError;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The only format that is served in process.
const FORMAT: &str = "onnx";
/// The runtime that serves it.
const RUNTIME: &str = "mcplane-onnx";
/// The only protocol.
const PROTOCOL: &str = "v2";
/// Longest URI, in bytes.
const LONGEST_URI: usize = 1024;

/// `spec`.
#[derive(Debug, Clone, Deserialize)]
pub struct Spec {
    /// What predicts.
    pub predictor: Predictor,
}

/// What predicts.
#[derive(Debug, Clone, Deserialize)]
pub struct Predictor {
    /// The model.
    pub model: Option<Model>,
    /// What else KServe knows; most of it is for containers.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

/// The model that predicts.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Model {
    /// What its file is.
    pub model_format: Format,
    /// Where it is.
    pub storage_uri: Option<String>,
    /// What runs it.
    pub runtime: Option<String>,
    /// What clients speak.
    pub protocol_version: Option<String>,
}

/// What a model's file is.
#[derive(Debug, Clone, Deserialize)]
pub struct Format {
    /// `onnx`.
    pub name: String,
    /// Of the format.
    pub version: Option<String>,
}

/// A version of a registered model, as a URI names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Name of the model.
    pub model: String,
    /// Which of its versions.
    pub wanted: Wanted,
}

/// Which version of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Its number, or its semantic version.
    Version(String),
    /// The one that has this alias when a revision is made.
    Alias(String),
}

impl Reference {
    /// Reads `models:/NAME/VERSION`, `models:/NAME@ALIAS` or `models:/NAME/@ALIAS`.
    ///
    /// # Errors
    /// A sentence about what is wrong.
    pub fn parse(uri: &str) -> Result<Self, String> {
        let wrong = || {
            "must name a version of the registry: models:/NAME/VERSION (a number, or a semantic version) or models:/NAME@ALIAS"
                .to_owned()
        };
        if uri.len() > LONGEST_URI {
            return Err(format!("must be no longer than {LONGEST_URI} bytes"));
        }
        let rest = uri.strip_prefix("models:/").ok_or_else(wrong)?;
        let (model, wanted) = match rest.split_once('/') {
            Some((model, version)) => match version.strip_prefix('@') {
                Some(alias) => (model, Wanted::Alias(alias.to_owned())),
                None => (model, Wanted::Version(version.to_owned())),
            },
            None => {
                let (model, alias) = rest.rsplit_once('@').ok_or_else(wrong)?;
                (model, Wanted::Alias(alias.to_owned()))
            }
        };
        let (Wanted::Version(text) | Wanted::Alias(text)) = &wanted;
        if model.is_empty() || text.is_empty() || text.contains(['/', '@']) {
            return Err(wrong());
        }
        Ok(Self { model: model.to_owned(), wanted })
    }
}

impl Spec {
    /// What a revision is made for: the same text for the same model.
    pub fn wanted(&self) -> String {
        let Some(model) = &self.predictor.model else { return String::new() };
        let format = &model.model_format;
        json!({"storageUri": model.storage_uri, "format": format.name, "formatVersion": format.version}).to_string()
    }

    /// The version that is to predict.
    pub fn reference(&self) -> Result<Reference, String> {
        let uri = self.predictor.model.as_ref().and_then(|model| model.storage_uri.as_deref());
        Reference::parse(uri.unwrap_or_default())
    }

    /// Everything that is wrong with it.
    pub fn faults(&self) -> Vec<FieldError> {
        let mut faults = Vec::new();
        for name in self.predictor.others.keys().filter(|name| !HARMLESS.contains(&name.as_str())) {
            let detail = "is not served in process: give spec.predictor.model with modelFormat onnx";
            faults.push(FieldError::forbidden(format!("spec.predictor.{name}"), detail));
        }
        let Some(model) = &self.predictor.model else {
            faults.push(FieldError::required("spec.predictor.model", "names the model that predicts"));
            return faults;
        };
        let supported = |field: &str, value: &str, only: &str| {
            let field = format!("spec.predictor.model.{field}");
            (value != only).then(|| FieldError::not_supported(field, value, &[only]))
        };
        faults.extend(supported("modelFormat.name", &model.model_format.name, FORMAT));
        faults.extend(model.runtime.as_deref().and_then(|runtime| supported("runtime", runtime, RUNTIME)));
        faults.extend(model.protocol_version.as_deref().and_then(|it| supported("protocolVersion", it, PROTOCOL)));
        let field = "spec.predictor.model.storageUri";
        match &model.storage_uri {
            None => faults.push(FieldError::required(field, "such as models:/iris/3")),
            Some(uri) => faults
                .extend(Reference::parse(uri).err().map(|detail| FieldError::invalid(field, uri.as_str(), detail))),
        }
        faults
    }
}

/// What KServe says of pods and scaling, which changes nothing about a model in this process.
pub(super) const HARMLESS: &[&str] = &[
    "annotations",
    "containerConcurrency",
    "labels",
    "maxReplicas",
    "minReplicas",
    "scaleMetric",
    "scaleTarget",
    "serviceAccountName",
    "timeout",
];

/// Fills in what is left out.
pub(super) fn prepare(service: &mut Value) {
    if let Some(model) = service["spec"]["predictor"].get_mut("model").and_then(Value::as_object_mut) {
        model.entry("runtime").or_insert_with(|| RUNTIME.into());
        model.entry("protocolVersion").or_insert_with(|| PROTOCOL.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_name_versions_or_aliases() {
        let version =
            |model: &str, text: &str| Ok(Reference { model: model.into(), wanted: Wanted::Version(text.into()) });
        let alias = |model: &str, text: &str| Ok(Reference { model: model.into(), wanted: Wanted::Alias(text.into()) });
        assert_eq!(Reference::parse("models:/iris/3"), version("iris", "3"));
        assert_eq!(Reference::parse("models:/iris/1.2.0"), version("iris", "1.2.0"));
        assert_eq!(Reference::parse("models:/iris@champion"), alias("iris", "champion"));
        assert_eq!(Reference::parse("models:/iris/@champion"), alias("iris", "champion"));
        for bad in [
            "",
            "s3://b/m.onnx",
            "models:/",
            "models:/iris",
            "models:/iris/",
            "models:/iris@",
            "models:/@a",
            "models:/a/b/c",
            "models:/a/b@c",
        ] {
            assert!(Reference::parse(bad).is_err(), "{bad}");
        }
        assert!(Reference::parse(&format!("models:/{}/1", "a".repeat(LONGEST_URI))).is_err());
    }

    fn faults(predictor: Value) -> Vec<String> {
        let spec: Spec = serde_json::from_value(json!({"predictor": predictor})).unwrap();
        spec.faults().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn only_what_can_be_served_is_taken() {
        let model = json!({"modelFormat": {"name": "onnx"}, "storageUri": "models:/iris/3"});
        assert_eq!(faults(json!({"model": model, "minReplicas": 1})), Vec::<String>::new());
        let found = faults(json!({"sklearn": {"storageUri": "s3://x"}}));
        assert!(
            found[0].starts_with("spec.predictor.sklearn: Forbidden") && found[1].starts_with("spec.predictor.model")
        );
        let found = faults(json!({"model": {
            "modelFormat": {"name": "sklearn"}, "storageUri": "s3://b/m", "runtime": "triton", "protocolVersion": "v1",
        }}));
        assert_eq!(found.len(), 4, "{found:?}");
        assert_eq!(
            found[0],
            "spec.predictor.model.modelFormat.name: Unsupported value: \"sklearn\": supported values: \"onnx\""
        );
    }

    #[test]
    fn defaults_make_no_new_revision() {
        let mut service = json!({"spec": {"predictor": {"model": {
            "modelFormat": {"name": "onnx"}, "storageUri": "models:/iris/3",
        }}}});
        let read = |service: &Value| serde_json::from_value::<Spec>(service["spec"].clone()).unwrap();
        let before = read(&service).wanted();
        prepare(&mut service);
        assert_eq!(service["spec"]["predictor"]["model"]["runtime"], RUNTIME);
        assert_eq!(read(&service).wanted(), before);
    }
}
