//! Whether what a peer lists is a channel at all: one rule for backfill, for what holes are told about, and for `diff`.
//!
//! Many a node lists everything that lies in its base as a channel (`blogs/`, `coverage-maps/`, a file), and answers with an error, a page or
//! a redirect when it is asked what is in it. That is no trouble, and must not look like one. But a peer that fails for a channel that is
//! one hides segments, and that is trouble whatever the status: so nothing is passed over that is known to be a channel, here or from
//! what the peer itself listed before, or that somebody asked for by name.

use reqwest::StatusCode;

use super::error::PeerError;

impl PeerError {
    /// Whether the peer answered in a way in which it would answer about something that is no channel.
    pub fn may_mean_no_channel(&self) -> bool {
        match self {
            Self::Status { status, .. } => !is_about_the_asker_or_the_moment(*status),
            Self::Redirected { .. } | Self::Unexpected { .. } => true,
            _ => false,
        }
    }
}

/// Whether a status says who may ask, or that the peer cannot answer now, and so nothing about what was asked for. A 500 is not among
/// them: hosts of this field answer it for a file among their channels.
fn is_about_the_asker_or_the_moment(status: StatusCode) -> bool {
    matches!(status.as_u16(), 401 | 403 | 407 | 408 | 421 | 429 | 502 | 503 | 504)
}

/// What a peer lists of a channel or quality; nothing where that is none of the peer's. `is_known` says that it is one.
pub fn unless_no_channel<T>(answer: Result<T, PeerError>, is_known: bool) -> Result<Option<T>, PeerError> {
    match answer {
        Ok(listing) => Ok(Some(listing)),
        Err(error) if !is_known && error.may_mean_no_channel() => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::super::error::BodyStart;
    use super::*;

    fn answers() -> Vec<PeerError> {
        let url = || "http://peer/files/blogs".to_owned();
        let status = |status| PeerError::Status { url: url(), status, detail: String::new() };
        vec![
            status(StatusCode::INTERNAL_SERVER_ERROR),
            status(StatusCode::NOT_FOUND),
            status(StatusCode::BAD_REQUEST),
            PeerError::Redirected { url: url(), status: StatusCode::FOUND, to: "/blogs/".to_owned() },
            PeerError::Unexpected { url: url(), problem: "a page".to_owned(), begins: BodyStart::default() },
        ]
    }

    #[test]
    fn a_name_that_is_no_channel_is_passed_over_however_the_peer_says_so() {
        for error in answers() {
            assert!(unless_no_channel::<()>(Err(error), false).unwrap().is_none());
        }
    }

    #[test]
    fn a_channel_that_is_known_is_never_passed_over() {
        for error in answers() {
            assert!(unless_no_channel::<()>(Err(error), true).is_err());
        }
    }

    #[test]
    fn a_peer_that_does_not_answer_says_nothing_about_channels() {
        let after = std::time::Duration::from_secs(1);
        let late = PeerError::TimedOut { url: "http://peer".to_owned(), what: "did not answer", after };
        assert!(unless_no_channel::<()>(Err(late), false).is_err());
    }

    #[test]
    fn a_peer_that_lets_nobody_ask_or_cannot_answer_now_says_nothing_about_channels() {
        for status in [401, 403, 408, 421, 429, 502, 503, 504] {
            let (url, status) = ("http://peer/files/a".to_owned(), StatusCode::from_u16(status).unwrap());
            let error = PeerError::Status { url, status, detail: String::new() };
            assert!(unless_no_channel::<()>(Err(error), false).is_err(), "{status}");
        }
    }
}
