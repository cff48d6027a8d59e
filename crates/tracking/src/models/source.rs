//! Where a version may come from.
//!
//! A source is checked when it is registered, and nothing here ever opens one: what is kept is read later as a typed
//! location, if at all. A local path is taken only below the artifacts of a run whose own artifacts are local.

use mcplane_core::{Error, Result};
use mcplane_db::Tx;

use super::types::{NewVersion, Stage, is_prompt};
use super::uri::{Uri, decoded};
use super::{logged, store, version_store, versions};
use crate::runs;
use crate::tags::{check_length, check_text};

/// Longest source, in characters.
const LONGEST: usize = 2048;
/// What stands for the source of a prompt, whose text is a tag.
const PROMPT_SOURCES: [&str; 2] = ["dummy-source", "prompt-template"];
/// Schemes whose URIs would have the server connect to a host that the client chose.
const HOST_SCHEMES: [&str; 10] =
    ["ftp", "sftp", "hdfs", "viewfs", "http", "https", "mlflow-artifacts", "r2", "b2", "abfss"];

/// Where a version comes from, once that is checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) source: String,
    pub(super) location: String,
    pub(super) run_id: String,
    pub(super) model_id: String,
}

/// Checks the source of a version, and finds what it stands for.
///
/// # Errors
/// [`Error::BadRequest`] for a source that leads elsewhere, [`Error::Missing`] for one that leads nowhere.
///
/// `root` is where clients put artifacts; a URL there names the one host that is trusted.
pub(super) async fn resolve(tx: &mut Tx, namespace: &str, root: &str, new: &NewVersion) -> Result<Origin> {
    let source = new.source.as_str();
    check_length("source", LONGEST, source)?;
    let run_id = new.run_id.clone().unwrap_or_default();
    let model_id = new.model_id.clone().unwrap_or_default();
    if is_prompt(&new.tags) {
        if !PROMPT_SOURCES.contains(&source) {
            let message = format!("Invalid prompt source: '{source}'. Prompt sources must use an MLflow placeholder.");
            return Err(Error::bad_request(message));
        }
        return Ok(Origin { source: source.to_owned(), location: source.to_owned(), run_id, model_id });
    }
    check_host("source", source, root)?;
    let uri = Uri::parse(source);
    let mut origin = Origin { source: source.to_owned(), location: source.to_owned(), run_id, model_id };
    if uri.scheme == "models" {
        match ModelUri::parse(source)? {
            ModelUri::Version { name, version } => {
                copy(tx, namespace, new, &name, &version, &mut origin).await?;
            }
            ModelUri::Logged(id) if id == origin.model_id => {
                let message = format!("Unable to fetch model from model URI source artifact location '{source}'.");
                let missing = || Error::bad_request(format!("{message}Error: Logged model with ID '{id}' not found."));
                let model = logged::source(tx, namespace, &id).await?.ok_or_else(missing)?;
                origin.location = model.artifact_uri;
            }
            ModelUri::Logged(_) => return Err(elsewhere(source, "model_id")),
        }
    } else {
        check_place(tx, namespace, source, &uri, &origin).await?;
    }
    check_text(&origin.source)?;
    if origin.run_id.is_empty() && !origin.model_id.is_empty() {
        let missing = || Error::Missing(format!("Logged model with ID '{}' not found.", origin.model_id));
        origin.run_id = logged::source(tx, namespace, &origin.model_id).await?.ok_or_else(missing)?.run_id;
    }
    Ok(origin)
}

/// A version that comes from another one: it has its files and its run.
async fn copy(
    tx: &mut Tx,
    namespace: &str,
    new: &NewVersion,
    name: &str,
    version: &Wanted,
    origin: &mut Origin,
) -> Result<()> {
    let source = new.source.as_str();
    let model = store::find(tx, namespace, name).await?;
    if model.is_prompt() {
        let message = format!(
            "Invalid model version source: '{source}'. Prompt versions cannot be used as model version sources."
        );
        return Err(Error::bad_request(message));
    }
    let number = match version {
        Wanted::Number(number) => *number,
        Wanted::Alias(alias) => versions::number_by_alias(tx, &model, alias).await?,
        Wanted::Latest(stage) => {
            let stage = stage.as_deref().map(Stage::parse).transpose()?;
            let latest = version_store::latest(tx, model.no, stage).await?;
            let stage = stage.map(|stage| format!(" and stage '{}'", stage.name())).unwrap_or_default();
            latest.ok_or_else(|| Error::bad_request(format!("No versions of model with name '{name}'{stage} found")))?
        }
    };
    let found = version_store::find(tx, &model, number).await?;
    let other = |wanted: &Option<String>, is: &str| wanted.as_ref().is_some_and(|wanted| wanted != is);
    if other(&new.run_id, &found.run_id) || other(&new.model_id, "") {
        return Err(Error::bad_request(format!(
            "Invalid model version source: '{source}'. The run_id and model_id request parameters must match the referenced model version."
        )));
    }
    *origin = Origin {
        source: format!("models:/{name}/{number}"),
        location: found.location,
        run_id: found.run_id,
        model_id: String::new(),
    };
    Ok(())
}

