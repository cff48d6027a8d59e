//! The rules of decisions.

use mcplane_core::{Error, Grant, Result, Timestamp, clock};
use mcplane_objects::audit;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::decide::{Evaluation, Verdict, decide};
use super::spec::Policy;
use super::store::{self, Filter};
use crate::data::Data;

/// Decisions of a page.
const MOST_LISTED: i64 = 1000;
/// Characters of a model's name, of a version and of a reason.
const LONGEST: usize = 1000;

/// What is to be decided, as clients send it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewDecision {
    /// The gate's name.
    pub gate: String,
    /// The model's name.
    pub model: String,
    /// Its version.
    pub version: String,
    /// What was measured.
    pub evaluation: Evaluation,
}

/// A decision that is kept, with everything that led to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// Its place among all.
    pub no: i64,
    /// Its id.
    pub id: String,
    /// Where it is.
    pub namespace: String,
    /// The gate's name.
    pub gate: String,
    /// The model's name.
    pub model: String,
    /// Its version.
    pub version: String,
    /// What was decided.
    pub verdict: Verdict,
    /// By what policy.
    pub policy: Policy,
    /// From what numbers.
    pub evaluation: Evaluation,
    /// Why, in sentences.
    pub reasons: Vec<String>,
    /// Who asked.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// An operator's word against it.
    pub overridden: Option<Override>,
}

/// An operator's word against a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
}

impl Decision {
    /// Whether the version may go on, as far as this gate is asked.
    pub fn lets_on(&self) -> bool {
        self.verdict == Verdict::Pass || self.overridden.is_some()
    }
}

/// Whether a version may be deployed, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Deployable {
    /// It may.
    pub allowed: bool,
    /// A sentence for each gate, or for their absence.
    pub reasons: Vec<String>,
}

