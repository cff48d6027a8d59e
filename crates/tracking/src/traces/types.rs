//! What a trace is.

use jiff::SignedDuration;
use jiff::Timestamp;
use mcplane_core::Result;

use super::assessments::Assessment;
use crate::experiments::ExperimentId;
use crate::tags::Tag;

/// Tag with the name of a trace.
pub(crate) const NAME_TAG: &str = "mlflow.traceName";
/// Tag that says where the spans are.
pub(crate) const LOCATION_TAG: &str = "mlflow.trace.spansLocation";
/// Value of [`LOCATION_TAG`] for spans that are in the store.
pub(crate) const IN_STORE: &str = "TRACKING_STORE";
/// Tag with the URI below which files of the trace lie.
pub(crate) const ARTIFACTS_TAG: &str = "mlflow.artifactLocation";
/// Metadata: the session that the trace belongs to.
pub(crate) const SESSION: &str = "mlflow.trace.session";
/// Metadata: the user on whose behalf the application worked.
pub(crate) const USER: &str = "mlflow.trace.user";
/// Metadata: tokens that were used.
pub(crate) const USAGE: &str = "mlflow.trace.tokenUsage";
/// Metadata: what they cost.
pub(crate) const COST: &str = "mlflow.trace.cost";
/// Metadata: the run during which the trace was made.
pub(crate) const SOURCE_RUN: &str = "mlflow.sourceRun";
/// Metadata: the client has told all that it knows; spans that come later don't change it.
pub(crate) const FINALIZED: &str = "mlflow.trace.infoFinalized";
/// Metadata: how many spans the client will send.
pub(crate) const SIZE_STATS: &str = "mlflow.trace.sizeStats";

/// How a trace ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TraceState {
    /// Nobody said.
    Unspecified = 0,
    /// Well.
    Ok = 1,
    /// With an error.
    Error = 2,
    /// It has not.
    InProgress = 3,
}

impl TraceState {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Unspecified, "STATE_UNSPECIFIED"),
        (Self::Ok, "OK"),
        (Self::Error, "ERROR"),
        (Self::InProgress, "IN_PROGRESS"),
    ];

    /// The state of that name; names that are not known mean nothing.
    pub(crate) fn from_name(name: &str) -> Self {
        Self::ALL.into_iter().find(|(_, known)| *known == name).map_or(Self::Unspecified, |(state, _)| state)
    }

    pub(crate) fn from_number(number: i64) -> Self {
        Self::ALL.into_iter().find(|(state, _)| *state as i64 == number).map_or(Self::Unspecified, |(state, _)| state)
    }

    /// The protocol's name.
    pub fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(state, _)| *state == self).map_or("STATE_UNSPECIFIED", |(_, name)| name)
    }
}

/// A trace without its spans.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceInfo {
    /// The database's own number.
    pub(crate) no: i64,
    /// Unique in the namespace.
    pub id: String,
    /// The experiment.
    pub experiment: ExperimentId,
    /// Milliseconds since the epoch.
    pub requested_at: i64,
    /// Milliseconds.
    pub duration: Option<i64>,
    /// How it ended.
    pub state: TraceState,
    /// The id that the application gave it.
    pub client_request_id: Option<String>,
    /// The beginning of the request.
    pub request_preview: Option<String>,
    /// The beginning of the response.
    pub response_preview: Option<String>,
    /// What does not change; sorted by key.
    pub metadata: Vec<Tag>,
    /// What may change; sorted by key.
    pub tags: Vec<Tag>,
    /// What people, code and models said of it, in the order in which they said it.
    pub assessments: Vec<Assessment>,
}

