//! What every store does, in the same way.

use crate::{chunks, noise, path, read, status, write};
use bytes::Bytes;
use futures::stream::{self, StreamExt};
use mcplane_blobs::{BlobPath, Blobs, ByteRange, Digest};
use mcplane_core::{Clock, SystemClock};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// More than a store takes in one request.
const LARGE: usize = 17 << 20;
/// Enough for an upload in parts to have begun.
const BEGUN: usize = 9 << 20;

pub(crate) async fn all(blobs: &Blobs) {
    round_trip(blobs).await;
    names(blobs).await;
    ranges(blobs).await;
    large(blobs).await;
    lists(blobs).await;
    deletes(blobs).await;
    copies(blobs).await;
    failures(blobs).await;
    dropped(blobs).await;
    races(blobs).await;
    content(blobs).await;
}

async fn round_trip(blobs: &Blobs) {
    let before = SystemClock.now();
    let put = blobs.put(&path("round/a/b.txt"), chunks(b"hello"), 5).await.unwrap();
    assert_eq!((put.size, put.digest), (5, Digest::of(b"hello")));
    assert_eq!(read(blobs, "round/a/b.txt").await, b"hello");
    let head = blobs.head(&path("round/a/b.txt")).await.unwrap();
    assert_eq!(head.size, 5);
    // Stores tell whole seconds.
    assert!((before - 2000..=SystemClock.now() + 2000).contains(&head.modified), "{head:?}");
    assert_eq!(blobs.digest(&path("round/a/b.txt")).await.unwrap(), put);

    write(blobs, "round/a/b.txt", b"other").await;
    assert_eq!(read(blobs, "round/a/b.txt").await, b"other");
    write(blobs, "round/empty", b"").await;
    assert_eq!(read(blobs, "round/empty").await, b"");

    for missing in ["round/x", "round/a", "round/a/b.txt/c", "round/x/y/z"] {
        assert_eq!(status(blobs.head(&path(missing)).await), 404, "{missing}");
        assert_eq!(status(blobs.get(&path(missing), None).await), 404, "{missing}");
        assert_eq!(status(blobs.digest(&path(missing)).await), 404, "{missing}");
    }
    assert_eq!(status(blobs.put(&BlobPath::ROOT, chunks(b""), 1).await), 400);
    assert_eq!(status(blobs.get(&BlobPath::ROOT, None).await), 400);
    assert_eq!(status(blobs.delete(&BlobPath::ROOT).await), 400);
    assert_eq!(status(blobs.get(&path("round/a/b.txt"), None).await.unwrap().bytes(4).await), 413);
}

async fn names(blobs: &Blobs) {
    let odd = ["a b", "a%20b", "a+b", "100%", "ü", "x:y", "~(a)'!", "{[^]}", "a;b=c&d", "..hidden..", "<a>|*\"`$@,"];
    for (index, name) in odd.iter().enumerate() {
        write(blobs, &format!("names/{name}/{name}"), &[u8::try_from(index).unwrap()]).await;
    }
    let listed = blobs.list(&path("names"), 100).await.unwrap().entries;
    let mut expected = odd.to_vec();
    expected.sort_unstable();
    assert_eq!(listed.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), expected);
    for (index, name) in odd.iter().enumerate() {
        assert_eq!(read(blobs, &format!("names/{name}/{name}")).await, [u8::try_from(index).unwrap()], "{name}");
    }
    assert_eq!(blobs.delete(&path("names")).await.unwrap(), odd.len() as u64);
}

async fn ranges(blobs: &Blobs) {
    write(blobs, "ranges/ten", b"0123456789").await;
    for (range, bytes, expected) in [
        (ByteRange::FromTo(0, 0), 0..1, "0"),
        (ByteRange::FromTo(3, 5), 3..6, "345"),
        (ByteRange::FromTo(8, 100), 8..10, "89"),
        (ByteRange::From(9), 9..10, "9"),
        (ByteRange::Last(2), 8..10, "89"),
    ] {
        let object = blobs.get(&path("ranges/ten"), Some(range)).await.unwrap();
        assert_eq!((object.meta.size, object.range.clone()), (10, bytes));
        assert_eq!(object.bytes(10).await.unwrap(), expected.as_bytes());
    }
    assert_eq!(status(blobs.get(&path("ranges/ten"), Some(ByteRange::From(10))).await), 400);
    assert_eq!(status(blobs.get(&path("ranges/none"), Some(ByteRange::From(0))).await), 404);
}

