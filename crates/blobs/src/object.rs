//! What goes into a store and what comes out.

use crate::digest::{Digest, Hasher};
use bytes::{Bytes, BytesMut};
use futures::stream::{BoxStream, Stream, StreamExt, TryStreamExt};
use mcplane_core::{Error, Result, Timestamp};
use std::ops::Range;

/// Content on its way out.
pub type Body = BoxStream<'static, Result<Bytes>>;

/// What is known of a blob without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// Bytes.
    pub size: u64,
    /// When it was last written.
    pub modified: Timestamp,
}

/// A blob being read.
pub struct Object {
    /// Of the whole blob, as it is in this reading.
    pub meta: Meta,
    /// The bytes that `body` gives, of those of the whole.
    pub range: Range<u64>,
    /// The content.
    pub body: Body,
}

impl Object {
    /// The whole body, if it is no larger than `limit`.
    pub async fn bytes(self, limit: u64) -> Result<Bytes> {
        if self.range.end - self.range.start > limit {
            return Err(too_large(limit));
        }
        let into = BytesMut::with_capacity(usize::try_from(self.range.end - self.range.start).unwrap_or(0));
        let all = self.body.try_fold(into, |mut all, chunk| async move {
            all.extend_from_slice(&chunk);
            Ok(all)
        });
        Ok(all.await?.freeze())
    }
}

impl Object {
    /// The same, but its body ends in an error unless it has that digest.
    pub(crate) fn checked(self, digest: Digest) -> Self {
        let state = (self.body, Some(Hasher::default()));
        let body = futures::stream::unfold(state, move |(mut body, hasher)| async move {
            let mut hasher = hasher?;
            match body.next().await {
                Some(Ok(chunk)) => {
                    hasher.update(&chunk);
                    Some((Ok(chunk), (body, Some(hasher))))
                }
                Some(Err(error)) => Some((Err(error), (body, None))),
                None if hasher.finish() == digest => None,
                None => {
                    let message = format!("the artifact store has changed the content {digest:?}");
                    Some((Err(Error::Unavailable { message, source: None }), (body, None)))
                }
            }
        });
        Self { body: body.boxed(), ..self }
    }
}

impl std::fmt::Debug for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Object").field("meta", &self.meta).field("range", &self.range).finish_non_exhaustive()
    }
}

/// A blob that was written and is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Put {
    /// Bytes.
    pub size: u64,
    /// Of its content.
    pub digest: Digest,
}

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The last segment of its path.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Bytes; 0 for a directory.
    pub size: u64,
}

/// One level of a directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// In the order of their names.
    pub entries: Vec<Entry>,
    /// Whether there are more than were asked for.
    pub truncated: bool,
}

/// A part of a blob, as HTTP's `Range` asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteRange {
    /// From an offset up to and with another.
    FromTo(u64, u64),
    /// From an offset to the end.
    From(u64),
    /// The last so many bytes.
    Last(u64),
}

impl ByteRange {
    /// The bytes of a blob of `size`; none when it has none of them.
    pub fn within(self, size: u64) -> Option<Range<u64>> {
        let range = match self {
            Self::FromTo(first, last) => first..last.checked_add(1)?.min(size),
            Self::From(first) => first..size,
            Self::Last(count) => size.saturating_sub(count)..size,
        };
        (range.start < range.end).then_some(range)
    }

    pub(crate) fn resolve(range: Option<Self>, size: u64) -> Result<Range<u64>> {
        let Some(range) = range else { return Ok(0..size) };
        range.within(size).ok_or_else(|| Error::bad_request(format!("the range is outside of {size} bytes")))
    }
}

/// Content on its way in: counted, digested and held to a limit.
pub(crate) struct Incoming<'a> {
    body: BoxStream<'a, Result<Bytes>>,
    rest: Bytes,
    hasher: Hasher,
    limit: u64,
}

impl<'a> Incoming<'a> {
    /// More is not handled at once, so that a giant chunk does not keep a thread for long.
    const STEP: usize = 256 << 10;

