//! Answers of the daemon about a window that come in pages, each with a word on where the next one begins.

use serde::de::DeserializeOwned;

use super::client::{Daemon, path, query};
use crate::domain::Stream;
use crate::domain::coverage::Window;

/// Pages of an answer: with as many, a daemon would keep us asking.
const PAGES: usize = 100_000;

/// An answer of the daemon, page by page.
pub(super) struct Pages<'d> {
    daemon: &'d Daemon,
    path: String,
    pairs: Vec<(&'static str, String)>,
    /// Under which name the place of the next page is given, and that place.
    place: &'static str,
    from: Option<String>,
    asked: usize,
}

impl<'d> Pages<'d> {
    pub(super) fn new(
        daemon: &'d Daemon,
        what: &str,
        stream: &Stream,
        window: Window,
        flags: &[(&'static str, bool)],
    ) -> Self {
        let path = path(["api", "v1", what, stream.channel.as_str(), stream.quality.as_str()]);
        let flags = flags.iter().filter(|(_, given)| *given).map(|(name, _)| (*name, "true".to_owned()));
        let pairs = window.to.map(|to| ("to", to.to_string())).into_iter().chain(flags).collect();
        Self { daemon, path, pairs, place: "from", from: window.from.map(|from| from.to_string()), asked: 0 }
    }

    /// Of a list whose pages begin behind a place that is no time: `after`.
    pub(super) fn after(daemon: &'d Daemon, what: &str, stream: &Stream, window: Window) -> Self {
        let mut pages = Self::new(daemon, what, stream, window, &[]);
        pages.pairs.extend(pages.from.take().map(|from| ("from", from)));
        Self { place: "after", ..pages }
    }

    /// The next page; `None` after the last. `next_of` says where the one after it begins.
    pub(super) async fn next<T: DeserializeOwned>(
        &mut self,
        next_of: fn(&T) -> Option<String>,
    ) -> anyhow::Result<Option<T>> {
        if self.asked > 0 && self.from.is_none() {
            return Ok(None);
        }
        if self.asked >= PAGES {
            anyhow::bail!("the daemon at {} has more pages than anybody can read", self.daemon.address());
        }
        let from = self.from.take();
        let pairs = self.pairs.iter().map(|(name, value)| (*name, value.as_str()));
        let asked = query(&self.path, pairs.chain(from.iter().map(|from| (self.place, from.as_str()))));
        let page: T = self.daemon.get_json(&asked).await?;
        self.asked += 1;
        self.from = next_of(&page);
        Ok(Some(page))
    }
}