async fn large(blobs: &Blobs) {
    let content = noise(LARGE, 1);
    let put = blobs.put(&path("large/file"), chunks(&content), LARGE as u64).await.unwrap();
    assert_eq!((put.size, put.digest), (LARGE as u64, Digest::of(&content)));
    assert!(read(blobs, "large/file").await == content, "the content changed");
    let middle = Some(ByteRange::FromTo((8 << 20) - 3, (8 << 20) + 2));
    let middle = blobs.get(&path("large/file"), middle).await.unwrap().bytes(6).await.unwrap();
    assert_eq!(middle, content[(8 << 20) - 3..(8 << 20) + 3]);
    // The end of the content is the end of a part.
    write(blobs, "large/even", &content[..16 << 20]).await;
    assert_eq!(blobs.head(&path("large/even")).await.unwrap().size, 16 << 20);
    assert_eq!(blobs.delete(&path("large")).await.unwrap(), 2);
}

pub(crate) async fn lists(blobs: &Blobs) {
    for name in ["b", "a/x/deep", "a/y", "c.txt", "a-b", "a.b"] {
        write(blobs, &format!("lists/{name}"), name.as_bytes()).await;
    }
    let shown = |listing: mcplane_blobs::Listing| -> Vec<String> {
        listing.entries.iter().map(|e| format!("{}{} {}", e.name, if e.is_dir { "/" } else { "" }, e.size)).collect()
    };
    let all = blobs.list(&path("lists"), 5).await.unwrap();
    assert!(!all.truncated);
    assert_eq!(shown(all), ["a/ 0", "a-b 3", "a.b 3", "b 1", "c.txt 5"]);
    let some = blobs.list(&path("lists"), 3).await.unwrap();
    assert!(some.truncated && some.entries.len() == 3);
    assert_eq!(shown(blobs.list(&path("lists/a"), 9).await.unwrap()), ["x/ 0", "y 3"]);
    for nothing in ["lists/none", "lists/b", "lists/a/x/deep", "list"] {
        assert_eq!(blobs.list(&path(nothing), 9).await.unwrap(), Default::default(), "{nothing}");
    }
    let root = blobs.list(&BlobPath::ROOT, 1000).await.unwrap().entries;
    assert!(root.iter().any(|entry| entry.is_dir && entry.name == "lists"), "{root:?}");
}

async fn deletes(blobs: &Blobs) {
    for name in ["dir/a", "dir/b/c", "dir/b/d/e", "dir2/a", "file"] {
        write(blobs, &format!("deletes/{name}"), b"x").await;
    }
    assert_eq!(blobs.delete(&path("deletes/dir")).await.unwrap(), 3);
    assert_eq!(blobs.delete(&path("deletes/file")).await.unwrap(), 1);
    for gone in ["deletes/dir", "deletes/file", "deletes/none/x", "deletes/dir2/a/below"] {
        assert_eq!(blobs.delete(&path(gone)).await.unwrap(), 0, "{gone}");
    }
    // SeaweedFS has directories, and shows some that got empty; that nothing is in them was just seen.
    let left = blobs.list(&path("deletes"), 9).await.unwrap().entries;
    assert!(left.iter().all(|entry| entry.is_dir) && left.iter().any(|entry| entry.name == "dir2"), "{left:?}");
    write(blobs, "deletes/dir/a", b"again").await;
    assert_eq!(read(blobs, "deletes/dir/a").await, b"again");
}

pub(crate) async fn copies(blobs: &Blobs) {
    write(blobs, "copies/from", b"content").await;
    write(blobs, "copies/to/old", b"old").await;
    blobs.copy(&path("copies/from"), &path("copies/to/new")).await.unwrap();
    blobs.copy(&path("copies/from"), &path("copies/to/old")).await.unwrap();
    write(blobs, "copies/from", b"changed").await;
    assert_eq!(read(blobs, "copies/to/new").await, b"content");
    assert_eq!(read(blobs, "copies/to/old").await, b"content");
    assert_eq!(status(blobs.copy(&path("copies/none"), &path("copies/x")).await), 404);
    assert_eq!(status(blobs.head(&path("copies/x")).await), 404);
}

