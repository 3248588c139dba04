//! Why a call failed.

use std::fmt;
use std::time::Duration;

use crate::proto::events::ItemError;
pub use crate::proto::rpc::{Code, FieldViolation};
use crate::proto::rpc::{ErrorDetails, Response};

/// Why a call, or one item of a batch, failed: as the core said it, or as the client found.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Error {
    /// What kind of failure; never [`Code::Ok`].
    pub code: Code,
    /// For programs: stable, `[A-Z0-9_]+`, such as `EVENT_NOT_FOUND`.
    pub reason: String,
    /// For people: what was wrong and what is accepted.
    pub message: String,
    /// The fields of the request at fault.
    pub violations: Vec<FieldViolation>,
    /// How long to wait before trying again, when the core gave advice.
    pub retry_delay: Option<Duration>,
    /// With [`Code::OutOfRange`] the first sequence of the log that is there: go on after the one
    /// before it. Else 0.
    pub first_sequence: i64,
}

impl Error {
    pub(crate) fn new(code: Code, reason: &str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.to_owned(),
            message: message.into(),
            violations: Vec::new(),
            retry_delay: None,
            first_sequence: 0,
        }
    }

    pub(crate) fn malformed_answer(what: &str) -> Self {
        Self::new(
            Code::Internal,
            "ANSWER_MALFORMED",
            format!("the core's answer {what}"),
        )
    }

    pub(crate) fn from_response(response: Response) -> Self {
        Self::from_parts(response.code, response.message, response.details)
    }

    pub(crate) fn from_item(item: ItemError) -> Self {
        Self::from_parts(item.code, item.message, item.details)
    }

    fn from_parts(code: i32, message: String, details: Option<ErrorDetails>) -> Self {
        let details = details.unwrap_or_default();
        Self {
            code: known_code(code),
            reason: details.reason,
            message,
            violations: details.field_violations,
            retry_delay: match details.retry_delay_ms {
                0 => None,
                millis => Some(Duration::from_millis(millis.into())),
            },
            first_sequence: details.first_sequence,
        }
    }

    /// Whether the same request may succeed later. Of the other codes CANCELLED, UNKNOWN, INTERNAL
    /// and DATA_LOSS are not the request's fault either.
    pub fn is_retryable(&self) -> bool {
        self.is_passing() || self.code == Code::DeadlineExceeded
    }

    /// Whether another try of the same call may succeed.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(
            self.code,
            Code::Unavailable | Code::ResourceExhausted | Code::Aborted
        )
    }
}

/// Codes that a newer core may have are UNKNOWN, as is an item's error that says it is none.
fn known_code(code: i32) -> Code {
    match Code::try_from(code) {
        Ok(Code::Ok) | Err(_) => Code::Unknown,
        Ok(code) => code,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            code,
            reason,
            message,
            ..
        } = self;
        write!(f, "{}: {message} ({reason})", code.as_str_name())
    }
}

impl std::error::Error for Error {}