    pub(crate) fn new<S, E>(body: S, limit: u64) -> Self
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'a,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let body = body.map_err(|error| torn(error.into())).boxed();
        Self { body, rest: Bytes::new(), hasher: Hasher::default(), limit }
    }

    /// Some more bytes, none at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>> {
        self.next_of(Self::STEP).await
    }

    async fn next_of(&mut self, most: usize) -> Result<Option<Bytes>> {
        while self.rest.is_empty() {
            match self.body.next().await {
                Some(chunk) => self.rest = chunk?,
                None => return Ok(None),
            }
        }
        let chunk = self.rest.split_to(self.rest.len().min(most));
        self.hasher.update(&chunk);
        if self.hasher.size() > self.limit { Err(too_large(self.limit)) } else { Ok(Some(chunk)) }
    }

    /// The next `size` bytes or all that are left, and whether that was the end.
    pub(crate) async fn part(&mut self, size: usize) -> Result<(Bytes, bool)> {
        let mut part = BytesMut::new();
        while part.len() < size {
            let most = Self::STEP.min(size - part.len());
            let Some(chunk) = self.next_of(most).await? else { return Ok((part.freeze(), true)) };
            part.extend_from_slice(&chunk);
        }
        Ok((part.freeze(), false))
    }

    pub(crate) fn finish(self) -> Put {
        Put { size: self.hasher.size(), digest: self.hasher.finish() }
    }
}

/// An error that a store gave keeps its meaning, anything else is a client that stopped sending.
fn torn(error: Box<dyn std::error::Error + Send + Sync>) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => *error,
        Err(error) => Error::bad_request(format!("the content broke off: {error}")),
    }
}

pub(crate) fn too_large(limit: u64) -> Error {
    Error::TooLarge(format!("the content is larger than {limit} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;

    fn chunks(sizes: &[usize]) -> impl Stream<Item = Result<Bytes, std::io::Error>> + Send + use<> {
        stream::iter(sizes.iter().map(|size| Ok(Bytes::from(vec![b'x'; *size]))).collect::<Vec<_>>())
    }

    #[test]
    fn ranges_are_cut_to_the_blob() {
        assert_eq!(ByteRange::FromTo(2, 4).within(10), Some(2..5));
        assert_eq!(ByteRange::FromTo(2, u64::MAX - 1).within(10), Some(2..10));
        assert_eq!(ByteRange::From(9).within(10), Some(9..10));
        assert_eq!(ByteRange::Last(3).within(10), Some(7..10));
        assert_eq!(ByteRange::Last(30).within(10), Some(0..10));
        let empty = [ByteRange::FromTo(4, 2), ByteRange::FromTo(0, u64::MAX), ByteRange::From(10), ByteRange::Last(0)];
        assert!(empty.iter().all(|range| range.within(10).is_none()));
        assert_eq!(ByteRange::Last(1).within(0), None);
    }

    #[tokio::test]
    async fn parts_are_of_one_size_but_for_the_last() {
        let mut incoming = Incoming::new(chunks(&[700_000, 1, 0, 299_999]), 1_000_000);
        let mut sizes = Vec::new();
        loop {
            let (part, last) = incoming.part(400_000).await.unwrap();
            sizes.push(part.len());
            if last {
                break;
            }
        }
        assert_eq!(sizes, [400_000, 400_000, 200_000]);
        assert_eq!(incoming.finish(), Put { size: 1_000_000, digest: Digest::of(&vec![b'x'; 1_000_000]) });
    }

    #[tokio::test]
    async fn too_much_is_refused_and_a_torn_body_is_told() {
        let error = Incoming::new(chunks(&[6, 6]), 11).part(100).await.unwrap_err();
        assert_eq!(error.http_status(), 413);
        let torn = stream::iter([Err::<Bytes, _>(std::io::Error::other("reset"))]);
        assert_eq!(Incoming::new(torn, 11).next().await.unwrap_err().http_status(), 400);
        let away = Error::Unavailable { message: "away".into(), source: None };
        let away = stream::iter([Err::<Bytes, _>(away)]);
        assert_eq!(Incoming::new(away, 11).next().await.unwrap_err().http_status(), 503);
    }
}
