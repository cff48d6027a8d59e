//! Enough of Google's XML API and of Azure's Blob service to be talked to, kept in memory. It takes only what the real
//! ones document, and panics (the request then fails, and with it the test) on anything else.
//!
//! Emulators that others publish speak Google's JSON API; of the XML API, which the library for object stores uses, they know a
//! part, without the ETags that it requires.

use percent_encoding::percent_decode_str;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

const WHEN: &str = "Sun, 01 Nov 2026 00:00:00 GMT";

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Google Cloud Storage.
    Gcs,
    /// Azure Blob Storage.
    Azure,
}

#[derive(Debug, Default)]
struct State {
    blobs: BTreeMap<String, Vec<u8>>,
    /// By upload, or for Azure by blob, and then by part.
    parts: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    uploads: usize,
    requests: Vec<String>,
}

/// A server on loopback with one bucket.
#[derive(Debug, Clone)]
pub struct Emulator {
    kind: Kind,
    bucket: &'static str,
    /// Where it listens.
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

struct Request {
    method: String,
    path: String,
    query: BTreeMap<String, String>,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

struct Response(u16, Vec<(&'static str, String)>, Vec<u8>);

impl Emulator {
    /// Listens until the test process ends. `bucket` is the path that requests start with.
    pub fn start(kind: Kind, bucket: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let emulator = Self { kind, bucket, address, state: Arc::default() };
        let server = emulator.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = server.clone();
                std::thread::spawn(move || server.serve(stream));
            }
        });
        emulator
    }

    /// Method and target of every request so far.
    pub fn requests(&self) -> Vec<String> {
        self.state.lock().unwrap().requests.clone()
    }

    /// Uploads that are neither completed nor aborted.
    pub fn open_uploads(&self) -> usize {
        self.state.lock().unwrap().parts.len()
    }

    fn serve(&self, stream: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut writer = stream;
        loop {
            let request = read(&mut reader, &self.state)?;
            let Response(code, headers, body) = self.answer(&request);
            let mut head = format!("HTTP/1.1 {code} X\r\n");
            if !headers.iter().any(|(name, _)| *name == "Content-Length") {
                head += &format!("Content-Length: {}\r\n", body.len());
            }
            headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
            writer.write_all(format!("{head}\r\n").as_bytes()).ok()?;
            if request.method != "HEAD" {
                writer.write_all(&body).ok()?;
            }
        }
    }

