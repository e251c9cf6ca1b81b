//! The one way in which verbs ask: the daemon that has the archive open, another node that was named, or, where neither is, the same
//! routes in this process, over an archive that is opened for it.
//!
//! Knows no particular answer. Trusts the other side with nothing: sizes and waiting times are bounded, redirects are not followed, and no
//! proxy stands in between. Fetching from other nodes is the business of `peer`.

mod answer;
mod local;

use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Method, Request, RequestBuilder, redirect};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::args::OtherNode;
use super::config::Config;
use super::exit::UsageError;
use crate::archive::Stream;
use crate::disk::{DirLock, directory_id};
use crate::net::tls::{self, ClientConfig, Fingerprint};
use crate::net::tokens::{self, Token};
use crate::replicate::peer::PeerUrl;

pub use answer::{ApiAnswer, ApiError};
pub use local::{LocalArchive, OpenNeeds};

/// A daemon on this machine that lives answers at once; one that does not must not hold up the verb.
const ALIVE_WITHIN: Duration = Duration::from_secs(2);
/// Longest silence within an answer: bringing hours up to date first may take this long on a slow disk.
const SILENCE: Duration = Duration::from_secs(120);
/// Pages of an answer: with more, a node would keep us asking.
const MOST_PAGES: usize = 100_000;

#[derive(Debug)]
pub struct Api {
    reach: Reach,
    token: Option<Token>,
    /// Its process, if it is the daemon on this archive.
    pub pid: Option<u32>,
}

#[derive(Debug)]
enum Reach {
    Node { base: PeerUrl, client: Client },
    Here(Box<LocalArchive>),
}

impl Api {
    /// The node at an address such as `http://archive.example:8000`, trusting whom `tls` trusts. Does not ask it anything yet.
    pub fn at(address: &str, tls: &ClientConfig) -> Result<Self, ApiError> {
        let base = PeerUrl::parse(address)?;
        let client = Client::builder()
            .tls_backend_preconfigured(tls::for_http(tls))
            .no_proxy()
            .redirect(redirect::Policy::none())
            .connect_timeout(ALIVE_WITHIN)
            .read_timeout(SILENCE)
            .build()
            .map_err(ApiError::Setup)?;
        Ok(Self { reach: Reach::Node { base, client }, token: None, pid: None })
    }

    pub async fn running(config: &Config) -> Option<Self> {
        find(&config.state_dir).await
    }

    pub fn named(config: &Config, other: &OtherNode) -> anyhow::Result<Option<Self>> {
        let Some(address) = &other.node else { return Ok(None) };
        let trusted = super::peer_access::trusted(config)?;
        let node = Self::at(address, &trusted).map_err(|error| UsageError(format!("--node: {error}")))?;
        let token = other.token_file.as_deref().map(super::peer_access::token).transpose()?;
        Ok(Some(Self { token, ..node }))
    }

    pub async fn open(config: &Config, needs: OpenNeeds) -> anyhow::Result<Self> {
        if let Some(daemon) = Self::running(config).await {
            return Ok(daemon);
        }
        let reach = Reach::Here(Box::new(LocalArchive::open(config, needs).await?));
        Ok(Self { reach, token: None, pid: None })
    }

    pub async fn with<T>(
        config: &Config,
        needs: OpenNeeds,
        work: impl AsyncFnOnce(&Self) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let api = Self::open(config, needs).await?;
        let done = work(&api).await;
        api.close().await?;
        done
    }

    pub async fn close(self) -> anyhow::Result<()> {
        match self.reach {
            Reach::Here(local) => local.close().await,
            Reach::Node { .. } => Ok(()),
        }
    }

    /// Its address; of the archive itself, what to call it.
    pub fn address(&self) -> String {
        match &self.reach {
            Reach::Node { base, .. } => base.to_string(),
            Reach::Here(_) => "this archive".to_owned(),
        }
    }

    pub fn local(&self) -> Option<&LocalArchive> {
        if let Reach::Here(local) = &self.reach { Some(local) } else { None }
    }

    pub fn get(&self, path: &str) -> ApiRequest<'_> {
        ApiRequest::new(self, Method::GET, path)
    }

    pub fn get_parts(&self, path: &[&str]) -> ApiRequest<'_> {
        ApiRequest { path: path.iter().map(ToString::to_string).collect(), ..self.get("") }
    }

    pub fn post_bytes(&self, path: &str, body: Vec<u8>) -> ApiRequest<'_> {
        ApiRequest { body: Some(body), kind: "application/octet-stream", ..ApiRequest::new(self, Method::POST, path) }
    }

    pub fn post(&self, path: &str, sent: &impl Serialize) -> Result<ApiRequest<'_>, ApiError> {
        let body = serde_json::to_vec(sent).map_err(ApiError::Unsendable)?;
        Ok(ApiRequest { body: Some(body), ..ApiRequest::new(self, Method::POST, path) })
    }
}

#[derive(Debug, Clone)]
pub struct ApiRequest<'a> {
    api: &'a Api,
    method: Method,
    path: Vec<String>,
    query: Vec<(&'static str, String)>,
    body: Option<Vec<u8>>,
    kind: &'static str,
}

impl<'a> ApiRequest<'a> {
    fn new(api: &'a Api, method: Method, path: &str) -> Self {
        let path = path.split('/').map(str::to_owned).collect();
        Self { api, method, path, query: Vec::new(), body: None, kind: "application/json" }
    }

    #[must_use]
    pub fn part(mut self, name: impl Display) -> Self {
        self.path.push(name.to_string());
        self
    }

