//! Lists, whole or page by page, all pages true at one revision.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mcplane_core::{Error, Grant, Result};
use mcplane_db::Revision;
use serde::{Deserialize, Serialize};

use super::{Call, Objects};
use crate::selection::Selection;
use crate::storage::{Range, Stored};

/// Objects that one query brings while a selection is filtered.
const CHUNK: usize = 500;

/// What `resourceVersion` of a list means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VersionMatch {
    /// At least as new as that.
    #[default]
    NotOlderThan,
    /// Exactly as it was then.
    Exact,
}

/// Options of lists.
#[derive(Debug, Clone, Default)]
pub struct ListOptions {
    /// Label selector.
    pub label_selector: String,
    /// Field selector.
    pub field_selector: String,
    /// At most so many objects; 0 for all.
    pub limit: usize,
    /// Where a list that had more goes on.
    pub continue_token: String,
    /// Revision, with the meaning of `version_match`; `None` for now.
    pub resource_version: Option<Revision>,
    /// Meaning of `resource_version`.
    pub version_match: VersionMatch,
}

/// A list.
#[derive(Debug, Clone, Default)]
pub struct Listed {
    /// Objects in the order of namespace and name.
    pub items: Vec<Stored>,
    /// The revision at which the list is true, and from which a watch goes on.
    pub revision: Revision,
    /// How to get the next page, if there is one.
    pub continue_token: Option<String>,
    /// How many objects come after this page, where that is known.
    pub remaining: Option<i64>,
}

/// What a continue token holds.
#[derive(Debug, Serialize, Deserialize)]
struct Token {
    /// The revision of all pages.
    at: Revision,
    /// Namespace and name of the last object seen.
    after: (String, String),
    /// Objects that remain, where that is known.
    left: Option<i64>,
}

impl Objects {
    /// The objects that the grant and the options select.
    ///
    /// # Errors
    /// `BadRequest` for malformed options; `Expired` when a page's revision is compacted; `Timeout` when a revision of the
    /// future is asked for.
    pub async fn list(&self, grant: &Grant, version: &str, options: &ListOptions) -> Result<Listed> {
        let call = self.call(grant, version)?;
        let selection = Selection::parse(call.kind, &options.label_selector, &options.field_selector)?;
        let token = Token::parse(&options.continue_token, self.db().feed().revision())?;
        let mut range = Range { namespace: call.namespace.to_owned(), ..Range::default() };
        // The grant's name goes first: a selector may narrow what was granted, never replace it.
        let name = Some(call.name).filter(|name| !name.is_empty()).or(selection.name());
        name.unwrap_or("").clone_into(&mut range.name);
        if let Some(namespace) = selection.namespace().filter(|_| range.namespace.is_empty()) {
            namespace.clone_into(&mut range.namespace);
        }
        if !is_storable(&range.name) || !is_storable(&range.namespace) {
            return Ok(Listed { revision: self.db().feed().revision(), ..Listed::default() });
        }
        let left = token.as_ref().and_then(|token| token.left);
        match token {
            Some(_) if options.resource_version.is_some_and(|revision| revision != 0) => {
                return Err(Error::bad_request("specifying resource version is not allowed when using continue"));
            }
            Some(token) => (range.at, range.after) = (Some(token.at), Some(token.after)),
            None => range.at = self.revision_asked(options)?,
        }
        let mut listed = self.pages(&call, &selection, range, options.limit).await?;
        if let Some(last) = listed.items.last().filter(|_| listed.continue_token.is_some()) {
            let after = (last.namespace.to_string(), last.name.to_string());
            listed.remaining = self.remaining(&call, &selection, left, listed.items.len()).await?;
            listed.continue_token = Some(Token { at: listed.revision, after, left: listed.remaining }.encode()?);
        }
        Ok(listed)
    }

    /// The past revision to list at; `None` for the present.
    fn revision_asked(&self, options: &ListOptions) -> Result<Option<Revision>> {
        let Some(wanted) = options.resource_version else { return Ok(None) };
        let current = self.db().feed().revision();
        if wanted > current {
            return Err(Error::Timeout(format!("Too large resource version: {wanted}, current: {current}")));
        }
        Ok((options.version_match == VersionMatch::Exact).then_some(wanted))
    }

    /// Reads until `limit` objects are selected or the range ends. `continue_token` of the result only tells whether
    /// there is more.
    async fn pages(&self, call: &Call<'_>, selection: &Selection, mut range: Range, limit: usize) -> Result<Listed> {
        let mut listed = Listed::default();
        loop {
            range.limit = match (selection.is_empty(), limit) {
                (true, limit) => limit,
                (false, _) => CHUNK,
            };
            let page = call.kind.storage.list(call.kind.resource(), range.clone()).await?;
            listed.revision = page.revision;
            // All further pages must agree with the first.
            range.at = Some(page.revision);
            range.after = page.items.last().map(|last| (last.namespace.to_string(), last.name.to_string()));
            let mut items = page.items.into_iter();
            for item in items.by_ref() {
                if selection.matches(&item.body)? {
                    listed.items.push(item);
                    if limit > 0 && listed.items.len() == limit {
                        break;
                    }
                }
            }
            let full = limit > 0 && listed.items.len() == limit;
            let more = page.more || items.next().is_some();
            if full || !more {
                listed.continue_token = (full && more).then(String::new);
                return Ok(listed);
            }
        }
    }

    /// How many objects come after a page; unknown when a selector picks some.
    async fn remaining(
        &self,
        call: &Call<'_>,
        selection: &Selection,
        left: Option<i64>,
        shown: usize,
    ) -> Result<Option<i64>> {
        if !selection.is_empty() {
            return Ok(None);
        }
        let before = match left {
            Some(left) => left,
            None => call.kind.storage.count(call.kind.resource(), call.namespace).await?,
        };
        Ok(Some(before.saturating_sub(shown as i64).max(1)))
    }
}

/// PostgreSQL has no NUL in texts, and so has no name.
fn is_storable(text: &str) -> bool {
    !text.contains('\0')
}

impl Token {
    /// Reads what a client may have made up; `current` is the newest revision.
    fn parse(text: &str, current: Revision) -> Result<Option<Self>> {
        if text.is_empty() {
            return Ok(None);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok();
        let token = bytes.and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok());
        let sound = |token: &Self| token.at <= current && is_storable(&token.after.0) && is_storable(&token.after.1);
        token.filter(sound).map(Some).ok_or_else(|| Error::bad_request("continue key is not valid"))
    }

    fn encode(&self) -> Result<String> {
        serde_json::to_vec(self).map(|bytes| URL_SAFE_NO_PAD.encode(bytes)).map_err(Error::internal)
    }
}
