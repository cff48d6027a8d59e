//! A directory: what the file system could do to us.

use crate::{chunks, open, path, read, status, suite, write};
use futures::stream::{self, StreamExt};
use mcplane_blobs::{BlobPath, Blobs, BlobsConfig};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

async fn store(dir: &Path) -> Blobs {
    open(dir.to_str().unwrap(), &BlobsConfig::default()).await
}

fn staged(dir: &Path) -> usize {
    fs::read_dir(dir.join(".mcplane/uploads")).unwrap().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn file_does_what_every_store_does() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("made/on/the way");
    let blobs = store(&root).await;
    assert!(blobs.location().is_local() && blobs.direct().is_none());
    suite::all(&blobs).await;
    mcplane_testkit::eventually("uploads that broke off are gone", 5, || (staged(&root) == 0).then_some(()));
}

#[tokio::test]
async fn files_are_private_and_content_is_read_only() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    let blobs = store(&root).await;
    write(&blobs, "a/b", b"x").await;
    let digest = blobs.pin(&path("a/b")).await.unwrap().digest.to_hex();
    let content = format!(".mcplane/sha256/{}/{}", &digest[..2], &digest[2..]);
    let mode = |name: &str| fs::metadata(root.join(name)).unwrap().permissions().mode() & 0o777;
    for (name, expected) in [("", 0o700), ("a", 0o700), ("a/b", 0o600), (".mcplane/uploads", 0o700), (&content, 0o400)]
    {
        assert_eq!(mode(name), expected, "{name}");
    }
}

#[tokio::test]
async fn links_lead_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let (root, outside) = (dir.path().join("root"), dir.path().join("outside"));
    let blobs = store(&root).await;
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "secret").unwrap();
    write(&blobs, "in/file", b"inside").await;
    symlink(&outside, root.join("out")).unwrap();
    symlink(outside.join("secret"), root.join("in/secret")).unwrap();
    symlink("file", root.join("in/alias")).unwrap();
    symlink("/proc/self", root.join("in/proc")).unwrap();

    for link in ["out/secret", "in/secret", "in/alias", "in/proc/environ"] {
        assert_eq!(status(blobs.get(&path(link), None).await), 404, "{link}");
        assert_eq!(status(blobs.head(&path(link)).await), 404, "{link}");
        assert_eq!(status(blobs.copy(&path(link), &path("copy")).await), 404, "{link}");
    }
    assert_eq!(status(blobs.put(&path("out/new"), chunks(b"x"), 1).await), 409);
    assert_eq!(blobs.list(&path("out"), 9).await.unwrap(), Default::default());
    assert_eq!(blobs.list(&BlobPath::ROOT, 9).await.unwrap().entries.len(), 1);
    assert_eq!(blobs.list(&path("in"), 9).await.unwrap().entries.len(), 1);

    // A write replaces the link, not what it points to; a deletion removes links and follows none.
    write(&blobs, "in/secret", b"mine").await;
    assert_eq!(read(&blobs, "in/secret").await, b"mine");
    assert_eq!(blobs.delete(&path("out/secret")).await.unwrap(), 0);
    symlink(&outside, root.join("in/again")).unwrap();
    blobs.delete(&path("in")).await.unwrap();
    blobs.delete(&path("out")).await.unwrap();
    assert_eq!(fs::read_to_string(outside.join("secret")).unwrap(), "secret");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
}

#[tokio::test]
async fn only_plain_files_are_blobs() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = store(dir.path()).await;
    mcplane_testkit::process::run(std::process::Command::new("mkfifo").arg(dir.path().join("pipe")), None).ok();
    let pipe = path("pipe");
    let reading = tokio::time::timeout(Duration::from_secs(5), blobs.get(&pipe, None));
    assert_eq!(status(reading.await.expect("a pipe must not block")), 404);
    assert_eq!(blobs.list(&BlobPath::ROOT, 9).await.unwrap(), Default::default());

    write(&blobs, "dir/file", b"x").await;
    assert_eq!(status(blobs.put(&path("dir"), chunks(b"x"), 1).await), 409);
    assert_eq!(status(blobs.put(&path("dir/file/below"), chunks(b"x"), 1).await), 409);
    assert_eq!((read(&blobs, "dir/file").await, staged(dir.path())), (b"x".to_vec(), 0));
}