    #[must_use]
    pub fn of(self, stream: &Stream) -> Self {
        self.part(&stream.channel).part(&stream.quality)
    }

    /// With a parameter, in place of one of that name that it may have.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Display) -> Self {
        self.query.retain(|(given, _)| *given != name);
        self.query.push((name, value.to_string()));
        self
    }

    #[must_use]
    pub fn with_some(self, name: &'static str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    pub async fn json<T: DeserializeOwned>(self) -> Result<T, ApiError> {
        self.ask().await?.json().await
    }

    /// Asks for all pages of an answer. `next_of` says where the one after a page begins, and `place` under which name that is given.
    pub async fn pages<T: DeserializeOwned, N: Display>(
        self,
        place: &'static str,
        next_of: fn(&T) -> Option<N>,
        mut each: impl FnMut(T) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let address = self.api.address();
        let (mut question, mut asked) = (self, None);
        for _ in 0..MOST_PAGES {
            let page: T = question.clone().json().await?;
            let next = next_of(&page).map(|next| next.to_string());
            each(page)?;
            let Some(next) = next else { return Ok(()) };
            if asked.as_ref() == Some(&next) {
                anyhow::bail!("{address} says that the page after this one is this one");
            }
            question = question.with(place, &next);
            asked = Some(next);
        }
        anyhow::bail!("{address} has more pages than anybody can read")
    }

    pub async fn ask(self) -> Result<ApiAnswer, ApiError> {
        let api = self.api;
        let base = match &api.reach {
            Reach::Node { base, .. } => base.clone(),
            Reach::Here(_) => PeerUrl::parse("http://localhost")?,
        };
        let mut url = base.join(self.path.iter().map(String::as_str))?;
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        let mut request = Request::new(self.method, url);
        if let Some(body) = self.body {
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(self.kind));
            *request.body_mut() = Some(body.into());
        }
        match &api.reach {
            Reach::Here(local) => ApiAnswer::new(None, local.answer(request).await?, answer::ShownToken::Right).await,
            Reach::Node { client, .. } => {
                let request = RequestBuilder::from_parts(client.clone(), request);
                let (request, shown) = match &api.token {
                    Some(token) => (request.bearer_auth(token.secret()), answer::ShownToken::Token),
                    None if api.pid.is_some() => (request, answer::ShownToken::Unreadable),
                    None => (request, answer::ShownToken::Nothing),
                };
                let address = base.to_string();
                let response = request.send().await.map_err(|error| answer::of_connection(&address, &error))?;
                ApiAnswer::new(Some(address), response, shown).await
            }
        }
    }
}

const MAX_ADDRESS_FILE_BYTES: u64 = 64 << 10;

#[derive(Debug, Clone, Deserialize)]
struct Written {
    address: String,
    pid: u32,
    /// Files of versions before there was encryption do not have it.
    #[serde(default)]
    scheme: Scheme,
    #[serde(default)]
    certificates: Vec<String>,
    /// Which directory it was written into: a copy of it names the daemon of another archive.
    #[serde(default)]
    directory: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Scheme {
    #[default]
    Http,
    Https,
}

impl Written {
    /// The daemon as it says it is: encrypted only with exactly its own certificate, because no public one is for a bare address.
    fn daemon(&self) -> Result<Api, ApiError> {
        let address = &self.address;
        match self.scheme {
            Scheme::Http => Api::at(&format!("http://{address}"), &*tls::trusting_nobody()?),
            Scheme::Https => {
                let certificates = self.certificates.iter().filter_map(|text| Fingerprint::parse(text)).collect();
                Api::at(&format!("https://{address}"), &*tls::pinned(certificates)?)
            }
        }
    }
}

pub(super) async fn find(state_dir: &Path) -> Option<Api> {
    let file = state_dir.join("daemon.json");
    // The daemon holds the lock of its state directory; what one that was killed left behind may name another's address by now.
    if DirLock::acquire(state_dir, Duration::ZERO).is_ok_and(|lock| lock.holds()) {
        return None;
    }
    let length = std::fs::metadata(&file).ok()?.len();
    if length > MAX_ADDRESS_FILE_BYTES {
        tracing::warn!(name: "daemon_file_unreadable", file = %file.display(), length, "not an address of a daemon");
        return None;
    }
    let bytes = std::fs::read(&file).ok()?;
    let written: Written = serde_json::from_slice(&bytes)
        .inspect_err(|error| tracing::warn!(name: "daemon_file_unreadable", file = %file.display(), %error, "not an address of a daemon"))
        .ok()?;
    // Where one of both is not known nothing says that it was copied.
    let ids = written.directory.as_ref().zip(directory_id(state_dir));
    if ids.is_some_and(|(there, here)| *there != here) {
        tracing::warn!(name: "daemon_file_copied", file = %file.display(), "daemon.json was copied from another archive and is ignored");
        return None;
    }
    let found = written.daemon().ok()?;
    let Reach::Node { client, base } = &found.reach else { return None };
    let asked = client.get(base.join(["healthz"]).ok()?).timeout(ALIVE_WITHIN).send().await;
    let answer = asked
        .inspect_err(|error| {
            if let Some(why) = tls::explain(error) {
                tracing::warn!(name: "daemon_not_trusted", daemon = found.address(), why, "not the daemon that its file describes");
            }
        })
        .ok()?;
    // Who may not read it may still ask what everybody may.
    let token = tokens::read_one(&state_dir.join("daemon.token")).ok();

    answer.status().is_success().then_some(Api { token, pid: Some(written.pid), ..found })
}

#[cfg(test)]
mod tests;
