//! The one public error. Each protocol adapter maps it exactly once (see the `kube` door for Kubernetes' `Status`).
//!
//! What a caller may read is in the variant; what only the operator may read is the `source` of [`Error::Internal`]
//! and [`Error::Unavailable`], which adapters log and never send.

use std::fmt;

/// Result of a service.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, in terms of the caller's request. The HTTP status of each variant is in its documentation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request can't be understood (400).
    #[error("{0}")]
    BadRequest(String),
    /// Nobody, or somebody with a bad credential, called (401).
    #[error("{0}")]
    Unauthorized(String),
    /// The caller is known and may not do this (403).
    #[error("{message}")]
    Forbidden {
        /// What the caller tried to touch.
        subject: Subject,
        /// Whole sentence for the caller.
        message: String,
    },
    /// There is no such thing, or the caller may not know of it (404).
    #[error("{0} not found")]
    NotFound(Subject),
    /// The path leads nowhere (404).
    #[error("the server could not find the requested resource")]
    NoSuchPath,
    /// The verb does not exist for this resource (405).
    #[error("{0}")]
    MethodNotAllowed(String),
    /// No representation that the client accepts (406).
    #[error("{0}")]
    NotAcceptable(String),
    /// A thing of that name exists (409, `AlreadyExists`).
    #[error("{0} already exists")]
    AlreadyExists(Subject),
    /// The thing changed since the caller read it, or a precondition failed (409, `Conflict`).
    #[error("Operation cannot be fulfilled on {subject}: {message}")]
    Conflict {
        /// What was to be changed.
        subject: Subject,
        /// Which precondition failed.
        message: String,
    },
    /// There is no such thing, in the words of a protocol whose clients know them (404).
    #[error("{0}")]
    Missing(String),
    /// A thing of that name exists, in the words of a protocol whose clients know them (409).
    #[error("{0}")]
    Exists(String),
    /// The thing is in a state that does not allow the request, whoever asks (409).
    #[error("{0}")]
    WrongState(String),
    /// The request is understood, and nothing here can do it (501).
    #[error("{0}")]
    Unsupported(String),
    /// The history that the request needs has been compacted (410, `Expired`).
    #[error("{0}")]
    Expired(String),
    /// The body is larger than the limit (413).
    #[error("{0}")]
    TooLarge(String),
    /// The body is in a format that this resource does not take (415).
    #[error("{0}")]
    UnsupportedMediaType(String),
    /// The object breaks rules of its kind (422).
    #[error("{subject} is invalid: {}", DisplayCauses(.causes))]
    Invalid {
        /// The object.
        subject: Subject,
        /// Every rule that it breaks.
        causes: Vec<FieldError>,
    },
    /// The caller must slow down (429).
    #[error("{message}")]
    TooManyRequests {
        /// Whole sentence for the caller.
        message: String,
        /// Seconds after which a retry makes sense.
        retry_after_s: u32,
    },
    /// Something that the server needs is away; a retry may help (503).
    #[error("{message}")]
    Unavailable {
        /// Whole sentence for the caller.
        message: String,
        /// For the log only.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// It took too long (504).
    #[error("{0}")]
    Timeout(String),
    /// A fault of the server (500). Callers see a fixed sentence.
    #[error("internal error")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// [`Error::BadRequest`] with a message.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::BadRequest(message.into())
    }

    /// [`Error::Internal`] from anything that explains itself; the explanation reaches the log only.
    pub fn internal(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(source.into())
    }

    /// [`Error::Invalid`] with a single cause.
    pub fn invalid(subject: Subject, cause: FieldError) -> Self {
        Self::Invalid { subject, causes: vec![cause] }
    }

    /// The HTTP status of the variant.
    pub fn http_status(&self) -> u16 {
        match self {
            Self::BadRequest(_) => 400,
            Self::Unauthorized(_) => 401,
            Self::Forbidden { .. } => 403,
            Self::NotFound(_) | Self::Missing(_) | Self::NoSuchPath => 404,
            Self::MethodNotAllowed(_) => 405,
            Self::NotAcceptable(_) => 406,
            Self::AlreadyExists(_) | Self::Exists(_) | Self::Conflict { .. } | Self::WrongState(_) => 409,
            Self::Expired(_) => 410,
            Self::TooLarge(_) => 413,
            Self::UnsupportedMediaType(_) => 415,
            Self::Invalid { .. } => 422,
            Self::TooManyRequests { .. } => 429,
            Self::Internal(_) => 500,
            Self::Unsupported(_) => 501,
            Self::Unavailable { .. } => 503,
            Self::Timeout(_) => 504,
        }
    }
}

/// A thing that an error speaks of: `configmaps "a"`, `roles.rbac.authorization.k8s.io "b"`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    /// API group; empty for the core group and for things outside the object API.
    pub group: String,
    /// Plural resource name (`configmaps`), or the kind (`ConfigMap`) in validation errors.
    pub resource: String,
    /// Object name; empty when the error speaks of the whole collection.
    pub name: String,
}