    fn answer(&self, request: &Request) -> Response {
        let mut state = self.state.lock().unwrap();
        let key = request.path.strip_prefix(self.bucket).expect("a request to the bucket");
        let key = key.strip_prefix('/').unwrap_or(key).to_owned();
        let has = |name: &str| request.query.contains_key(name);
        let comp = request.query.get("comp").map(String::as_str);
        match (request.method.as_str(), self.kind) {
            ("GET", _) if key.is_empty() => list(&state, request, self.kind),
            ("GET" | "HEAD", _) => get(&state, &key, request),
            ("DELETE", Kind::Gcs) if has("uploadId") => {
                state.parts.remove(&request.query["uploadId"]);
                Response(204, vec![], vec![])
            }
            ("DELETE", _) => Response(if state.blobs.remove(&key).is_some() { 204 } else { 404 }, vec![], vec![]),
            ("POST", Kind::Gcs) if has("uploads") => {
                state.uploads += 1;
                let id = format!("upload-{}", state.uploads);
                state.parts.insert(id.clone(), BTreeMap::new());
                xml(
                    200,
                    &format!(
                        "<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
                    ),
                )
            }
            ("POST", Kind::Gcs) if has("uploadId") => {
                let body = String::from_utf8(request.body.clone()).unwrap();
                let Some(parts) = state.parts.remove(&request.query["uploadId"]) else { return gone() };
                assert_eq!(body.matches("<PartNumber>").count(), parts.len(), "{body}");
                state.blobs.insert(key, parts.into_values().flatten().collect());
                xml(200, "<CompleteMultipartUploadResult><ETag>\"done\"</ETag></CompleteMultipartUploadResult>")
            }
            ("POST", Kind::Azure) if comp == Some("batch") => batch(&mut state, request, self.bucket),
            ("PUT", Kind::Gcs) if has("uploadId") => {
                let number = format!("{:0>5}", request.query["partNumber"]);
                let Some(upload) = state.parts.get_mut(&request.query["uploadId"]) else { return gone() };
                upload.insert(number.clone(), request.body.clone());
                Response(200, vec![("ETag", format!("\"part-{number}\""))], vec![])
            }
            ("PUT", Kind::Azure) if comp == Some("block") => {
                let block = request.query["blockid"].clone();
                state.parts.entry(key).or_default().insert(block, request.body.clone());
                Response(201, vec![], vec![])
            }
            ("PUT", Kind::Azure) if comp == Some("blocklist") => {
                let body = String::from_utf8(request.body.clone()).unwrap();
                let blocks = state.parts.remove(&key).expect("blocks");
                let ids = body.split("<Uncommitted>").skip(1).map(|rest| rest.split('<').next().unwrap());
                let content = ids.flat_map(|id| blocks[id].clone()).collect();
                state.blobs.insert(key, content);
                Response(201, vec![("ETag", "\"list\"".to_owned())], vec![])
            }
            ("PUT", kind) => {
                let header = if kind == Kind::Gcs { "x-goog-copy-source" } else { "x-ms-copy-source" };
                let content = match request.headers.get(header) {
                    None => request.body.clone(),
                    Some(source) => {
                        let source = percent_decode_str(source).decode_utf8().unwrap().into_owned();
                        let (_, from) =
                            source.split_once(&format!("{}/", self.bucket.trim_matches('/'))).expect("a source");
                        match state.blobs.get(from) {
                            Some(content) => content.clone(),
                            None => return Response(404, vec![], vec![]),
                        }
                    }
                };
                assert!(kind == Kind::Gcs || request.headers.contains_key("x-ms-version"));
                state.blobs.insert(key, content);
                Response(201, vec![("ETag", "\"put\"".to_owned())], vec![])
            }
            (method, kind) => panic!("{kind:?} has no {method} {} {:?}", request.path, request.query),
        }
    }
}

/// A part may arrive after its upload was given up.
fn gone() -> Response {
    Response(404, vec![], vec![])
}

fn read(reader: &mut BufReader<TcpStream>, state: &Mutex<State>) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|size| *size > 0)?;
    let mut words = line.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?);
    state.lock().unwrap().requests.push(format!("{method} {target}"));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let path = percent_decode_str(path).decode_utf8().unwrap().into_owned();
    let decode = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8().unwrap().into_owned();
    let query = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let query = query.map(|(name, value)| (decode(name), decode(value))).collect();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").map_or(0, |length: &String| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { method, path, query, headers, body })
}

fn xml(code: u16, body: &str) -> Response {
    Response(code, vec![("Content-Type", "application/xml".to_owned())], body.as_bytes().to_vec())
}

fn get(state: &State, key: &str, request: &Request) -> Response {
    let Some(content) = state.blobs.get(key) else { return Response(404, vec![], vec![]) };
    let tag = format!("\"{:016x}\"", hash(content));
    if request.headers.get("if-match").is_some_and(|expected| *expected != tag) {
        return Response(412, vec![], vec![]);
    }
    let mut headers = vec![("ETag", tag), ("Last-Modified", httpdate_now())];
    let Some(range) = request.headers.get("range").or(request.headers.get("x-ms-range")) else {
        headers.push(("Content-Length", content.len().to_string()));
        return Response(200, headers, content.clone());
    };
    let (first, last) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
    let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
    let last = last.min(content.len() - 1);
    headers.push(("Content-Range", format!("bytes {first}-{last}/{}", content.len())));
    Response(206, headers, content[first..=last].to_vec())
}

