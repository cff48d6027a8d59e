//! Watches as streams of JSON lines.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures::stream;
use mcplane_core::{Error, Result};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::represent::Representation;
use super::status::status;
use crate::service::{Event, Watch};

/// How often a watch that wants them gets bookmarks.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// How long a watch lasts that names no timeout: between one and two of these, so that clients do not return together.
const LIFETIME: Duration = Duration::from_secs(1800);
/// Events are sent in pieces of about this many bytes.
const PIECE: usize = 64 << 10;

struct State {
    show: Representation<'static>,
    watch: Option<Watch>,
    failed: Option<Error>,
    bookmarks: bool,
    next_bookmark: Instant,
    end: Instant,
    stopping: CancellationToken,
    first: bool,
    queue: std::collections::VecDeque<Event>,
}

/// Starts the stream. A watch that could not start because its revision expired tells so as its first event, as
/// Kubernetes does; other errors are answered as errors.
pub(super) fn respond(
    show: Representation<'static>,
    watch: Result<Watch>,
    bookmarks: bool,
    timeout_seconds: Option<u64>,
    stopping: CancellationToken,
) -> Result<Response> {
    let (watch, failed) = match watch {
        Ok(watch) => (Some(watch), None),
        Err(error @ Error::Expired(_)) => (None, Some(error)),
        Err(error) => return Err(error),
    };
    let lifetime = timeout_seconds.map_or_else(|| LIFETIME.mul_f64(1.0 + rand::random::<f64>()), Duration::from_secs);
    // A timeout that does not fit the clock is as good as none.
    let now = Instant::now();
    let end = now.checked_add(lifetime).unwrap_or(now + 2 * LIFETIME);
    let state = State {
        show,
        watch,
        failed,
        bookmarks,
        next_bookmark: now + BOOKMARK_EVERY,
        end,
        stopping,
        first: true,
        queue: std::collections::VecDeque::new(),
    };
    let body = Body::from_stream(stream::unfold(state, |mut state| async move {
        let piece = state.piece().await?;
        Some((Ok::<_, std::convert::Infallible>(piece), state))
    }));
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

impl State {
    /// The next lines; `None` when the watch is over.
    async fn piece(&mut self) -> Option<Bytes> {
        if let Some(error) = self.failed.take() {
            self.watch = None;
            return Some(line("ERROR", &status(&error).to_string()).into());
        }
        if self.queue.is_empty() {
            match self.wait().await? {
                Ok(events) => self.queue.extend(events),
                Err(error) => {
                    self.watch = None;
                    return Some(line("ERROR", &status(&error).to_string()).into());
                }
            }
        }
        let mut text = String::new();
        while text.len() < PIECE
            && let Some(event) = self.queue.pop_front()
        {
            match self.render(&event) {
                Ok(line) => text.push_str(&line),
                Err(error) => {
                    self.failed = Some(error);
                    break;
                }
            }
        }
        Some(text.into())
    }

    async fn wait(&mut self) -> Option<Result<Vec<Event>>> {
        let watch = self.watch.as_mut()?;
        // Asked first: where something always happens, the wait below would never come to its end.
        if self.stopping.is_cancelled() || Instant::now() >= self.end {
            return None;
        }
        let bookmark_at = if self.bookmarks { self.next_bookmark } else { self.end };
        tokio::select! {
            // What has happened goes out before the end does.
            biased;
            events = watch.next() => Some(events),
            () = self.stopping.cancelled() => None,
            () = tokio::time::sleep_until(self.end) => None,
            () = tokio::time::sleep_until(bookmark_at) => {
                self.next_bookmark = Instant::now() + BOOKMARK_EVERY;
                Some(watch.bookmark().await)
            }
        }
    }

    fn render(&mut self, event: &Event) -> Result<String> {
        match event {
            Event::Object(kind, object) => {
                let text = self.show.event(object, self.first)?;
                self.first = false;
                Ok(line((*kind).into(), &text))
            }
            Event::Bookmark { revision, initial_events_end } if self.bookmarks || *initial_events_end => {
                Ok(line("BOOKMARK", &self.show.bookmark(*revision, *initial_events_end)))
            }
            Event::Bookmark { .. } => Ok(String::new()),
        }
    }
}

fn line(event: &str, object: &str) -> String {
    format!("{{\"type\":\"{event}\",\"object\":{object}}}\n")
}
