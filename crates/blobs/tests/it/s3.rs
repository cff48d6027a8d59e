//! S3, as SeaweedFS speaks it.

use crate::{chunks, noise, open, path, status, suite, write};
use futures::stream::{self, StreamExt};
use mcplane_blobs::{BlobPath, Blobs, BlobsConfig, Digest, External, SentPart};
use mcplane_testkit::http;
use mcplane_testkit::seaweedfs::SeaweedFs;
use object_store::client::{HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService};
use std::time::Duration;

fn config() -> BlobsConfig {
    BlobsConfig::from_vars(SeaweedFs::get().vars())
}

async fn store(prefix: &str) -> Blobs {
    open(&format!("s3://artifacts/{prefix}"), &config()).await
}

/// A request to a URL that was signed.
fn send(method: &str, url: &str, body: &[u8]) -> http::Answer {
    let rest = url.strip_prefix("http://").unwrap();
    let (host, target) = rest.split_once('/').unwrap();
    let length = body.len();
    let head =
        format!("{method} /{target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    http::send(host.parse().unwrap(), &head, body).expect("an answer")
}

fn header(answer: &http::Answer, name: &str) -> String {
    let value = answer.head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    });
    value.unwrap_or_else(|| panic!("no {name} in {}", answer.head))
}

/// Uploads in parts that the store still keeps.
async fn open_uploads(prefix: &str) -> String {
    use object_store::signer::{Method, SignedUrlOptions, Signer};
    let server = SeaweedFs::get();
    let client = object_store::aws::AmazonS3Builder::new()
        .with_access_key_id(&server.access_key)
        .with_secret_access_key(&server.secret_key)
        .with_endpoint(&server.endpoint)
        .with_allow_http(true)
        .with_bucket_name("artifacts")
        .with_http_connector(NoHttp)
        .build()
        .unwrap();
    let options = SignedUrlOptions::default().with_query([("uploads", ""), ("prefix", prefix)]);
    let root = object_store::path::Path::default();
    let url = client.signed_url_opts(Method::GET, &root, Duration::from_secs(60), &options).await.unwrap();
    let answer = send("GET", url.as_str(), b"");
    let text = String::from_utf8(answer.body).unwrap();
    assert!(answer.status == 200 && text.contains("ListMultipartUploadsResult"), "{text}");
    text
}

/// Signing needs no connection.
#[derive(Debug)]
struct NoHttp;

impl HttpConnector for NoHttp {
    fn connect(&self, _: &object_store::ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Nobody))
    }
}

#[derive(Debug)]
struct Nobody;

type Answering<'a> = std::pin::Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'a>>;

