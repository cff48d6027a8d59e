//! Lists as they are sent: short ones whole, long ones as they are read, so that the server holds a page and not the list.

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::response::Response;
use futures::stream;
use mcplane_core::{Error, Result};

use super::represent::Representation;
use crate::service::{Listed, Pages};

/// Lists up to about so many bytes are sent whole, with their length.
const SHORT: usize = 256 << 10;

/// A list that is in memory.
pub(super) fn whole(show: &Representation<'_>, listed: &Listed) -> Result<Response> {
    let mut text = String::with_capacity(listed.items.iter().map(|item| item.body.len() + 64).sum::<usize>() + 256);
    show.begin_list(&mut text, listed)?;
    show.list_items(&mut text, &listed.items, true)?;
    show.end_list(&mut text, listed.items.is_empty());
    show.stream(StatusCode::OK, text.into())
}

/// A list that is yet to be read. As long as nothing is sent, an error is answered as one. Afterwards all that is left is
/// to break the connection off, so that nobody takes a part for the whole.
pub(super) async fn paged(show: Representation<'static>, mut pages: Pages) -> Result<Response> {
    let mut page = pages.next().await?;
    let mut text = String::new();
    show.begin_list(&mut text, &Listed { revision: pages.revision(), ..Listed::default() })?;
    let mut first = true;
    while let Some(items) = page.take() {
        show.list_items(&mut text, &items, first)?;
        first = false;
        if text.len() > SHORT {
            let head = stream::iter([Ok(Bytes::from(text))]);
            let rest = stream::try_unfold(Some((show.clone(), pages)), |state| async move {
                let Some((show, mut pages)) = state else { return Ok(None) };
                match piece(&show, &mut pages).await {
                    Ok((text, more)) => Ok(Some((Bytes::from(text), more.then_some((show, pages))))),
                    Err(error) => {
                        tracing::warn!(?error, "a list broke off");
                        Err(error)
                    }
                }
            });
            return show.stream(StatusCode::OK, Body::from_stream(futures::StreamExt::chain(head, rest)));
        }
        page = pages.next().await?;
    }
    show.end_list(&mut text, first);
    show.stream(StatusCode::OK, text.into())
}

/// The next piece of a list of which some has been sent, and whether there is more.
async fn piece(show: &Representation<'_>, pages: &mut Pages) -> Result<(String, bool), Error> {
    let mut text = String::new();
    let items = pages.next().await?;
    match &items {
        Some(items) => show.list_items(&mut text, items, false)?,
        None => show.end_list(&mut text, false),
    }
    Ok((text, items.is_some()))
}