/// Checks that a source which is no model lies where its run or its logged model keeps files, or outside of this server.
async fn check_place(tx: &mut Tx, namespace: &str, source: &str, uri: &Uri, origin: &Origin) -> Result<()> {
    let by = if origin.model_id.is_empty() { "run_id" } else { "model_id" };
    if uri.is_local() && source != "databricks" {
        if uri.is_remote() {
            return Err(Error::bad_request(format!(
                "{source} is not a valid remote uri. For remote access on windows, please consider using a different scheme \
                 such as SMB (e.g. smb://<hostname>/<path>)."
            )));
        }
        let root = root(tx, namespace, source, origin).await?;
        return check_local(source, uri, root.as_deref(), by);
    }
    check_absolute(source)?;
    if uri.scheme == "runs" {
        let run = uri.path.strip_prefix('/').and_then(|path| path.split('/').next()).unwrap_or_default();
        let same = uri.authority.is_empty() && !run.is_empty() && run == origin.run_id && by == "run_id";
        return if same { check_bare(source, uri) } else { Err(elsewhere(source, by)) };
    }
    if is_proxied(uri) {
        let root = root(tx, namespace, source, origin).await?;
        let inside = root.is_some_and(|root| is_within(uri, &Uri::parse(&root)));
        return if inside { check_bare(source, uri) } else { Err(elsewhere(source, by)) };
    }
    Ok(())
}

/// Where the run or the logged model that a request names keeps its files; none if it names neither.
async fn root(tx: &mut Tx, namespace: &str, source: &str, origin: &Origin) -> Result<Option<String>> {
    if !origin.model_id.is_empty() {
        let model = logged::source(tx, namespace, &origin.model_id).await?;
        return model.map(|model| Some(model.artifact_uri)).ok_or_else(|| elsewhere(source, "model_id"));
    }
    if origin.run_id.is_empty() {
        return Ok(None);
    }
    let (sql, args) = runs::store::by_id(namespace, &origin.run_id);
    let run = tx.fetch(sql, args).await?.first().map(runs::store::read).transpose()?;
    run.map(|run| Some(run.artifact_uri)).ok_or_else(|| elsewhere(source, "run_id"))
}

fn check_local(source: &str, uri: &Uri, root: Option<&str>, by: &str) -> Result<()> {
    let inside = root.is_some_and(|root| {
        let root = Uri::parse(root);
        root.is_local() && !root.is_remote() && is_clean(uri) && is_clean(&root) && {
            let (names, root) = (uri.names(), root.names());
            !root.is_empty() && normal(names).starts_with(&root)
        }
    });
    if inside {
        return Ok(());
    }
    Err(Error::bad_request(format!(
        "Invalid model version source: '{source}'. To use a local path as a model version source, the {by} request \
         parameter has to be specified and the local path has to be contained within the artifact directory of the run \
         specified by the {by}."
    )))
}

/// Whether a path of this machine is absolute and says what it means. Dots may be there as dots, not in any encoding.
fn is_clean(uri: &Uri) -> bool {
    let dots = |name: &str| matches!(name, "." | "..");
    let encoded = |name: &str| dots(&decoded(name)) && !dots(name);
    let plain = |name: &String| !name.contains(['/', '\\', '\0']);
    let bare = uri.path.starts_with('/') && uri.query.is_empty() && uri.fragment.is_empty();
    bare && uri.names().iter().all(plain) && !uri.path.split('/').any(encoded)
}

/// The names on a path without its dots; what leads above the root stays there.
fn normal(names: Vec<String>) -> Vec<String> {
    let mut normal = Vec::with_capacity(names.len());
    for name in names {
        match name.as_str() {
            "." => {}
            ".." => drop(normal.pop()),
            _ => normal.push(name),
        }
    }
    normal
}

