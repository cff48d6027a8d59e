//! What the audit log says of requests.

use mcplane_core::authz::{Attributes, Target};
use mcplane_core::{Context, Error, FieldError, Grant, Result};
use mcplane_db::{Db, audit::Entry};

/// Fields that an entry names.
const MOST_FIELDS: usize = 10;

/// The entry for an authorised request.
pub fn entry(grant: &Grant, verb: &str, name: &str, outcome: &str, code: i64, detail: &str) -> Entry {
    let mut entry = describe(grant.context(), grant.attributes(), outcome, code, detail);
    verb.clone_into(&mut entry.verb);
    if !name.is_empty() {
        name.clone_into(&mut entry.name);
    }
    entry
}

/// The entry for any request.
pub fn describe(context: &Context, attributes: &Attributes, outcome: &str, code: i64, detail: &str) -> Entry {
    let mut entry = Entry {
        actor: context.caller.name.clone(),
        verb: attributes.verb.to_string(),
        outcome: outcome.to_owned(),
        code,
        trace: context.trace.to_string(),
        source: context.source.clone(),
        detail: detail.to_owned(),
        ..Entry::default()
    };
    match &attributes.target {
        Target::Path(path) => entry.resource.clone_from(path),
        Target::Resource { group, resource, subresource, namespace, name } => {
            entry.resource = match (group.as_str(), subresource.as_str()) {
                ("", "") => resource.clone(),
                (group, "") => format!("{resource}.{group}"),
                ("", sub) => format!("{resource}/{sub}"),
                (group, sub) => format!("{resource}.{group}/{sub}"),
            };
            entry.namespace.clone_from(namespace);
            entry.name.clone_from(name);
        }
    }
    entry
}

/// Records a request that was refused, or a change that failed; reads that fail for other reasons are not recorded.
pub async fn record_failure(db: &Db, context: &Context, attributes: &Attributes, error: &Error) -> Result<()> {
    let reads = matches!(&*attributes.verb, "get" | "list" | "watch");
    let outcome = match error {
        // Nobody in particular, so there is nobody to name; the metrics count them.
        Error::Unauthorized(_) => return Ok(()),
        Error::Forbidden { .. } => "denied",
        _ if reads => return Ok(()),
        _ => "failed",
    };
    let entry = describe(context, attributes, outcome, i64::from(error.http_status()), &reason(error));
    db.write(move |tx| {
        Box::pin(async move {
            tx.audit(entry);
            Ok(())
        })
    })
    .await
}

/// What the log keeps of an error: entries are for ever and what a client sent may be a secret, so nothing that quotes it.
fn reason(error: &Error) -> String {
    match error {
        Error::BadRequest(_) => "the request could not be understood".to_owned(),
        Error::Invalid { subject, causes } => {
            let fields: Vec<String> = causes
                .iter()
                .take(MOST_FIELDS)
                .map(|cause| FieldError::new(cause.field.as_str(), cause.reason, "").to_string())
                .collect();
            format!("{subject} is invalid: {}", fields.join(", "))
        }
        other => other.to_string(),
    }
}
