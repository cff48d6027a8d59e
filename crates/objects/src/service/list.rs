//! Lists, whole or page by page, all pages true at one revision.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mcplane_core::{Error, Grant, Result};
use mcplane_db::{Db, Revision};
use serde::{Deserialize, Serialize};

use super::Objects;
use crate::kind::RegisteredKind;
use crate::selection::Selection;
use crate::storage::{Past, Range, Stored};

/// Objects that the first query of a list brings, before it is known how large they are.
const FIRST_ROWS: usize = 100;
/// Objects that any query of a list brings at most, and about how many bytes of them.
const MOST_ROWS: usize = 500;
const PAGE_BYTES: usize = 512 << 10;

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

/// A list under way, read page by page, all true at one revision; between two pages it holds nothing of the database.
#[derive(Debug)]
pub struct Pages {
    db: Db,
    kind: Arc<RegisteredKind>,
    selection: Selection,
    range: Range,
    /// What makes pages agree with each other; `None` before the first page of the present.
    past: Option<Past>,
    /// Objects that the next query is to bring.
    rows: usize,
    over: bool,
}

impl Objects {
    /// The objects that the grant and the options select.
    ///
    /// # Errors
    /// `BadRequest` for malformed options; `Expired` when a page's revision is compacted; `Timeout` when a revision of the
    /// future is asked for.
    pub async fn list(&self, grant: &Grant, version: &str, options: &ListOptions) -> Result<Listed> {
        let (mut pages, left) = self.open_pages(grant, version, options)?;
        let mut items: Vec<Stored> = Vec::new();
        let more = loop {
            let wanted = match options.limit {
                0 => usize::MAX,
                limit => limit - items.len(),
            };
            if wanted == 0 || pages.over {
                break !pages.over;
            }
            let page = pages.read(wanted).await?;
            let rest = page.len().saturating_sub(wanted);
            items.extend(page.into_iter().take(wanted));
            if rest > 0 {
                break true;
            }
        };
        let mut listed = Listed { items, revision: pages.revision(), continue_token: None, remaining: None };
        if let Some(last) = listed.items.last().filter(|_| more) {
            let after = (last.namespace.to_string(), last.name.to_string());
            listed.remaining = self.remaining(&pages, left, listed.items.len()).await?;
            listed.continue_token = Some(Token { at: listed.revision, after, left: listed.remaining }.encode()?);
        }
        Ok(listed)
    }

    /// The objects that the grant and the options select, in pages of a bounded size; the options' limit does not matter.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub fn pages(&self, grant: &Grant, version: &str, options: &ListOptions) -> Result<Pages> {
        self.open_pages(grant, version, options).map(|(pages, _)| pages)
    }

    /// The pages, and how many objects the continue token says they hold.
    fn open_pages(&self, grant: &Grant, version: &str, options: &ListOptions) -> Result<(Pages, Option<i64>)> {
        let call = self.call(grant, version)?;
        let selection = Selection::parse(call.kind, &options.label_selector, &options.field_selector)?;
        let current = self.db().feed().revision();
        let token = Token::parse(&options.continue_token, current)?;
        let mut range = Range { namespace: call.namespace.to_owned(), ..Range::default() };
        // The grant's name goes first: a selector may narrow what was granted, never replace it.
        let name = Some(call.name).filter(|name| !name.is_empty()).or(selection.name());
        name.unwrap_or("").clone_into(&mut range.name);
        if let Some(namespace) = selection.namespace().filter(|_| range.namespace.is_empty()) {
            namespace.clone_into(&mut range.namespace);
        }
        let over = !is_storable(&range.name) || !is_storable(&range.namespace);
        let left = token.as_ref().and_then(|token| token.left);
        let at = match token {
            _ if over => Some(current),
            Some(_) if options.resource_version.is_some_and(|revision| revision != 0) => {
                return Err(Error::bad_request("specifying resource version is not allowed when using continue"));
            }
            Some(token) => {
                range.after = Some(token.after);
                Some(token.at)
            }
            None => self.revision_asked(options)?,
        };
        let past = at.map(|at| Past::new(self.db().clone(), at));
        let (db, kind) = (self.db().clone(), Arc::clone(call.kind));
        Ok((Pages { db, kind, selection, range, past, rows: FIRST_ROWS, over }, left))
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

    /// How many objects come after a page; unknown when a selector picks some.
    async fn remaining(&self, pages: &Pages, left: Option<i64>, shown: usize) -> Result<Option<i64>> {
        if !pages.selection.is_empty() {
            return Ok(None);
        }
        let before = match left {
            Some(left) => left,
            None => pages.kind.storage.count(pages.kind.resource(), &pages.range.namespace).await?,
        };
        Ok(Some(before.saturating_sub(shown as i64).max(1)))
    }
}

impl Pages {
    /// The revision of all pages; 0 as long as the first has not been read.
    pub fn revision(&self) -> Revision {
        self.past.as_ref().map_or(0, Past::revision)
    }

    /// The next objects, at least one; `None` when there are no more.
    ///
    /// # Errors
    /// `Expired` when compaction overtook the reader.
    pub async fn next(&mut self) -> Result<Option<Vec<Stored>>> {
        while !self.over {
            let page = self.read(usize::MAX).await?;
            if !page.is_empty() {
                return Ok(Some(page));
            }
        }
        Ok(None)
    }

    /// What one query finds, perhaps nothing. More than `wanted` are not needed, but may come.
    async fn read(&mut self, wanted: usize) -> Result<Vec<Stored>> {
        let (storage, resource) = (&*self.kind.storage, self.kind.resource());
        self.range.limit = if self.selection.is_empty() { self.rows.min(wanted) } else { self.rows };
        let (mut items, more) = match &mut self.past {
            Some(past) => past.page(storage, resource, &mut self.range).await?,
            None => {
                let page = storage.list(resource, self.range.clone()).await?;
                self.past = Some(Past::new(self.db.clone(), page.revision));
                self.range.after = page.items.last().map(|last| (last.namespace.to_string(), last.name.to_string()));
                (page.items, page.more)
            }
        };
        self.over = !more;
        let bytes: usize = items.iter().map(|item| item.body.len()).sum();
        // The next objects are likely to be about as large as these.
        if let Some(rows) = (items.len() * PAGE_BYTES).checked_div(bytes) {
            self.rows = rows.clamp(1, MOST_ROWS);
        }
        if !self.selection.is_empty() {
            let selected = |item: &Stored| self.selection.matches(&item.body);
            let verdicts = items.iter().map(selected).collect::<Result<Vec<_>>>()?;
            let mut verdicts = verdicts.into_iter();
            items.retain(|_| verdicts.next().unwrap_or(false));
        }
        Ok(items)
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
