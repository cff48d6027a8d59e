//! From what a service asks for to the bytes of a model.

use std::sync::Arc;

use bytes::Bytes;
use mcplane_core::{Authorizer, Context, Error, Grant, Result, authz};
use mcplane_tracking::models::{ModelVersion, VerifiedContent, VerifiedFile};
use mcplane_tracking::{MODEL_VERSIONS, Tracking};

use super::spec::{Reference, Wanted};
use super::types::Revision;

/// As whom the registry is read.
const CALLER: &str = "serving";

/// The registry, as services read it.
#[derive(Debug, Clone)]
pub(super) struct Registry {
    pub(super) tracking: Arc<Tracking>,
    pub(super) authorizer: Arc<dyn Authorizer>,
    /// Largest model, in bytes.
    pub(super) most: u64,
}

impl Registry {
    fn grant(&self, namespace: &str) -> Result<Grant> {
        let context = Arc::new(Context::system(CALLER));
        authz::authorize(&*self.authorizer, &context, MODEL_VERSIONS.attributes("get", namespace))
    }

    /// The version that is asked for, if its content is known.
    ///
    /// # Errors
    /// [`Error::Missing`] without it, [`Error::WrongState`] if nobody verified it.
    pub(super) async fn resolve(&self, namespace: &str, reference: &Reference) -> Result<ModelVersion> {
        let grant = self.grant(namespace)?;
        let version = match &reference.wanted {
            Wanted::Version(version) => self.tracking.version_named(&grant, &reference.model, version).await?,
            Wanted::Alias(alias) => self.tracking.version_by_alias(&grant, &reference.model, alias).await?,
        };
        if !version.is_verified() {
            let (number, model) = (version.number, &version.model);
            return Err(Error::WrongState(format!(
                "version {number} of model {model} is Unverified: its content was never read, so nobody knows what would \
                 answer. Have the server read it, which makes a version that can be served: in Python \
                 mcplane.RegistryClient().register_model({model:?}, model_path=\"models:/{model}/{number}\")",
            )));
        }
        Ok(version)
    }

    /// The content of a revision's model.
    ///
    /// # Errors
    /// [`Error::WrongState`] when the version holds something else by now, or no ONNX model.
    pub(super) async fn read(&self, revision: &Revision) -> Result<Bytes> {
        let grant = self.grant(&revision.namespace)?;
        let number = revision.version.to_string();
        let content = self.tracking.verified_content(&grant, &revision.model, &number).await?;
        if content.version.digest != revision.digest {
            return Err(Error::WrongState(format!(
                "version {number} of model {} has the digest {}, and the revision was made for {}",
                revision.model, content.version.digest, revision.digest
            )));
        }
        let file = model_file(&content)?;
        self.tracking.open_verified(file, None).await?.bytes(self.most).await
    }
}

/// The one file that is a model: of a folder, `model.onnx` or the only one of its kind.
fn model_file(content: &VerifiedContent) -> Result<&VerifiedFile> {
    let is_onnx = |file: &&VerifiedFile| file.path().as_str().to_ascii_lowercase().ends_with(".onnx");
    match content.files.as_slice() {
        // A version that is one file may have any name: whether it is a model shows when it is read.
        [only] if !content.is_folder => Ok(only),
        files => {
            let found: Vec<&VerifiedFile> = files.iter().filter(is_onnx).collect();
            let main = found.iter().find(|file| file.path().as_str() == "model.onnx");
            match (main, found.as_slice()) {
                (Some(file), _) | (None, [file]) => Ok(file),
                (None, []) => Err(Error::WrongState(
                    "the version holds no .onnx file: save the model with mlflow.onnx, or register the file itself"
                        .to_owned(),
                )),
                (None, several) => {
                    let names: Vec<&str> = several.iter().map(|file| file.path().as_str()).collect();
                    Err(Error::WrongState(format!("the version holds several models: {}", names.join(", "))))
                }
            }
        }
    }
}