impl Data {
    /// Decides on a version by a gate that is there, and keeps the decision.
    ///
    /// # Errors
    /// `NotFound` for the gate, `BadRequest` for what can't be.
    pub async fn decide(&self, grant: &Grant, new: NewDecision) -> Result<Decision> {
        let namespace = grant.namespace()?.to_owned();
        let NewDecision { gate, model, version, evaluation } = new;
        for (field, text) in [("gate", &gate), ("model", &model), ("version", &version)] {
            check_text(field, text)?;
        }
        let object = self.object("gates", &namespace, &gate).await?;
        let policy: Policy = serde_json::from_value(object["spec"].clone()).map_err(Error::internal)?;
        let numbers = evaluation.challenger.values().chain(evaluation.champion.values());
        if numbers.into_iter().any(|number| !number.is_finite()) {
            return Err(Error::bad_request("evaluation: metrics must be finite numbers"));
        }
        let (verdict, reasons) = decide(&policy, &evaluation);
        let decision = Decision {
            no: 0,
            id: uuid::Uuid::new_v4().to_string(),
            namespace: namespace.clone(),
            gate,
            model,
            version,
            verdict,
            policy,
            evaluation,
            reasons,
            created_by: grant.context().caller.name.clone(),
            created_at: 0,
            overridden: None,
        };
        let detail = format!("{} {}: {}", decision.model, decision.version, verdict.name());
        let entry = audit::entry(grant, "create", &decision.gate, "allowed", 201, &detail);
        let (id, row) = (decision.id.clone(), decision.clone());
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    tx.audit(entry);
                    store::insert(tx, &row).await
                })
            })
            .await?;
        let stored = self.decision_of(&namespace, &id).await?;
        if verdict != Verdict::Pass
            && let Err(error) = self.alarm(&stored, &object).await
        {
            tracing::warn!(%error, gate = stored.gate, "nobody could be told of a refusal");
        }
        Ok(stored)
    }

    async fn alarm(&self, decision: &Decision, gate: &Value) -> Result<()> {
        let message = format!("{} {}: {}", decision.model, decision.version, decision.reasons.join("; "));
        let reason = if decision.verdict == Verdict::Refuse { "ModelRefused" } else { "ModelNotProven" };
        self.warning(("Gate", gate), &decision.id, reason, &message, decision.created_at).await
    }

    async fn decision_of(&self, namespace: &str, id: &str) -> Result<Decision> {
        store::get(&self.db, namespace, id).await?.ok_or_else(|| Error::Missing(format!("decision {id:?} not found")))
    }

    /// Decisions of the grant's namespace.
    pub async fn decisions(&self, grant: &Grant, filter: &Filter) -> Result<Vec<Decision>> {
        if !(1..=MOST_LISTED).contains(&filter.limit) {
            return Err(Error::bad_request(format!("limit: must be from 1 to {MOST_LISTED}")));
        }
        store::list(&self.db, grant.namespace()?, filter).await
    }

    /// One decision.
    ///
    /// # Errors
    /// `Missing`.
    pub async fn decision(&self, grant: &Grant, id: &str) -> Result<Decision> {
        self.decision_of(grant.namespace()?, id).await
    }

    /// Lets a version on that a gate did not pass. Says so once, for good, with a reason.
    ///
    /// # Errors
    /// `Missing`, `BadRequest` without a reason, `WrongState` for a decision that passed or was overridden already.
    pub async fn override_decision(&self, grant: &Grant, id: &str, reason: &str) -> Result<Decision> {
        check_text("reason", reason)?;
        let (namespace, id) = (grant.namespace()?.to_owned(), id.to_owned());
        let before = self.decision_of(&namespace, &id).await?;
        let detail = format!("{} {} by gate {}: {reason}", before.model, before.version, before.gate);
        let entry = audit::entry(grant, "override", &id, "allowed", 200, &detail);
        let (by, reason) = (grant.context().caller.name.clone(), reason.to_owned());
        let (at, which) = (namespace.clone(), id.clone());
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    if !store::let_on(tx, &at, &which, &by, &reason).await? {
                        let why = "this decision needs no override: it passed, or somebody overrode it already";
                        return Err(Error::WrongState(why.to_owned()));
                    }
                    tx.audit(entry);
                    Ok(())
                })
            })
            .await?;
        self.decision_of(&namespace, &id).await
    }

    /// Whether a version may be deployed: the newest decision of each of `gates`, or of every gate that decided on it if none is
    /// named, must have passed or be overridden, and there must be one.
    pub async fn may_deploy(&self, grant: &Grant, model: &str, version: &str, gates: &[String]) -> Result<Deployable> {
        let decisions = store::newest(&self.db, grant.namespace()?, model, version).await?;
        let named = |name: &str| gates.is_empty() || gates.iter().any(|gate| gate == name);
        let mut deployable = Deployable { allowed: true, reasons: vec![] };
        for decision in decisions.iter().filter(|decision| named(&decision.gate)) {
            deployable.allowed &= decision.lets_on();
            deployable.reasons.push(match &decision.overridden {
                Some(word) => format!("gate {}: {} lets it on: {}", decision.gate, word.by, word.reason),
                None => {
                    format!(
                        "gate {}: {} ({})",
                        decision.gate,
                        decision.verdict.name(),
                        clock::rfc3339(decision.created_at)
                    )
                }
            });
        }
        for gate in gates.iter().filter(|gate| decisions.iter().all(|decision| decision.gate != **gate)) {
            deployable.allowed = false;
            deployable.reasons.push(format!("gate {gate}: has not decided on it"));
        }
        if deployable.reasons.is_empty() {
            deployable = Deployable { allowed: false, reasons: vec!["no gate has decided on it".to_owned()] };
        }
        Ok(deployable)
    }
}

fn check_text(field: &str, text: &str) -> Result<()> {
    let fits = !text.trim().is_empty() && text.len() <= LONGEST && !text.contains('\0');
    if fits { Ok(()) } else { Err(Error::bad_request(format!("{field}: must be 1 to {LONGEST} bytes of text"))) }
}

/// A decision for clients.
pub(super) fn shown(decision: &Decision) -> Value {
    let mut shown = json!({
        "id": decision.id, "gate": decision.gate, "model": decision.model, "version": decision.version,
        "verdict": decision.verdict, "reasons": decision.reasons, "policy": decision.policy,
        "evaluation": decision.evaluation, "by": decision.created_by, "at": clock::rfc3339(decision.created_at),
    });
    if let Some(Override { by, at, reason }) = &decision.overridden {
        shown["override"] = json!({"by": by, "at": clock::rfc3339(*at), "reason": reason});
    }
    shown
}
