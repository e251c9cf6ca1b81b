//! The one way in which verbs ask: the daemon that has the archive open, another node that was named, or, where neither is, the same
//! routes in this process, over an archive that is opened for it.
//!
//! Knows no particular answer. Trusts the other side with nothing: sizes and waiting times are bounded, redirects are not followed, and no
//! proxy stands in between. Fetching from other nodes is the business of `peer`.

mod answer;
mod daemon;
mod error;
mod local;

use std::fmt::Display;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Method, Request, RequestBuilder, redirect};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::UsageError;
use super::args::OtherNode;
use super::config::Config;
use crate::archive::Stream;
use crate::net::tls::{self, ClientConfig};
use crate::net::tokens::Token;
use crate::replicate::peer::PeerUrl;

pub use answer::ApiAnswer;
pub use error::ApiError;
pub use local::{LocalArchive, OpenNeeds};

/// A daemon on this machine that lives answers at once; one that does not must not hold up the verb.
const ALIVE_WITHIN: Duration = Duration::from_secs(2);
/// Longest silence within an answer: bringing hours up to date first may take this long on a slow disk.
const SILENCE: Duration = Duration::from_secs(120);
/// Pages of an answer: with more, a node would keep us asking.
const MOST_PAGES: usize = 100_000;

/// Answers the verbs.
#[derive(Debug)]
pub struct Api {
    reach: Reach,
    token: Option<Token>,
    /// Its process, if it is the daemon on this archive.
    pub pid: Option<u32>,
    /// Its name, if it is the daemon on this archive.
    pub name: Option<String>,
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
        Ok(Self { reach: Reach::Node { base, client }, token: None, pid: None, name: None })
    }

    /// The daemon that has this archive open, if one runs.
    pub async fn running(config: &Config) -> Option<Self> {
        daemon::find(&config.state_dir).await
    }

    /// The node that was named, if one was.
    pub fn named(config: &Config, other: &OtherNode) -> anyhow::Result<Option<Self>> {
        let Some(address) = &other.node else { return Ok(None) };
        let trusted = super::peer_access::trusted(config)?;
        let node = Self::at(address, &trusted).map_err(|error| UsageError(format!("--node: {error}")))?;
        let token = other.token_file.as_deref().map(super::peer_access::token).transpose()?;
        Ok(Some(Self { token, ..node }))
    }

    /// The daemon that has this archive open, or else the archive, opened for the verb.
    pub async fn open(config: &Config, needs: OpenNeeds) -> anyhow::Result<Self> {
        if let Some(daemon) = Self::running(config).await {
            return Ok(daemon);
        }
        let reach = Reach::Here(Box::new(LocalArchive::open(config, needs).await?));
        Ok(Self { reach, token: None, pid: None, name: None })
    }

    /// Runs a task with the API of this archive, and closes it.
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

    /// Gives the archive free, if it was opened.
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

    /// The archive, where this process has opened it.
    pub fn local(&self) -> Option<&LocalArchive> {
        if let Reach::Here(local) = &self.reach { Some(local) } else { None }
    }

    /// Asks about what a path leads to, such as `api/v1/status`.
    pub fn get(&self, path: &str) -> ApiRequest<'_> {
        ApiRequest::new(self, Method::GET, path)
    }

    /// The same with the parts of a path.
    pub fn get_parts(&self, path: &[&str]) -> ApiRequest<'_> {
        ApiRequest { path: path.iter().map(ToString::to_string).collect(), ..self.get("") }
    }

    /// Sends a value.
    pub fn post(&self, path: &str, sent: &impl Serialize) -> Result<ApiRequest<'_>, ApiError> {
        let body = serde_json::to_vec(sent).map_err(ApiError::Unsendable)?;
        Ok(ApiRequest { body: Some(body), ..ApiRequest::new(self, Method::POST, path) })
    }
}

/// A question that was not asked yet.
#[derive(Debug, Clone)]
pub struct ApiRequest<'a> {
    api: &'a Api,
    method: Method,
    path: Vec<String>,
    query: Vec<(&'static str, String)>,
    body: Option<Vec<u8>>,
}

impl<'a> ApiRequest<'a> {
    fn new(api: &'a Api, method: Method, path: &str) -> Self {
        let path = path.split('/').map(str::to_owned).collect();
        Self { api, method, path, query: Vec::new(), body: None }
    }

    /// About something below the path.
    #[must_use]
    pub fn part(mut self, name: impl Display) -> Self {
        self.path.push(name.to_string());
        self
    }

    /// About a channel and quality.
    #[must_use]
    pub fn of(self, stream: &Stream) -> Self {
        self.part(&stream.channel).part(&stream.quality)
    }

    /// With a parameter, in place of one of that name that it may have.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Display) -> Self {
        self.query.retain(|(known, _)| *known != name);
        self.query.push((name, value.to_string()));
        self
    }

    /// With a parameter that may not be given.
    #[must_use]
    pub fn with_some(self, name: &'static str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Asks for one value.
    pub async fn json<T: DeserializeOwned>(self) -> Result<T, ApiError> {
        self.ask().await?.json().await
    }

    /// Asks for all pages of an answer. `next_of` says where the one after a page begins, and `place` under which name that is given.
    pub async fn pages<T: DeserializeOwned>(
        self,
        place: &'static str,
        next_of: fn(&T) -> Option<String>,
        mut each: impl FnMut(T) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let address = self.api.address();
        let mut question = self;
        for _ in 0..MOST_PAGES {
            let page: T = question.clone().json().await?;
            let next = next_of(&page);
            each(page)?;
            let Some(next) = next else { return Ok(()) };
            question = question.with(place, next);
        }
        anyhow::bail!("{address} has more pages than anybody can read")
    }

    /// Asks, and has the answer be read by and by.
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
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            *request.body_mut() = Some(body.into());
        }
        match &api.reach {
            Reach::Here(local) => ApiAnswer::new(None, local.answer(request).await?, error::ShownToken::Right).await,
            Reach::Node { client, .. } => {
                let request = RequestBuilder::from_parts(client.clone(), request);
                let (request, shown) = match &api.token {
                    Some(token) => (request.bearer_auth(token.secret()), error::ShownToken::Token),
                    None if api.pid.is_some() => (request, error::ShownToken::Unreadable),
                    None => (request, error::ShownToken::Nothing),
                };
                let address = base.to_string();
                let response = request.send().await.map_err(|error| error::of_connection(&address, &error))?;
                ApiAnswer::new(Some(address), response, shown).await
            }
        }
    }
}

#[cfg(test)]
mod tests;
