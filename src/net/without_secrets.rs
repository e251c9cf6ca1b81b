//! Addresses for messages and logs: what may be secret in them is left out.

/// What was typed as an address, without user, password, query and fragment, and of at most 200 characters. It need be no address.
pub fn without_secrets(text: &str) -> String {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    let whole = match (text.find("://"), text.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => format!("{}://…{}", &text[..scheme], &text[at..]),
        (None, Some(at)) => format!("…{}", &text[at..]),
        _ => text.to_owned(),
    };
    whole.chars().take(200).collect()
}
