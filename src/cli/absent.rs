//! Channels and qualities that are not here: an empty answer about a misspelt name would look like one that all is well.

use super::api::Api;
use super::args::ArchiveTarget;
use crate::archive::escape::shown;
use crate::archive::misspelt;

/// Names that are listed; the rest is counted.
const MOST_NAMED: usize = 10;

pub(super) async fn require(api: &Api, channel: &str, quality: Option<&str>) -> anyhow::Result<()> {
    let channels: Vec<String> = api.get("files").json().await?;
    among(&format!("channel {}", shown(channel)), channel, &channels)?;
    let Some(quality) = quality else { return Ok(()) };
    let qualities: Vec<String> = api.get("files").part(channel).json().await?;
    among(&format!("quality {} of channel {}", shown(quality), shown(channel)), quality, &qualities)
}

/// An error unless what a target names is here, down to the quality: hours may be missing.
pub(super) async fn require_target(api: &Api, target: &ArchiveTarget) -> anyhow::Result<()> {
    let mut parts = target.parts();
    let Some(channel) = parts.next() else { return Ok(()) };
    require(api, channel, parts.next()).await
}

/// An error that says what there is, unless this is among it.
pub(super) fn among(what: &str, asked: &str, present: &[String]) -> anyhow::Result<()> {
    if present.iter().any(|name| name == asked) {
        return Ok(());
    }
    let meant = misspelt::meant(asked, present.iter().map(String::as_str));
    let meant = meant.map_or_else(String::new, |name| format!("; did you mean {}?", shown(name)));
    let first: Vec<_> = present.iter().take(MOST_NAMED).map(|name| shown(name)).collect();
    let there_are = match present.len().saturating_sub(MOST_NAMED) {
        _ if present.is_empty() => "there are none".to_owned(),
        0 => format!("there are: {}", first.join(", ")),
        more => format!("there are: {} and {more} more", first.join(", ")),
    };
    anyhow::bail!("no {what} here; {there_are}{meant}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_here_is_told_with_what_is_and_what_may_be_meant() {
        let present: Vec<String> = (0..12).map(|number| format!("stream{number}")).collect();
        let said = |asked: &str, here: &[String]| among("channel", asked, here).unwrap_err().to_string();
        assert!(among("channel", "stream3", &present).is_ok());
        let slip = said("steam3", &present);
        assert!(slip.ends_with("stream9 and 2 more; did you mean stream3?"), "{slip}");
        assert_eq!(said("x", &present[..2]), "no channel here; there are: stream0, stream1");
        assert_eq!(said("x", &[]), "no channel here; there are none");
    }
}