/// A URI that some reader might take for a path of this machine must be absolute, however often it is decoded.
fn check_absolute(source: &str) -> Result<()> {
    // A plus is a space in forms, which only makes a name longer or shorter.
    let text = decoded(source);
    let path = Uri::parse(&text).path;
    let path = path.trim_end_matches('/');
    let dots = text.split('/').any(|name| name == "..") || path.split('/').any(|name| matches!(name, "." | ".."));
    let authority = Uri::parse(source).authority;
    let bracketed = authority.contains('[') == authority.contains(']');
    if path.starts_with('/') && !dots && bracketed && !text.contains('\0') { Ok(()) } else { Err(relative(source)) }
}

/// Sources that this server reads itself have neither query nor fragment: they would pass a check and change what is opened.
fn check_bare(source: &str, uri: &Uri) -> Result<()> {
    if uri.query.is_empty() && uri.fragment.is_empty() && !source.contains(['?', '#']) {
        Ok(())
    } else {
        Err(relative(source))
    }
}

fn relative(source: &str) -> Error {
    Error::bad_request(format!(
        "Invalid model version source: '{source}'. If supplying a source as an http, https, local file path, ftp, \
         objectstore, or mlflow-artifacts uri, an absolute path must be provided without relative path references present. \
         Please provide an absolute path."
    ))
}

fn elsewhere(source: &str, by: &str) -> Error {
    Error::bad_request(format!(
        "Invalid model version source: '{source}'. The {by} request parameter must identify the resource that contains the source."
    ))
}

/// Refuses a URI in `field` that names a host, other than the one of `root`, where clients put artifacts.
///
/// # Errors
/// [`Error::BadRequest`] for another host.
pub(crate) fn check_host(field: &str, source: &str, root: &str) -> Result<()> {
    let (uri, root) = (Uri::parse(source), Uri::parse(root));
    let scheme = uri.scheme.as_str();
    let trusted = root.scheme == uri.scheme && root.authority.eq_ignore_ascii_case(&uri.authority);
    let own = scheme == "mlflow-artifacts" && uri.authority.is_empty();
    if own || trusted || !HOST_SCHEMES.contains(&scheme) {
        return Ok(());
    }
    Err(Error::bad_request(format!(
        "'{field}' cannot use the '{scheme}' scheme: the '{scheme}' scheme addresses a host other than the tracking server's \
         configured artifact storage, so the server would connect to the host named in the URI. Set the \
         MLFLOW_ALLOWED_HOST_ADDRESSED_ARTIFACT_SCHEMES environment variable on the server to allow it."
    )))
}

/// Whether this server would be asked for the files. URLs of other servers were refused before.
fn is_proxied(uri: &Uri) -> bool {
    matches!(uri.scheme.as_str(), "mlflow-artifacts" | "http" | "https")
}

fn is_within(uri: &Uri, root: &Uri) -> bool {
    let (names, root_names) = (uri.names(), root.names());
    uri.scheme == root.scheme
        && uri.authority.eq_ignore_ascii_case(&root.authority)
        && !root_names.is_empty()
        && names.starts_with(&root_names)
}

/// Which version a `models:` URI means.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted {
    Number(i64),
    Alias(String),
    /// The last one, of all or in a stage.
    Latest(Option<String>),
}

/// What a `models:` URI names.
#[derive(Debug, Clone, PartialEq, Eq)]
enum ModelUri {
    Logged(String),
    Version { name: String, version: Wanted },
}

