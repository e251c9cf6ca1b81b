//! What can go wrong with a bucket: a state that programs can tell apart, and a sentence for people that says what to do. An access key may
//! stand in it, so that it is known which one to look at; a secret never does.

use std::error::Error;
use std::time::Duration;

use reqwest::StatusCode;

use super::access_keys::CredentialError;
use super::http_service::{NoAnswer, NoAnswerReason, StoreRefusal};
use crate::archive::escape::shown;
use crate::archive::{ObjectFault, ObjectName};

/// Why a bucket did not do what it was asked for.
#[expect(missing_docs, reason = "the message of each says what it is, and what its fields are")]
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    /// No client can be made.
    #[error("cannot speak to object stores: {0}")]
    Setup(String),
    /// No connection.
    #[error("cannot reach the object store at {at}: {why}; is it running, and archive.endpoint right?")]
    Unreachable { at: String, why: String },
    /// Whoever answers there is not trusted.
    #[error("cannot speak securely with {at}: {why}")]
    Insecure { at: String, why: String },
    #[error("{at} said nothing for {} s; it is asked again later", after.as_secs())]
    Silent { at: String, after: Duration },
    #[error("the connection to {at} broke: {why}; it is tried again later")]
    Broken { at: String, why: String },
    /// It has too much to do.
    #[error("{at} has too much to do ({status}{code}); it is asked again later")]
    Throttled { at: String, status: u16, code: String },
    /// It failed itself.
    #[error("{at} failed ({status}{code}); it is asked again later")]
    Failed { at: String, status: u16, code: String },
    #[error("{at} refuses {key} ({code}): {what}")]
    Denied { at: String, key: String, code: String, what: &'static str },
    #[error("there is no bucket '{bucket}' at {at}; make it, or correct archive.bucket")]
    NoBucket { at: String, bucket: String },
    #[error("the bucket '{bucket}' is in another region than {given}{}; correct archive.region", hint(.right.as_deref()))]
    WrongRegion { bucket: String, given: String, right: Option<String> },
    #[error(
        "{at} refuses requests because the clock here differs from its own by too much; set the clock (timedatectl)"
    )]
    ClockSkew { at: String },
    #[error("{at} answered {status}{code}, which is not what was expected{said}")]
    Refused { at: String, status: u16, code: String, said: String },
    /// The machine or a service of it has none.
    #[error(
        "there are no credentials for the bucket: {0}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or archive.credentials"
    )]
    NoCredentials(String),
    /// The answer is something else.
    #[error("{at} gave something else than {expected}; is it an object store that speaks S3?")]
    Unexpected { at: String, expected: &'static str },
    /// Its name fits no store.
    #[error("'{}' cannot be the name of an object, as it has control characters; rename the channel or the quality", shown(.0))]
    Name(String),
    /// The store has it, as it says itself, and answers other questions.
    #[error("the object {name} is there, and cannot be read: {why}")]
    Unreadable { name: ObjectName, why: String },
    /// The store has it, after it said that it had deleted it.
    #[error("the object {0} is there after the store said that it had deleted it; begin again later")]
    Undeleted(ObjectName),
    #[error("there is no object {0}")]
    Gone(ObjectName),
    /// It has to be asked for, and is there hours later.
    #[error(
        "{0} lies in a storage class that answers hours after it was asked; ask the store to restore it (RestoreObject), and try again then"
    )]
    Cold(ObjectName),
    #[error("the object {name} is damaged: {why}")]
    Damaged { name: ObjectName, why: String },
    /// Whoever asked had enough.
    #[error("it was given up because this process is ending")]
    Stopped,
}

/// The words for them, but for `stopped`, which is no failure.
pub const REASONS: [&str; 20] = [
    "setup",
    "unreachable",
    "insecure",
    "silent",
    "broken",
    "throttled",
    "failed",
    "denied",
    "no_bucket",
    "wrong_region",
    "clock_skew",
    "refused",
    "no_credentials",
    "unexpected",
    "name",
    "gone",
    "cold",
    "damaged",
    "unreadable",
    "undeleted",
];