/// Two names a page, so that every list has several.
fn list(state: &State, request: &Request, kind: Kind) -> Response {
    const PAGE: usize = 2;
    let empty = String::new();
    let prefix = request.query.get("prefix").unwrap_or(&empty);
    let delimited = request.query.contains_key("delimiter");
    let marker = if kind == Kind::Gcs { "continuation-token" } else { "marker" };
    let after = request.query.get(marker).cloned().unwrap_or_default();
    let mut found: BTreeMap<String, Option<usize>> = BTreeMap::new();
    for (key, content) in state.blobs.iter().filter(|(key, _)| key.starts_with(prefix.as_str())) {
        match key[prefix.len()..].split_once('/') {
            Some((dir, _)) if delimited => found.insert(format!("{prefix}{dir}/"), None),
            _ => found.insert(key.clone(), Some(content.len())),
        };
    }
    let rest: Vec<_> = found.into_iter().filter(|(name, _)| *name > after).collect();
    let next = if rest.len() > PAGE { rest[PAGE - 1].0.clone() } else { String::new() };
    let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let (mut dirs, mut blobs) = (String::new(), String::new());
    for (name, size) in rest.into_iter().take(PAGE) {
        let name = escape(&name);
        match (size, kind) {
            (None, Kind::Gcs) => dirs += &format!("<CommonPrefixes><Prefix>{name}</Prefix></CommonPrefixes>"),
            (None, Kind::Azure) => dirs += &format!("<BlobPrefix><Name>{name}</Name></BlobPrefix>"),
            (Some(size), Kind::Gcs) => {
                blobs += &format!(
                    "<Contents><Key>{name}</Key><Size>{size}</Size><LastModified>2026-11-01T00:00:00.000Z</LastModified></Contents>"
                );
            }
            (Some(size), Kind::Azure) => {
                blobs += &format!(
                    "<Blob><Name>{name}</Name><Properties><Last-Modified>{WHEN}</Last-Modified><Content-Length>{size}\
                     </Content-Length><Content-Type>x/y</Content-Type></Properties></Blob>"
                );
            }
        }
    }
    let next = escape(&next);
    match kind {
        Kind::Gcs if next.is_empty() => xml(200, &format!("<ListBucketResult>{blobs}{dirs}</ListBucketResult>")),
        Kind::Gcs => {
            let next = format!("<NextContinuationToken>{next}</NextContinuationToken>");
            xml(200, &format!("<ListBucketResult>{next}{blobs}{dirs}</ListBucketResult>"))
        }
        Kind::Azure => {
            let next = format!("<NextMarker>{next}</NextMarker>");
            xml(200, &format!("<EnumerationResults><Blobs>{blobs}{dirs}</Blobs>{next}</EnumerationResults>"))
        }
    }
}

/// Deletions of Azure, many in one request.
fn batch(state: &mut State, request: &Request, bucket: &str) -> Response {
    let body = String::from_utf8(request.body.clone()).unwrap();
    let container = bucket.rsplit('/').next().unwrap();
    let mut answer = String::new();
    for (id, line) in body.lines().filter(|line| line.starts_with("DELETE ")).enumerate() {
        let target = line.split(' ').nth(1).unwrap().split('?').next().unwrap();
        let path = percent_decode_str(target).decode_utf8().unwrap().into_owned();
        let (_, key) = path.split_once(&format!("{container}/")).expect("a blob of the container");
        let code = if state.blobs.remove(key).is_some() { "202 Accepted" } else { "404 Gone" };
        answer += &format!("--b\r\nContent-Type: application/http\r\nContent-ID: {id}\r\n\r\nHTTP/1.1 {code}\r\n\r\n");
    }
    answer += "--b--\r\n";
    Response(202, vec![("Content-Type", "multipart/mixed; boundary=b".to_owned())], answer.into_bytes())
}

fn hash(content: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    hasher.finish()
}

/// The time as HTTP writes it.
fn httpdate_now() -> String {
    let mut date = std::process::Command::new("date");
    date.args(["-u", "+%a, %d %b %Y %H:%M:%S GMT"]).env("LC_ALL", "C");
    crate::process::run(&mut date, None).ok().trim().to_owned()
}
