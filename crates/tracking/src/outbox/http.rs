//! `/tracking/v1/namespaces/{namespace}/dead-letters`, for those who may change webhooks: what messages say, and where they
//! should have gone, is theirs.

use mcplane_core::Error;
use serde::Serialize;

use super::DeadLetter;
use crate::mlflow::{Answer, Call, Dialect, reply};
use crate::scope::WEBHOOKS;

pub(crate) fn routes(dialect: Dialect) -> Dialect {
    const ROOT: &str = "/tracking/v1/namespaces/{namespace}/dead-letters";
    dialect.plain(ROOT, WEBHOOKS.to("list"), list).plain_post(&format!("{ROOT}/replay"), WEBHOOKS.to("update"), replay)
}

#[derive(Serialize)]
struct Listed {
    items: Vec<DeadLetter>,
    #[serde(rename = "continue", skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

async fn list(Call { door, grant, fields }: Call) -> Answer {
    let receiver = fields.optional_text("receiver")?;
    let (limit, token) = (fields.optional_int("limit")?, fields.text("continue")?);
    let (items, next) = door.tracking.dead_letters(&grant, receiver, limit, token).await?;
    reply(&Listed { items, next })
}

#[derive(Serialize)]
struct Replayed {
    replayed: u64,
}

async fn replay(Call { door, grant, fields }: Call) -> Answer {
    let ids = match (fields.has("ids"), fields.flag("all")?) {
        (true, false) => Some(fields.texts("ids")?.into_iter().map(str::to_owned).collect()),
        (false, true) => None,
        _ => return Err(Error::bad_request("say which messages: a list of ids, or all").into()),
    };
    reply(&Replayed { replayed: door.tracking.replay(&grant, ids).await? })
}