#[tokio::test]
async fn a_file_that_shrinks_under_a_reader_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = store(dir.path()).await;
    write(&blobs, "file", &[7; 600_000]).await;
    let object = blobs.get(&path("file"), None).await.unwrap();
    fs::File::options().write(true).open(dir.path().join("file")).unwrap().set_len(300_000).unwrap();
    assert_eq!(status(object.bytes(u64::MAX).await), 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_takes_what_crashed_and_spares_what_lives() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = store(dir.path()).await;
    let crashed = dir.path().join(".mcplane/uploads/crashed");
    fs::write(&crashed, "x").unwrap();
    fs::create_dir_all(dir.path().join(".mcplane/uploads/tree/below")).unwrap();

    let (go, wait) = tokio::sync::oneshot::channel::<()>();
    let tail = stream::once(async move {
        wait.await.ok();
        Ok("tail".into())
    });
    let (store_too, body) = (blobs.clone(), chunks(&[1; 2 << 20]).chain(tail));
    let living = tokio::spawn(async move { store_too.put(&path("living"), body, u64::MAX).await });
    mcplane_testkit::eventually("an upload", 5, || (staged(dir.path()) == 3).then_some(()));
    store(dir.path()).await;
    assert_eq!(staged(dir.path()), 1);
    go.send(()).unwrap();
    assert_eq!(living.await.unwrap().unwrap().size, (2 << 20) + 4);
    assert_eq!(blobs.head(&path("living")).await.unwrap().size, (2 << 20) + 4);
}

const CHILD: &str = "MCPLANE_TEST_KILLED_WRITER";

#[tokio::test]
#[ignore = "the process that the next test kills"]
async fn killed_writer() {
    let dir = std::env::var(CHILD).expect("run by the next test only");
    let blobs = store(Path::new(&dir)).await;
    for number in 0.. {
        write(&blobs, &format!("done/{number}"), b"acknowledged").await;
        println!("acknowledged {number}");
        if number == 20 {
            let endless = stream::repeat_with(|| Ok::<_, std::io::Error>(vec![0; 1 << 10].into()));
            let endless = endless.then(|chunk| async {
                tokio::time::sleep(Duration::from_millis(1)).await;
                chunk
            });
            blobs.put(&path("done/endless"), endless, u64::MAX).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_killed_writer_leaves_what_it_acknowledged_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = std::process::Command::new(std::env::current_exe().unwrap());
    writer.args(["--exact", "file::killed_writer", "--ignored", "--nocapture"]).env(CHILD, dir.path());
    let writer = mcplane_testkit::process::Background::start(&mut writer);
    writer.until("acknowledged 20");
    mcplane_testkit::eventually("the upload without end", 10, || (staged(dir.path()) == 1).then_some(()));
    mcplane_testkit::process::signal(writer.pid(), "KILL");
    writer.finish(10);

    let blobs = store(dir.path()).await;
    assert_eq!(staged(dir.path()), 0);
    let done = blobs.list(&path("done"), 100).await.unwrap().entries;
    assert_eq!(done.len(), 21);
    for entry in done {
        assert_eq!(read(&blobs, &format!("done/{}", entry.name)).await, b"acknowledged");
    }
}

#[tokio::test]
async fn a_place_that_cannot_be_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let location = format!("{}/below", file.display()).parse().unwrap();
    let error = Blobs::open(location, &BlobsConfig::default()).await.unwrap_err();
    assert!(error.http_status() == 400 && error.to_string().contains("cannot hold artifacts"), "{error}");
}
