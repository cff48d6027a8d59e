//! From what clients name to paths in the store, so that no namespace reaches into another.

use mcplane_blobs::{BlobPath, Location};
use mcplane_core::{Error, Result};

use crate::mlflow::DEFAULT_WORKSPACE;

/// The folder in which the artifacts of namespaces other than the default lie.
pub(super) const WORKSPACES: &str = "workspaces";
const SCHEME: &str = "mlflow-artifacts:";
/// Where this server takes artifacts, in a URL that clients use instead of the scheme.
const ROUTE: &str = "/api/2.0/mlflow-artifacts/artifacts";

/// The path in the store that `path` means in `namespace`.
///
/// # Errors
/// [`Error::BadRequest`] for what is no path, or one of another namespace.
pub(super) fn in_namespace(namespace: &str, path: &str) -> Result<BlobPath> {
    let path = BlobPath::parse_dir(path)?;
    let mut segments = path.as_str().split('/');
    if segments.next() == Some(WORKSPACES) {
        return match segments.next() {
            Some(named) if named == namespace => Ok(path),
            None | Some("") => {
                Err(Error::bad_request("Artifact paths prefixed with 'workspaces/' must include a workspace name."))
            }
            Some(named) => Err(Error::bad_request(format!(
                "Artifact path targets workspace '{named}' but the workspace specified in the request is '{namespace}'."
            ))),
        };
    }
    match (namespace, path.is_root()) {
        (DEFAULT_WORKSPACE, _) => Ok(path),
        (_, true) => BlobPath::parse(&format!("{WORKSPACES}/{namespace}")),
        (_, false) => BlobPath::parse(&format!("{WORKSPACES}/{namespace}/{path}")),
    }
}

/// Whether a root sends artifacts through a server of this protocol: the scheme of the proxy, or the URL of its route.
pub fn is_proxied(root: &str) -> bool {
    proxied(root).is_some()
}

/// What a URI of the proxy names: `mlflow-artifacts:/path`, `mlflow-artifacts://host:port/path`, or the URL of the route.
fn proxied(uri: &str) -> Option<&str> {
    if let Some(rest) = uri.strip_prefix(SCHEME) {
        return Some(match rest.strip_prefix("//") {
            Some(authority) => authority.split_once('/').map_or("", |(_, path)| path),
            None => rest,
        });
    }
    let rest = uri.strip_prefix("http://").or_else(|| uri.strip_prefix("https://"))?;
    let (_, path) = rest.split_once(ROUTE)?;
    (path.is_empty() || path.starts_with('/')).then_some(path)
}

/// The path in the store that a URI means, if it is one of the proxy, which is this server whatever host it names.
///
/// # Errors
/// [`Error::BadRequest`] for a bad path, or one of another namespace.
pub(super) fn of_uri(namespace: &str, uri: &str) -> Result<Option<BlobPath>> {
    proxied(uri).map(|path| in_namespace(namespace, path.trim_start_matches('/'))).transpose()
}

/// The path of `uri` below `root`, if it lies there.
pub(super) fn below(root: &Location, uri: &str) -> Option<BlobPath> {
    root.relative(&Location::parse(uri).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_have_their_own_folders() {
        let path = |namespace: &str, path: &str| in_namespace(namespace, path).map(|path| path.to_string());
        assert_eq!(path("default", "1/r/artifacts/a").unwrap(), "1/r/artifacts/a");
        assert_eq!(path("other", "1/r").unwrap(), "workspaces/other/1/r");
        assert_eq!(path("other", "workspaces/other/1").unwrap(), "workspaces/other/1");
        assert_eq!(path("other", "").unwrap(), "workspaces/other");
        for (namespace, bad) in [
            ("default", "workspaces/other/1"),
            ("other", "workspaces/default/1"),
            ("other", "workspaces"),
            ("other", "../default"),
            ("other", "workspaces/other/../x"),
            ("default", "/etc"),
            ("default", "a%2e%2e%2fb/%2e%2e"),
        ] {
            assert!(path(namespace, bad).is_err(), "{namespace} {bad}");
        }
    }

    #[test]
    fn uris_of_other_schemes_are_not_ours() {
        assert_eq!(of_uri("default", "s3://b/k").unwrap(), None);
        assert_eq!(of_uri("default", "http://b/k").unwrap(), None);
        assert_eq!(of_uri("default", "http://b/api/2.0/mlflow-artifacts/artifactsX/k").unwrap(), None);
        for uri in [
            "mlflow-artifacts:/1/r",
            "mlflow-artifacts://host:5000/1/r",
            "https://host:5000/api/2.0/mlflow-artifacts/artifacts/1/r",
            "http://host/prefix/api/2.0/mlflow-artifacts/artifacts//1/r",
        ] {
            assert_eq!(of_uri("default", uri).unwrap().unwrap().as_str(), "1/r", "{uri}");
        }
        assert!(of_uri("default", "mlflow-artifacts:/workspaces/other/1").is_err());
        assert!(of_uri("default", "http://h/api/2.0/mlflow-artifacts/artifacts/../x").is_err());
    }
}
