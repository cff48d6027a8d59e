//! MLflow's own web pages, served from the build that its Python package ships.
//!
//! The folder is walked once, when the server starts: a request can only name a file that was found then, so that no path
//! leads anywhere else. The pages hold nothing of anybody's and need no login; what they then ask for does.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path as Named, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use mcplane_core::{Error, Result};
use mcplane_objects::http::{Route, Routes};

/// Files of the pages at most; MLflow has some four hundred.
const MOST_FILES: usize = 20_000;
const INDEX: &str = "index.html";

/// The files of the pages, by their paths in URLs.
#[derive(Debug)]
struct Pages(HashMap<String, File>);

#[derive(Debug)]
struct File {
    path: PathBuf,
    etag: String,
    content_type: &'static str,
}

/// The routes of the pages in `folder`.
///
/// # Errors
/// [`Error::BadRequest`] when the folder holds no pages.
pub fn routes(folder: &Path) -> Result<Routes> {
    let unreadable = |error: std::io::Error| Error::bad_request(format!("{}: {error}", folder.display()));
    let mut files = HashMap::new();
    walk(folder, "", &mut files).map_err(unreadable)?;
    if !files.contains_key(INDEX) {
        let message = format!(
            "{} holds no {INDEX}: name the folder mlflow/server/js/build of MLflow's package",
            folder.display()
        );
        return Err(Error::bad_request(message));
    }
    let router = Router::new().route("/", get(index)).route("/static-files/{*path}", get(file));
    let list = vec![Route::new("GET", "/"), Route::new("GET", "/static-files/{name}")];
    Ok(Routes::from_router(router, list).with_state(Arc::new(Pages(files))))
}

fn walk(folder: &Path, prefix: &str, files: &mut HashMap<String, File>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            walk(&entry.path(), &format!("{name}/"), files)?;
        } else if kind.is_file() {
            if files.len() >= MOST_FILES {
                return Err(std::io::Error::other("there are too many files"));
            }
            let meta = entry.metadata()?;
            let changed = meta.modified()?.duration_since(std::time::UNIX_EPOCH).map_or(0, |time| time.as_millis());
            let etag = format!("\"{changed:x}-{:x}\"", meta.len());
            files.insert(name.clone(), File { path: entry.path(), etag, content_type: content_type(&name) });
        }
    }
    Ok(())
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "css" => "text/css; charset=utf-8",
        "gif" => "image/gif",
        "html" => "text/html; charset=utf-8",
        "ico" => "image/vnd.microsoft.icon",
        "jpeg" | "jpg" => "image/jpeg",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" | "map" => "application/json",
        "png" => "image/png",
        "svg" => "image/svg+xml",
        "ttf" => "font/ttf",
        "txt" => "text/plain; charset=utf-8",
        "wasm" => "application/wasm",
        "woff" => "font/woff",
        "woff2" => "font/woff2",
        _ => "application/octet-stream",
    }
}

async fn index(State(pages): State<Arc<Pages>>, asked: HeaderMap) -> Response {
    pages.send(INDEX, "no-cache", &asked).await
}

async fn file(State(pages): State<Arc<Pages>>, Named(path): Named<String>, asked: HeaderMap) -> Response {
    pages.send(&path, "public, max-age=2419200", &asked).await
}

impl Pages {
    async fn send(&self, path: &str, cached: &'static str, asked: &HeaderMap) -> Response {
        let Some(file) = self.0.get(path) else { return StatusCode::NOT_FOUND.into_response() };
        let headers = [
            (header::CONTENT_TYPE, file.content_type),
            (header::CACHE_CONTROL, cached),
            (header::ETAG, file.etag.as_str()),
            // Nobody may put the pages into a frame of theirs and have clicks fall through.
            (header::X_FRAME_OPTIONS, "SAMEORIGIN"),
        ];
        if asked.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == file.etag.as_bytes()) {
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        match tokio::fs::read(&file.path).await {
            Ok(body) => (headers, body).into_response(),
            Err(error) => {
                tracing::warn!(%error, path, "a page can't be read");
                StatusCode::NOT_FOUND.into_response()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn only_what_was_found_is_served() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("static")).unwrap();
        std::fs::write(folder.path().join(INDEX), "<p>").unwrap();
        std::fs::write(folder.path().join("static/a.js"), "1").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("static/out")).unwrap();
        let router = routes(folder.path()).unwrap().into_router();
        let status = async |path: &str| {
            let request = Request::builder().uri(path).body(Body::empty()).unwrap();
            router.clone().oneshot(request).await.unwrap().status().as_u16()
        };
        assert_eq!((status("/").await, status("/static-files/static/a.js").await), (200, 200));
        for path in
            ["/static-files/static/out", "/static-files/%2e%2e/x", "/static-files/static/b.js", "/static-files/static"]
        {
            assert_eq!(status(path).await, 404, "{path}");
        }
    }

    #[test]
    fn a_folder_without_pages_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(routes(folder.path()).unwrap_err().to_string().contains("holds no index.html"));
        assert!(routes(Path::new("/does/not/exist")).is_err());
    }
}
