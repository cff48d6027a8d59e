//! Google Cloud Storage and Azure, against an emulator that knows their wire formats.

use crate::{chunks, open, path, status, suite};
use futures::stream::{self, StreamExt};
use mcplane_blobs::{Blobs, BlobsConfig, Digest, SentPart};
use mcplane_testkit::http;
use mcplane_testkit::object_stores::{Emulator, Kind};
use std::time::Duration;

async fn gcs() -> (Emulator, Blobs) {
    let emulator = Emulator::start(Kind::Gcs, "/models");
    let config = BlobsConfig::from_vars([("STORAGE_EMULATOR_HOST", emulator.address.to_string())]);
    let blobs = open("gs://models/below/this", &config).await;
    (emulator, blobs)
}

async fn azure() -> (Emulator, Blobs) {
    let emulator = Emulator::start(Kind::Azure, "/acct/models");
    let endpoint = format!("http://{}/acct", emulator.address);
    let connection = format!("AccountName=acct;AccountKey=aHVudGVyMg==;BlobEndpoint={endpoint}");
    let config = BlobsConfig::from_vars([("AZURE_STORAGE_CONNECTION_STRING", connection)]);
    let blobs = open("az://models/below/this", &config).await;
    (emulator, blobs)
}

#[tokio::test(flavor = "multi_thread")]
async fn gcs_does_what_every_store_does() {
    let (emulator, blobs) = gcs().await;
    suite::all(&blobs).await;
    assert!(emulator.requests().iter().all(|request| request.contains(" /models")), "{:?}", emulator.requests());
    mcplane_testkit::eventually("no upload stays", 10, || (emulator.open_uploads() == 0).then_some(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn azure_does_what_every_store_does() {
    let (emulator, blobs) = azure().await;
    suite::all(&blobs).await;
    assert!(emulator.requests().iter().all(|request| request.contains(" /acct/models")), "{:?}", emulator.requests());
}

#[tokio::test(flavor = "multi_thread")]
async fn gcs_forgets_an_upload_that_is_dropped() {
    let (emulator, blobs) = gcs().await;
    let body = chunks(&vec![1; 9 << 20]).chain(stream::pending());
    let upload = tokio::spawn(async move { blobs.put(&path("dropped"), body, u64::MAX).await });
    mcplane_testkit::eventually("an upload begins", 10, || (emulator.open_uploads() == 1).then_some(()));
    upload.abort();
    mcplane_testkit::eventually("it is aborted", 10, || (emulator.open_uploads() == 0).then_some(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn azure_takes_blocks_by_signed_urls() {
    let (emulator, blobs) = azure().await;
    let direct = blobs.direct().expect("Azure signs");
    let at = path("model.bin");
    let upload = direct.create_upload(&at, 2, Duration::from_secs(60)).await.unwrap();
    for (url, part) in upload.urls.iter().zip(["first ", "second"]) {
        assert!(url.contains("sig=") && url.contains("comp=block&blockid="), "{url}");
        let target = url.strip_prefix(&format!("http://{}", emulator.address)).unwrap();
        let length = part.len();
        let head = format!(
            "PUT {target} HTTP/1.1\r\nHost: {}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n",
            emulator.address
        );
        // The emulator keeps connections, so the answer is looked at, not waited for to end.
        let (address, head, part) = (emulator.address, head, part.as_bytes());
        let answer = std::thread::spawn(move || short(address, &head, part)).join().unwrap();
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    }
    let parts = [2, 1].map(|number| SentPart { number, etag: String::new() });
    direct.complete_upload(&at, &upload.id, parts.to_vec()).await.unwrap();
    assert_eq!(blobs.digest(&at).await.unwrap().digest, Digest::of(b"first second"));
}

fn short(address: std::net::SocketAddr, head: &str, body: &[u8]) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = [0; 64];
    let size = stream.read(&mut answer).unwrap();
    String::from_utf8_lossy(&answer[..size]).into_owned()
}

#[tokio::test]
async fn redirects_are_not_followed_and_a_dead_store_is_told() {
    let elsewhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let target = elsewhere.local_addr().unwrap();
    let redirecting = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = redirecting.local_addr().unwrap();
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        for mut stream in redirecting.incoming().flatten() {
            assert!(stream.read(&mut [0; 4096]).is_ok_and(|size| size > 0));
            let head = format!(
                "HTTP/1.1 307 X\r\nLocation: http://{target}/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).ok();
        }
    });
    let config = BlobsConfig::from_vars([("STORAGE_EMULATOR_HOST", endpoint.to_string())]);
    let blobs = open("gs://models", &config).await;
    assert_eq!(status(blobs.head(&path("a")).await), 503);
    elsewhere.set_nonblocking(true).unwrap();
    assert!(elsewhere.accept().is_err(), "the redirect was followed");

    drop(elsewhere);
    let config = BlobsConfig::from_vars([("STORAGE_EMULATOR_HOST", target.to_string())]);
    let dead = open("gs://models", &config).await;
    let error = dead.put(&path("a"), chunks(b"x"), 1).await.unwrap_err();
    assert_eq!((error.http_status(), error.to_string().as_str()), (503, "the artifact store is away"));
    assert!(http::get(target, "/").is_none());
}