impl ModelUri {
    fn parse(source: &str) -> Result<Self> {
        let uri = Uri::parse(source);
        if !uri.authority.is_empty() {
            let message = format!(
                "Invalid model version source: '{source}'. Registered model sources must use the active model registry."
            );
            return Err(Error::bad_request(message));
        }
        let improper = || elsewhere(source, "model_id");
        // Names may hold a hash, so there are no fragments here.
        let path = if source.contains('#') { format!("{}#{}", uri.path, uri.fragment) } else { uri.path };
        let path = path.strip_prefix('/').ok_or_else(improper)?.trim_start_matches('/');
        let parts: Vec<&str> = path.split('/').collect();
        if parts.iter().any(|part| part.trim().is_empty()) {
            return Err(improper());
        }
        match parts.as_slice() {
            [name, suffix] => {
                let version = if suffix.bytes().all(|c| c.is_ascii_digit()) {
                    Wanted::Number(suffix.parse().map_err(|_| improper())?)
                } else if suffix.eq_ignore_ascii_case("latest") {
                    Wanted::Latest(None)
                } else {
                    Wanted::Latest(Some((*suffix).to_owned()))
                };
                Ok(Self::Version { name: (*name).to_owned(), version })
            }
            [one] => match one.rsplit_once('@') {
                Some((_, alias)) if alias.trim().is_empty() => Err(improper()),
                Some((name, alias)) => {
                    Ok(Self::Version { name: name.to_owned(), version: Wanted::Alias(alias.to_owned()) })
                }
                None => Ok(Self::Logged((*one).to_owned())),
            },
            _ => Err(improper()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tags::normal_path;

    #[test]
    fn relative_and_encoded_paths_are_refused() {
        for good in ["s3://b/x", "s3://b/a b", "gs://b/x/", "dbfs:/x", "s3://b//x", "runs:/1/model"] {
            assert!(check_absolute(good).is_ok(), "{good}");
        }
        for bad in [
            "s3://b/../x",
            "s3://b/%2e%2e/x",
            "s3://b/..%252fx",
            "s3://b/./x",
            "s3:x",
            "s3:",
            "azure:x",
            "s3://b/x%00",
            "x:y",
            "mlflow-artifacts:/a/%25252e%25252e/x",
            "C:\\x",
            "mlflow-artifacts:/",
            "data:text/plain,x",
            "jar:file:/x!y",
            "s3://b/a\0",
        ] {
            assert!(check_absolute(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn local_paths_stay_in_their_run() {
        let check = |source: &str, root: &str| check_local(source, &Uri::parse(source), Some(root), "run_id").is_ok();
        for root in ["/srv/1/artifacts", "file:///srv/1/artifacts", "file:/srv/1/artifacts/"] {
            for good in [
                "/srv/1/artifacts",
                "/srv/1/artifacts/model",
                "file:///srv/1/artifacts/model",
                "file://localhost/srv/1/artifacts",
                "file:///srv/1/artifacts/.",
                "/srv/1/artifacts/model/..",
                "/srv/1/artifacts/./a",
            ] {
                assert!(check(good, root), "{good} {root}");
            }
            for bad in [
                "/srv/1",
                "/srv/1/artifacts2",
                "/srv/1/artifacts/../..",
                "/srv/1/artifacts/%2e%2e/x",
                "/srv/1/artifacts/..%2fx",
                "srv/1/artifacts",
                "/srv/1/artifacts?x",
                "/srv/1/artifacts#x",
                "/srv/1/artifacts/%252e%252e",
                "file:///etc/passwd",
                "/srv/1/artifacts/a\\..\\b",
                "/srv/1/artifacts/a/../../b",
                "/srv/1/artifacts/a/%2e",
                "/srv/1/artifacts/%00",
            ] {
                assert!(!check(bad, root), "{bad} {root}");
            }
        }
        assert!(
            !check("/etc", "/") && !check("/etc", "mlflow-artifacts:/etc") && !check("/etc", "file://elsewhere/etc")
        );
    }

    #[test]
    fn model_uris_are_read() {
        let version = |name: &str, version| Ok::<_, ()>(ModelUri::Version { name: name.to_owned(), version });
        let parse = |text: &str| ModelUri::parse(text).map_err(drop);
        assert_eq!(parse("models:/m/7"), version("m", Wanted::Number(7)));
        assert_eq!(parse("models:/m/7?x=y"), version("m", Wanted::Number(7)));
        assert_eq!(parse("models:/m@champion"), version("m", Wanted::Alias("champion".to_owned())));
        assert_eq!(parse("models:/m/LATEST"), version("m", Wanted::Latest(None)));
        assert_eq!(parse("models:/m/1#x"), version("m", Wanted::Latest(Some("1#x".to_owned()))));
        assert_eq!(parse("models:/m-1"), Ok(ModelUri::Logged("m-1".to_owned())));
        for bad in [
            "models:/",
            "models:",
            "models:m/1",
            "models:/a/b/c",
            "models:/a@",
            "models:/a/",
            "models://h/a/1",
            "models:/m/99999999999999999999",
        ] {
            assert_eq!(parse(bad), Err(()), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_local_source_leaves_its_run(tail in r"(\.|/|%|2|5|e|f|\\|#|\?|[a-c]|\x00){0,24}") {
            let source = format!("/srv/1/artifacts{tail}");
            if check_local(&source, &Uri::parse(&source), Some("/srv/1/artifacts"), "run_id").is_ok() {
                let read = decoded(source.trim_end_matches(['#', '?']));
                let normal = normal_path(&read);
                prop_assert!(normal == "/srv/1/artifacts" || normal.starts_with("/srv/1/artifacts/"), "{}", normal);
            }
        }
    }
}