impl Subject {
    /// A subject.
    pub fn new(group: impl Into<String>, resource: impl Into<String>, name: impl Into<String>) -> Self {
        Self { group: group.into(), resource: resource.into(), name: name.into() }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.resource)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        if !self.name.is_empty() {
            write!(f, " {:?}", self.name)?;
        }
        Ok(())
    }
}

/// One broken rule, in the wording of Kubernetes' field errors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// Path of the field, such as `spec.hard[requests.cpu]`.
    pub field: String,
    /// Which rule.
    pub reason: FieldReason,
    /// The rest of the sentence.
    pub detail: String,
    /// The offending value as JSON text, when it may be shown.
    pub value: Option<String>,
}

/// Kubernetes' causes of an invalid field; see `ErrorType` in apimachinery's `field` package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldReason {
    /// A field must be given.
    Required,
    /// A value is malformed.
    Invalid,
    /// A value is not one of those supported.
    NotSupported,
    /// A value occurs twice where it may occur once.
    Duplicate,
    /// A field may not be set or changed here.
    Forbidden,
    /// A string is too long.
    TooLong,
    /// A list is too long.
    TooMany,
    /// A value has the wrong JSON type.
    TypeInvalid,
    /// A thing that the field names does not exist.
    NotFound,
}

impl FieldReason {
    /// The `reason` of a `StatusCause`.
    pub fn cause(self) -> &'static str {
        match self {
            Self::Required => "FieldValueRequired",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::TypeInvalid => "FieldValueTypeInvalid",
            Self::NotFound => "FieldValueNotFound",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Required => "Required value",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Duplicate => "Duplicate value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::NotFound => "Not found",
        }
    }
}

impl FieldError {
    /// An error without a value.
    pub fn new(field: impl Into<String>, reason: FieldReason, detail: impl Into<String>) -> Self {
        Self { field: field.into(), reason, detail: detail.into(), value: None }
    }

    /// `field: Required value: detail`.
    pub fn required(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(field, FieldReason::Required, detail)
    }

    /// `field: Invalid value: "value": detail`.
    pub fn invalid(field: impl Into<String>, value: impl Into<serde_json::Value>, detail: impl Into<String>) -> Self {
        Self::new(field, FieldReason::Invalid, detail).with_value(value)
    }

    /// `field: Forbidden: detail`.
    pub fn forbidden(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(field, FieldReason::Forbidden, detail)
    }

    /// `field: Unsupported value: "value": supported values: "a", "b"`.
    pub fn not_supported(field: impl Into<String>, value: impl Into<serde_json::Value>, supported: &[&str]) -> Self {
        let list: Vec<String> = supported.iter().map(|s| format!("{s:?}")).collect();
        let detail = format!("supported values: {}", list.join(", "));
        Self::new(field, FieldReason::NotSupported, detail).with_value(value)
    }

    /// Adds the offending value, cut to a length that fits a message.
    pub fn with_value(mut self, value: impl Into<serde_json::Value>) -> Self {
        const LONGEST: usize = 256;
        let mut text = value.into().to_string();
        if text.len() > LONGEST {
            let end = (0..=LONGEST).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
            text.truncate(end);
            text.push('…');
        }
        self.value = Some(text);
        self
    }

    /// The sentence without the field's path, as a `StatusCause` carries it.
    pub fn message(&self) -> String {
        let mut text = self.reason.words().to_owned();
        for part in [self.value.as_deref().unwrap_or(""), self.detail.as_str()] {
            if !part.is_empty() {
                text.push_str(": ");
                text.push_str(part);
            }
        }
        text
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message())
    }
}

/// Causes of one error that are told; nobody reads more, and a body can be made to have hundreds of thousands.
pub const MOST_CAUSES: usize = 100;

struct DisplayCauses<'a>(&'a [FieldError]);

impl fmt::Display for DisplayCauses<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [one] => one.fmt(f),
            many => {
                let mut list: Vec<String> = many.iter().take(MOST_CAUSES).map(ToString::to_string).collect();
                if many.len() > MOST_CAUSES {
                    list.push(format!("and {} more", many.len() - MOST_CAUSES));
                }
                write!(f, "[{}]", list.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_reads_like_kubernetes() {
        let error = Error::invalid(
            Subject::new("", "ConfigMap", "A"),
            FieldError::invalid("metadata.name", "A", "must be lower case"),
        );
        assert_eq!(
            error.to_string(),
            "ConfigMap \"A\" is invalid: metadata.name: Invalid value: \"A\": must be lower case"
        );
        assert_eq!(error.http_status(), 422);
    }

    #[test]
    fn many_causes_are_counted() {
        let cause = FieldError::required("f", "");
        let message = |count: usize| {
            Error::Invalid { subject: Subject::default(), causes: vec![cause.clone(); count] }.to_string()
        };
        assert!(message(MOST_CAUSES).ends_with(", f: Required value]"));
        assert!(message(MOST_CAUSES + 7).ends_with(", and 7 more]") && message(1_000_000).len() < 4096);
    }

    #[test]
    fn long_values_are_cut_at_a_character() {
        let error = FieldError::invalid("f", "ä".repeat(400), "");
        assert!(error.value.is_some_and(|v| v.len() < 270 && v.ends_with('…')));
    }
}