async fn failures(blobs: &Blobs) {
    write(blobs, "failures/old", b"old").await;
    for size in [10, BEGUN] {
        let limit = size as u64 - 1;
        for target in ["failures/old", "failures/new"] {
            let refused = blobs.put(&path(target), chunks(&vec![b'x'; size]), limit).await;
            assert_eq!(status(refused), 413);
            let torn = chunks(&vec![b'x'; size]).chain(stream::iter([Err(std::io::Error::other("reset"))]));
            assert_eq!(status(blobs.put(&path(target), torn, u64::MAX).await), 400);
        }
        assert_eq!(read(blobs, "failures/old").await, b"old");
        assert_eq!(status(blobs.head(&path("failures/new")).await), 404);
        assert_eq!(status(blobs.put_content(chunks(&vec![b'x'; size]), limit).await), 413);
    }
    assert_eq!(blobs.list(&path("failures"), 9).await.unwrap().entries.len(), 1);
}

/// Whoever waits for an upload goes away in the middle of it.
async fn dropped(blobs: &Blobs) {
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let body = chunks(&vec![b'x'; BEGUN]).inspect(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
    });
    let store = blobs.clone();
    let endless = body.chain(stream::pending());
    let upload = tokio::spawn(async move { store.put(&path("dropped/file"), endless, u64::MAX).await });
    while sent.load(Ordering::SeqCst) < BEGUN / 100_000 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    upload.abort();
    assert!(upload.await.unwrap_err().is_cancelled());
    assert_eq!(status(blobs.head(&path("dropped/file")).await), 404);
    assert_eq!(blobs.list(&path("dropped"), 9).await.unwrap(), Default::default());
}

/// Writers of one path, and readers that must see one content or the other.
async fn races(blobs: &Blobs) {
    let contents: Vec<Vec<u8>> = (0..4).map(|seed| noise(300_000, seed + 7)).collect();
    write(blobs, "races/file", &contents[0]).await;
    let writers = contents.clone().into_iter().map(|content| {
        let blobs = blobs.clone();
        tokio::spawn(async move { write(&blobs, "races/file", &content).await })
    });
    let writers: Vec<_> = writers.collect();
    for _ in 0..10 {
        let seen = read(blobs, "races/file").await;
        assert!(contents.contains(&seen), "a mixture of {} bytes", seen.len());
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert!(contents.contains(&read(blobs, "races/file").await));
}

async fn content(blobs: &Blobs) {
    let (small, large) = (noise(1000, 3), noise(BEGUN, 4));
    for bytes in [&small, &large] {
        for _ in 0..2 {
            let put = blobs.put_content(chunks(bytes), u64::MAX).await.unwrap();
            assert_eq!((put.size, put.digest), (bytes.len() as u64, Digest::of(bytes)));
        }
        let digest = Digest::of(bytes);
        assert_eq!(blobs.head_content(&digest).await.unwrap().size, bytes.len() as u64);
        let read = blobs.get_content(&digest, None).await.unwrap().bytes(u64::MAX).await.unwrap();
        assert!(read == *bytes, "the content changed");
    }
    let part = blobs.get_content(&Digest::of(&small), Some(ByteRange::FromTo(1, 3))).await.unwrap();
    assert_eq!(part.bytes(3).await.unwrap(), small[1..4]);

    write(blobs, "content/model", b"verified").await;
    let pinned = blobs.pin(&path("content/model")).await.unwrap();
    assert_eq!(pinned.digest, Digest::of(b"verified"));
    write(blobs, "content/model", b"replaced").await;
    blobs.delete(&path("content")).await.unwrap();
    let kept = blobs.get_content(&pinned.digest, None).await.unwrap().bytes(100).await.unwrap();
    assert_eq!(kept, Bytes::from_static(b"verified"));

    assert_eq!(status(blobs.head_content(&Digest::of(b"never")).await), 404);
    assert_eq!(status(blobs.pin(&path("content/none")).await), 404);
    // None of this can be seen, or reached by a path.
    let root = blobs.list(&BlobPath::ROOT, 1000).await.unwrap().entries;
    assert!(root.iter().all(|entry| !entry.name.starts_with(".mcplane")), "{root:?}");
    assert!(BlobPath::parse(&format!(".mcplane/sha256/{}", pinned.digest)).is_err());
    assert_eq!(blobs.sweep().await.unwrap(), 0);
}
