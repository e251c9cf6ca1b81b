//! Says what is wrong with an encrypted connection, so that a person knows which side has to do what.

use std::error::Error;

use rustls::{CertificateError as C, Error as Tls};

/// What an HTTP client says of the first bytes of a TLS alert.
const NO_HTTP: &str = "invalid HTTP version parsed";

/// What a failed handshake, or one that was left out, comes down to, if that is what this error is about. An answer that is no HTTP is
/// taken for TLS: for a person's eyes, as it may be anything.
pub fn explain(error: &(dyn Error + 'static)) -> Option<String> {
    let is_no_http = || causes(error).any(|cause| cause.to_string() == NO_HTTP);
    let no_http = || "what answers there does not speak plain HTTP; is its address an https:// one?".to_owned();
    explain_handshake(error).or_else(|| is_no_http().then(no_http))
}

/// What a failed handshake comes down to, if there was one.
pub fn explain_handshake(error: &(dyn Error + 'static)) -> Option<String> {
    causes(error).find_map(|cause| cause.downcast_ref::<Tls>()).map(words)
}

fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |current| {
        let current: &'e (dyn Error + 'static) = *current;
        // An I/O error that wraps another one is its own last source.
        let wrapped = current.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        wrapped.map(|inner| inner as &(dyn Error + 'static)).or_else(|| current.source())
    })
}

fn words(error: &Tls) -> String {
    match error {
        Tls::InvalidCertificate(certificate) => words_of_certificate(certificate),
        Tls::InvalidMessage(_) => "the server there does not speak TLS; use http://?".to_owned(),
        other => other.to_string(),
    }
}

fn words_of_certificate(error: &C) -> String {
    match error {
        C::UnknownIssuer | C::BadSignature => {
            "its certificate is not signed by an authority that is trusted here; if the authority is your own, give its certificate with backfill.ca_file or --ca-file (of an object store, archive.ca_file)"
                .to_owned()
        }
        C::Expired => "its certificate has expired; it has to be renewed there (or the clock here is wrong)".to_owned(),
        C::ExpiredContext { time, not_after } => format!(
            "its certificate expired {} ago; it has to be renewed there (or the clock here is wrong)",
            length(time.as_secs().saturating_sub(not_after.as_secs()))
        ),
        C::NotValidYet => "its certificate is not valid yet; is a clock wrong?".to_owned(),
        C::NotValidYetContext { time, not_before } => format!(
            "its certificate is valid only in {}; is a clock wrong?",
            length(not_before.as_secs().saturating_sub(time.as_secs()))
        ),
        C::ApplicationVerificationFailure => "its certificate is not the one that was expected".to_owned(),
        C::NotValidForName => {
            "its certificate is for another host name; ask it by a name that its certificate holds".to_owned()
        }
        C::NotValidForNameContext { expected, presented } => format!(
            "its certificate is not for {} but for {}; ask it by one of these names",
            expected.to_str(),
            if presented.is_empty() { "no name at all".to_owned() } else { shown(presented) }
        ),
        C::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            "its certificate is one of an authority and not of a host; it needs one that is certified by it".to_owned()
        }
        other => format!("its certificate cannot be used: {other}"),
    }
}

/// Names that the other side sent, a few and escaped.
fn shown(names: &[String]) -> String {
    let names = names.iter().take(8).map(|name| name.chars().take(120).flat_map(char::escape_debug).collect());
    names.collect::<Vec<String>>().join(", ")
}

/// A length of time, to the two largest units.
fn length(seconds: u64) -> String {
    let text = humantime::format_duration(std::time::Duration::from_secs(seconds)).to_string();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}