impl HttpService for Nobody {
    fn call<'a, 'b>(&'a self, _: HttpRequest) -> Answering<'b>
    where
        'a: 'b,
        Self: 'b,
    {
        unreachable!("nobody listens")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_does_what_every_store_does() {
    suite::all(&store("suite/below").await).await;
    // A bucket without a prefix.
    let whole = open("s3://models", &config()).await;
    suite::lists(&whole).await;
    suite::copies(&whole).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_that_break_off_leave_no_parts() {
    let blobs = store("broken").await;
    let begun = vec![1; 9 << 20];
    assert_eq!(status(blobs.put(&path("refused"), chunks(&begun), 9_000_000).await), 413);
    assert!(!open_uploads("broken").await.contains("<Upload>"));

    let upload = tokio::spawn({
        let (blobs, body) = (blobs.clone(), chunks(&begun).chain(stream::pending()));
        async move { blobs.put(&path("dropped"), body, u64::MAX).await }
    });
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !open_uploads("broken").await.contains("<Upload>") {
        assert!(tokio::time::Instant::now() < deadline, "no upload has begun");
    }
    upload.abort();
    while open_uploads("broken").await.contains("<Upload>") {
        assert!(tokio::time::Instant::now() < deadline, "the upload stays");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(blobs.list(&BlobPath::ROOT, 9).await.unwrap(), Default::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn long_lists_come_in_pages() {
    let blobs = store("pages").await;
    let writes = (0..1100).map(|number| {
        let blobs = blobs.clone();
        async move { write(&blobs, &format!("many/{number:04}"), b"x").await }
    });
    stream::iter(writes).buffer_unordered(16).collect::<Vec<_>>().await;
    let all = blobs.list(&path("many"), 5000).await.unwrap();
    assert!(!all.truncated && all.entries.len() == 1100);
    assert!(all.entries.iter().enumerate().all(|(number, entry)| entry.name == format!("{number:04}")));
    let some = blobs.list(&path("many"), 1050).await.unwrap();
    assert!(some.truncated && some.entries == all.entries[..1050]);
    assert_eq!(blobs.delete(&path("many")).await.unwrap(), 1100);
    assert_eq!(blobs.list(&path("many"), 9).await.unwrap(), Default::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_upload_and_download_by_signed_urls() {
    let blobs = store("direct").await;
    let direct = blobs.direct().expect("S3 signs");
    let (content, at, hour) = (noise((5 << 20) + 7, 9), path("a b/model%.bin"), Duration::from_secs(3600));
    let upload = direct.create_upload(&at, 2, hour).await.unwrap();
    assert_eq!(upload.urls.len(), 2);
    assert!(!format!("{upload:?}").contains("Signature"));

    let mut parts = Vec::new();
    // In any order.
    for number in [2, 1] {
        let (url, part) = (&upload.urls[number - 1], content.chunks(5 << 20).nth(number - 1).unwrap());
        let number = u32::try_from(number).unwrap();
        let answer = send("PUT", url, part);
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        parts.push(SentPart { number, etag: header(&answer, "etag") });
    }
    assert_eq!(status(blobs.head(&at).await), 404);
    assert_eq!(status(direct.complete_upload(&at, &upload.id, parts[..1].to_vec()).await), 400);
    direct.complete_upload(&at, &upload.id, parts).await.unwrap();
    assert_eq!(blobs.digest(&at).await.unwrap().digest, Digest::of(&content));

    let url = direct.download_url(&at, hour).await.unwrap();
    assert!(send("GET", &url, b"").body == content);
    assert_eq!(send("GET", &url.replace("model", "other"), b"").status, 403);
    assert_eq!(send("DELETE", &url, b"").status, 403);

    let forgotten = direct.create_upload(&path("forgotten"), 1, hour).await.unwrap();
    assert_eq!(send("PUT", &forgotten.urls[0], b"x").status, 200);
    direct.abort_upload(&path("forgotten"), &forgotten.id).await.unwrap();
    assert_ne!(send("PUT", &forgotten.urls[0], b"x").status, 200);
    assert_eq!(status(direct.create_upload(&at, 0, hour).await), 400);
    assert_eq!(status(direct.create_upload(&at, 10_001, hour).await), 400);
    assert_eq!(status(direct.complete_upload(&at, "x", vec![]).await), 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_of_others_are_verified_within_limits() {
    let models = open("s3://models/team-a", &config()).await;
    // More than can be read and hashed before the shortest time has passed.
    let content = noise(16 << 20, 11);
    write(&models, "fraud_v1.2.0.pkl", &content).await;
    write(&open("s3://models/team-b", &config()).await, "theirs", b"x").await;

    let allowed = ["s3://models/team-a".parse().unwrap()];
    let external = External::open(allowed, &config()).await.unwrap();
    let (url, second) = ("s3://models/team-a/fraud_v1.2.0.pkl", Duration::from_secs(20));
    let verified = external.verify(url, 1 << 24, second).await.unwrap();
    assert_eq!((verified.size, verified.digest), (16 << 20, Digest::of(&content)));

    assert_eq!(status(external.verify(url, (16 << 20) - 1, second).await), 413);
    assert_eq!(status(external.verify(url, 1 << 24, Duration::from_nanos(1)).await), 504);
    assert_eq!(status(external.verify("s3://models/team-a/none", 1, second).await), 404);
    for refused in [
        "s3://models/team-b/theirs",
        "s3://models/team-a/../team-b/theirs",
        "s3://models/team-a/%2e%2e/team-b/theirs",
        "s3://models",
        "s3://artifacts/x",
        "http://169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
        "/etc/passwd",
        "gs://models/team-a/x",
        "s3://models/team-a/x?versionId=1",
        "s3://models@127.0.0.1/x",
        "s3://models/team-a",
    ] {
        assert_eq!(status(external.verify(refused, 1 << 20, second).await), 400, "{refused}");
    }
    assert_eq!(status(External::default().get(url).await), 400);
    assert_eq!(status(External::open(["/etc".parse().unwrap()], &config()).await), 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_the_store_are_told_without_secrets() {
    let vars = SeaweedFs::get().vars().map(|(name, value)| match name {
        "AWS_SECRET_ACCESS_KEY" => (name, "hunter2hunter2".to_owned()),
        _ => (name, value),
    });
    let stranger = open("s3://artifacts/x", &BlobsConfig::from_vars(vars)).await;
    for error in [
        stranger.head(&path("a")).await.unwrap_err(),
        stranger.put(&path("a"), chunks(b"x"), 1).await.unwrap_err(),
        stranger.list(&BlobPath::ROOT, 1).await.unwrap_err(),
    ] {
        assert_eq!((error.http_status(), error.to_string().contains("credentials")), (503, true), "{error:?}");
        assert!(!format!("{error:?} {stranger:?}").contains("hunter2"));
    }
}