/// The key is right, and has not the right.
const MAY_NOT: &str = "it may not do this; give it the right to list the bucket, and to get and put its objects";

/// The same of a request to delete one.
const MAY_NOT_DELETE: &str = "it may not delete objects, so what was to go is still there; give it the right to (s3:DeleteObject) and begin again";

fn hint(region: Option<&str>) -> String {
    region.map_or_else(String::new, |region| format!(", namely in {region}"))
}

/// What the request was about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    /// Scheme, host and port of the store.
    pub(super) at: &'a str,
    pub(super) bucket: &'a str,
    pub(super) region: &'a str,
    pub(super) key: Option<&'a str>,
    /// Which object, if it was about one.
    pub(super) name: Option<&'a ObjectName>,
}

impl BucketError {
    /// A word for it, which stays the same from version to version.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Setup(_) => "setup",
            Self::Unreachable { .. } => "unreachable",
            Self::Insecure { .. } => "insecure",
            Self::Silent { .. } => "silent",
            Self::Broken { .. } => "broken",
            Self::Throttled { .. } => "throttled",
            Self::Failed { .. } => "failed",
            Self::Denied { .. } => "denied",
            Self::NoBucket { .. } => "no_bucket",
            Self::WrongRegion { .. } => "wrong_region",
            Self::ClockSkew { .. } => "clock_skew",
            Self::Refused { .. } => "refused",
            Self::NoCredentials(_) => "no_credentials",
            Self::Unexpected { .. } => "unexpected",
            Self::Name(_) => "name",
            Self::Gone(_) => "gone",
            Self::Cold(_) => "cold",
            Self::Damaged { .. } => "damaged",
            Self::Unreadable { .. } => "unreadable",
            Self::Undeleted(_) => "undeleted",
            Self::Stopped => "stopped",
        }
    }

    /// Whether it is about one object, and says nothing of others.
    pub fn is_about_the_object(&self) -> bool {
        matches!(
            self,
            Self::Name(_)
                | Self::Gone(_)
                | Self::Cold(_)
                | Self::Damaged { .. }
                | Self::Unreadable { .. }
                | Self::Undeleted(_)
        )
    }

    /// Whether it may be the object that is wrong, or the way to the store.
    pub(super) fn may_be_about_the_object(&self) -> bool {
        matches!(self, Self::Broken { .. } | Self::Failed { .. })
    }

    /// Whether the object is not what it should be, or not there: nobody may rely on it any more. Whatever else is wrong says nothing of it.
    pub fn is_loss(&self) -> bool {
        matches!(self, Self::Gone(_) | Self::Damaged { .. })
    }

    /// Whether the object lies in a storage class that answers hours later.
    pub fn is_cold(&self) -> bool {
        matches!(self, Self::Cold(_))
    }

    /// Whether the store answered, if only that it will not: other requests may go well.
    pub fn is_an_answer(&self) -> bool {
        matches!(
            self,
            Self::Denied { .. }
                | Self::Refused { .. }
                | Self::Failed { .. }
                | Self::Throttled { .. }
                | Self::Unexpected { .. }
        )
    }

    /// Whether the access key is a right one, and may not do just this.
    pub(super) fn is_not_allowed(&self) -> bool {
        matches!(self, Self::Denied { what, .. } if *what == MAY_NOT)
    }

    /// The same, where it was asked to delete an object.
    pub(super) fn of_deleting(self) -> Self {
        match self {
            Self::Denied { at, key, code, what } if what == MAY_NOT => {
                Self::Denied { at, key, code, what: MAY_NOT_DELETE }
            }
            other => other,
        }
    }

    /// Of an object that is not what it should be.
    pub fn damaged(name: &ObjectName, why: &(impl ToString + ?Sized)) -> Self {
        Self::Damaged { name: name.clone(), why: why.to_string() }
    }

    pub(super) fn fault(name: &ObjectName, fault: &ObjectFault) -> Self {
        Self::damaged(name, fault)
    }

    /// From what the library says; ours is what it was caused by.
    pub(super) fn of(error: &(dyn Error + 'static), asked: Asked<'_>) -> Self {
        for cause in causes(error) {
            if let Some(refusal) = cause.downcast_ref::<StoreRefusal>() {
                return Self::of_refusal(refusal, asked);
            }
            if let Some(none) = cause.downcast_ref::<NoAnswer>() {
                return Self::of_silence(none);
            }
            if let Some(none) = cause.downcast_ref::<CredentialError>() {
                return Self::NoCredentials(none.to_string());
            }
        }
        Self::Unexpected { at: asked.at.to_owned(), expected: "an answer to what it was asked" }
    }

    fn of_silence(none: &NoAnswer) -> Self {
        let at = none.at.clone();
        match &none.why {
            NoAnswerReason::Unreachable(why) => Self::Unreachable { at, why: why.clone() },
            NoAnswerReason::Insecure(why) => Self::Insecure { at, why: why.clone() },
            NoAnswerReason::Silent(after) => Self::Silent { at, after: *after },
            NoAnswerReason::Broken(why) => Self::Broken { at, why: why.clone() },
            NoAnswerReason::TooLarge => Self::Unexpected { at, expected: "a short answer" },
        }
    }

    fn of_refusal(refusal: &StoreRefusal, asked: Asked<'_>) -> Self {
        let (at, status, said) = (refusal.at.clone(), refusal.status.as_u16(), &refusal.said);
        let code = if said.code.is_empty() { String::new() } else { format!(", {}", shown(&said.code)) };
        let wrong_region = || Self::WrongRegion {
            bucket: asked.bucket.to_owned(),
            given: asked.region.to_owned(),
            right: said.region.as_deref().map(|region| shown(region).into_owned()),
        };
        let denied = |what: &'static str| {
            let key =
                asked.key.map_or_else(|| "the credentials".to_owned(), |key| format!("the access key {}", shown(key)));
            let word = if said.code.is_empty() { status.to_string() } else { shown(&said.code).into_owned() };
            // Some stores have one code for all of it, and say the rest in words.
            let word = if what == MAY_NOT && !said.message.is_empty() {
                format!("{word}: {}", shown(&said.message))
            } else {
                word
            };
            Self::Denied { at: at.clone(), key, code: word, what }
        };
        // Nothing but its own word for it says that an object is gone: anything between here and the store can answer 404.
        match (&*said.code, asked.name) {
            ("NoSuchKey", Some(name)) => return Self::Gone(name.clone()),
            ("InvalidObjectState", Some(name)) => return Self::Cold(name.clone()),
            _ => {}
        }
        match (&*said.code, refusal.status) {
            ("NoSuchBucket", _) => Self::NoBucket { at, bucket: asked.bucket.to_owned() },
            ("RequestTimeTooSkewed", _) => Self::ClockSkew { at },
            (
                "PermanentRedirect"
                | "TemporaryRedirect"
                | "AuthorizationHeaderMalformed"
                | "IllegalLocationConstraintException",
                _,
            ) => wrong_region(),
            ("InvalidAccessKeyId", _) => denied("it does not know it; is it the right one, for this store?"),
            ("SignatureDoesNotMatch", _) => denied("the secret that belongs to it is another one"),
            ("ExpiredToken" | "InvalidToken" | "TokenRefreshRequired", _) => {
                denied("it has expired, or was taken back")
            }
            ("SlowDown" | "TooManyRequests" | "ServiceUnavailable", _)
            | (_, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) => {
                Self::Throttled { at, status, code }
            }
            ("AccessDenied", _) | (_, StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED) => denied(MAY_NOT),
            ("InternalError" | "RequestTimeout", _) => Self::Failed { at, status, code },
            _ if refusal.status.is_redirection() => wrong_region(),
            _ if refusal.status.is_server_error() => Self::Failed { at, status, code },
            _ => {
                let said = if said.message.is_empty() { String::new() } else { format!(": {}", shown(&said.message)) };
                Self::Refused { at, status, code, said }
            }
        }
    }
}

pub(super) fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |current| {
        let current: &'e (dyn Error + 'static) = *current;
        // An I/O error that wraps another one is its own last source.
        let wrapped = current.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        wrapped.map(|inner| inner as &(dyn Error + 'static)).or_else(|| current.source())
    })
}