/// A trace as a client tells of it.
#[derive(Debug, Clone)]
pub struct NewTrace {
    /// The client gives the id.
    pub id: String,
    /// The experiment.
    pub experiment: String,
    /// Milliseconds since the epoch.
    pub requested_at: i64,
    /// Milliseconds.
    pub duration: Option<i64>,
    /// How it ended.
    pub state: TraceState,
    /// The id that the application gave it.
    pub client_request_id: Option<String>,
    /// The beginning of the request.
    pub request_preview: Option<String>,
    /// The beginning of the response.
    pub response_preview: Option<String>,
    /// What does not change.
    pub metadata: Vec<Tag>,
    /// What may change.
    pub tags: Vec<Tag>,
    /// What is said of it already.
    pub assessments: Vec<Assessment>,
}

impl NewTrace {
    /// A trace of which nobody knows yet how it ends.
    pub(crate) fn in_progress(
        id: String,
        experiment: ExperimentId,
        requested_at: i64,
        metadata: Vec<Tag>,
        tags: Vec<Tag>,
    ) -> Self {
        Self {
            id,
            experiment: experiment.to_string(),
            requested_at,
            duration: None,
            state: TraceState::InProgress,
            client_request_id: None,
            request_preview: None,
            response_preview: None,
            metadata,
            tags,
            assessments: vec![],
        }
    }
}

/// The value of a key.
pub(crate) fn value_of<'t>(tags: &'t [Tag], key: &str) -> Option<&'t str> {
    tags.iter().find(|tag| tag.key == key).map(|tag| tag.value.as_str())
}

/// A moment in the protocol's form: as many decimals as it needs, by threes.
pub(crate) fn moment(at: i64) -> String {
    let moment = Timestamp::from_millisecond(at).unwrap_or(Timestamp::UNIX_EPOCH);
    if at % 1000 == 0 { format!("{moment:.0}") } else { format!("{moment:.3}") }
}

/// Reads a moment.
pub(crate) fn parse_moment(text: &str) -> Option<i64> {
    let moment: Timestamp = text.parse().ok()?;
    Some(moment.as_nanosecond().div_euclid(1_000_000)).and_then(|ms| i64::try_from(ms).ok())
}

/// A duration in the protocol's form, such as `1.500s`.
pub(crate) fn duration(ms: i64) -> String {
    let sign = if ms < 0 { "-" } else { "" };
    let ms = ms.unsigned_abs();
    match ms % 1000 {
        0 => format!("{sign}{}s", ms / 1000),
        rest => format!("{sign}{}.{rest:03}s", ms / 1000),
    }
}

/// Reads a duration.
pub(crate) fn parse_duration(text: &str) -> Option<i64> {
    let seconds: f64 = text.strip_suffix('s')?.parse().ok()?;
    // Durations of the protocol are bounded to about 10 000 years.
    let duration = (seconds.abs() < 3.2e11).then(|| SignedDuration::try_from_secs_f64(seconds).ok())??;
    // A float is off by some nanoseconds; a millisecond is what counts.
    i64::try_from((duration.as_nanos() + 500).div_euclid(1_000_000)).ok()
}

/// The run, version or session that a text names must be something that databases take.
pub(crate) fn check_texts<'t>(texts: impl IntoIterator<Item = &'t str>) -> Result<()> {
    texts.into_iter().try_for_each(crate::tags::check_text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_the_protocol_does() {
        for (ms, text) in [
            (1_795_378_760_001, "2026-11-22T20:19:20.001Z"),
            (1_795_378_760_000, "2026-11-22T20:19:20Z"),
            (0, "1970-01-01T00:00:00Z"),
        ] {
            assert_eq!(moment(ms), text);
            assert_eq!(parse_moment(text), Some(ms));
        }
        assert_eq!(parse_moment("2026-11-22T22:19:20.123456789+02:00"), Some(1_795_378_760_123));
        assert_eq!(parse_moment("garbage"), None);
        for (ms, text) in [(84, "0.084s"), (1000, "1s"), (0, "0s"), (61_500, "61.500s"), (-1500, "-1.500s")] {
            assert_eq!(duration(ms), text);
            assert_eq!(parse_duration(text), Some(ms));
        }
        for bad in ["", "s", "1", "NaNs", "1e300s", "infs"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }
}
