//! What handlers take from a request: a query, a path, a body. Each is read and judged before the handler begins, and what is wrong is a
//! [`Problem`] that says what was expected.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, MatchedPath, Request};
use axum::http::request::Parts;
use futures_util::StreamExt as _;
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;

use super::app::App;
use super::{Problem, pathname};
use crate::archive::{BadName, Stream, Timestamp, time_input};

/// Bytes of a body: as many paths as tombstones may be asked for at once, each of 200 bytes, ten times over.
const MOST_BODY: usize = 2 << 20;

/// A query, read.
pub(super) struct Query<T>(pub(super) T);

/// What a query may say at some address; what it does not know was refused before, or is passed over ([`super::parameters`]).
pub(super) trait FromQuery: Sized {
    fn read(given: &Parameters) -> Result<Self, Problem>;
}

impl<T: FromQuery> FromRequestParts<Arc<App>> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        T::read(&Parameters::new(parts.uri.query().unwrap_or_default(), app.node.bounds.max_page)).map(Self)
    }
}

/// The pairs of a query. Where a name is given several times each value must be good, and the last one counts.
#[derive(Debug)]
pub(super) struct Parameters {
    pairs: Vec<(String, String)>,
    /// Records in the largest page.
    max_page: usize,
    /// What the clock says: `1h ago` is an hour before that.
    now: Timestamp,
}

impl Parameters {
    pub(super) fn new(query: &str, max_page: usize) -> Self {
        Self { pairs: pairs(query).collect(), max_page, now: now() }
    }

    pub(super) fn at(self, now: Timestamp) -> Self {
        Self { now, ..self }
    }

    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.pairs.iter().filter(move |(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn last(&self, name: &str) -> Option<&str> {
        self.all(name).last()
    }

    pub(super) fn each<T>(&self, name: &str, read: impl Fn(&str) -> Result<T, Problem>) -> Result<Option<T>, Problem> {
        self.all(name).try_fold(None, |_, value| read(value).map(Some))
    }

    pub(super) fn time(&self, name: &str) -> Result<Option<Timestamp>, Problem> {
        self.each(name, |value| time_at(name, value, self.now))
    }

    /// A time that must be given.
    pub(super) fn needed_time(&self, name: &str) -> Result<Timestamp, Problem> {
        self.time(name)?.ok_or_else(|| missing_time(name))
    }

    /// A stretch whose ends must be given.
    pub(super) fn needed_stretch(&self) -> Result<(Timestamp, Timestamp), Problem> {
        let (start, end) = self.stretch()?;
        Ok((start.ok_or_else(|| missing_time("start"))?, end.ok_or_else(|| missing_time("end"))?))
    }

    /// A stretch that ends after it begins, as far as its ends are given.
    pub(super) fn stretch(&self) -> Result<(Option<Timestamp>, Option<Timestamp>), Problem> {
        let (start, end) = (self.time("start")?, self.time("end")?);
        start.zip(end).map_or(Ok(()), |(from, to)| check_order("end", from, to))?;
        Ok((start, end))
    }

    /// The same as `from` and `to`.
    pub(super) fn window(&self) -> Result<(Option<Timestamp>, Option<Timestamp>), Problem> {
        let (from, to) = (self.time("from")?, self.time("to")?);
        match from.zip(to).filter(|(from, to)| to <= from) {
            Some((from, to)) => {
                Err(Problem::bad_parameter("to", &to.to_string(), &format!("a time after from, {from}")))
            }
            None => Ok((from, to)),
        }
    }

    /// `true` or `false`, in any case; false where it is not given.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Problem> {
        let read = |value: &str| match value.to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(Problem::bad_parameter(name, value, "true or false")),
        };
        Ok(self.each(name, read)?.unwrap_or(false))
    }

    /// A whole number from 1 to `most`.
    pub(super) fn count(&self, name: &str, most: usize) -> Result<Option<usize>, Problem> {
        self.each(name, |value| {
            let number = value.parse().ok().filter(|number| (1..=most).contains(number));
            number.ok_or_else(|| Problem::bad_parameter(name, value, &format!("a whole number from 1 to {most}")))
        })
    }

    /// Records in a page, and where nothing is asked for `usual` of them.
    pub(super) fn limit(&self, usual: usize) -> Result<usize, Problem> {
        Ok(self.count("limit", self.max_page)?.unwrap_or_else(|| usual.min(self.max_page)))
    }
}

/// Decoded; `+` is a space. Bytes that are not UTF-8 are replaced, and so match nothing.
pub(super) fn pairs(query: &str) -> impl Iterator<Item = (String, String)> {
    let decode = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    query.split('&').filter(|pair| !pair.is_empty()).map(move |pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name), decode(value))
    })
}

/// A time, as people give them.
pub(super) fn time(name: &str, value: &str) -> Result<Timestamp, Problem> {
    time_at(name, value, now())
}

pub(super) fn now() -> Timestamp {
    SystemTime::now().into()
}

fn time_at(name: &str, value: &str, now: Timestamp) -> Result<Timestamp, Problem> {
    time_input::read_query(value, now).map_err(|_| Problem::bad_parameter(name, value, time_input::EXPECTED))
}

fn missing_time(name: &str) -> Problem {
    Problem::bad_parameter(name, "", time_input::EXPECTED)
}

/// A stretch ends after it begins.
pub(super) fn check_order(name: &str, start: Timestamp, end: Timestamp) -> Result<(), Problem> {
    if start < end {
        return Ok(());
    }
    Err(Problem::bad_parameter(name, &end.to_string(), &format!("a time after the start, {start}")))
}

/// The parts of a path behind the fixed beginning of its route.
#[derive(Debug)]
pub(super) struct PathParts {
    beginning: String,
    pub(super) parts: Vec<String>,
}

impl FromRequestParts<Arc<App>> for PathParts {
    type Rejection = Problem;

    async fn from_request_parts(request: &mut Parts, _: &Arc<App>) -> Result<Self, Problem> {
        let route = request.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
        let beginning = route.split("/{").next().unwrap_or_default().to_owned();
        let parts = pathname::parts(request.uri.path().as_bytes(), beginning.as_bytes())?;
        Ok(Self { parts: parts.into_iter().map(Cow::into_owned).collect(), beginning })
    }
}

impl PathParts {
    /// The channel and quality at the beginning.
    pub(super) fn stream(&self) -> Result<Stream, BadName> {
        let part = |at: usize| self.parts.get(at).map_or("", String::as_str);
        Stream::new(part(0), part(1))
    }

    /// The channel and quality of `CHANNEL/QUALITY.EXTENSION`.
    pub(super) fn stream_file(&self, extension: &str) -> Result<Stream, Problem> {
        let missing = || {
            let beginning = &self.beginning;
            Problem::not_found(&format!("such address; expected is {beginning}/CHANNEL/QUALITY{extension}"))
        };
        let [channel, file] = self.parts.as_slice() else { return Err(missing()) };
        let quality = file.strip_suffix(extension).ok_or_else(missing)?;
        Stream::new(channel, quality).map_err(|_| missing())
    }
}

/// The channel and quality that a path names.
pub(super) struct StreamPath(pub(super) Stream);

impl FromRequestParts<Arc<App>> for StreamPath {
    type Rejection = Problem;

    async fn from_request_parts(request: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let stream = PathParts::from_request_parts(request, app).await?.stream();
        stream.map(Self).map_err(no_stream)
    }
}

pub(super) fn no_stream(error: BadName) -> Problem {
    Problem::not_found(&format!("such channel and quality: {error}"))
}

/// All of a request but its body.
pub(super) struct RequestHead(pub(super) Parts);

impl FromRequest<Arc<App>> for RequestHead {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &Arc<App>) -> Result<Self, Problem> {
        Ok(Self(request.into_parts().0))
    }
}

/// A body of JSON, read.
pub(super) struct JsonBody<T>(pub(super) T);

/// What is asked for in a body, and an example of it.
pub(super) trait FromBody: DeserializeOwned {
    const EXAMPLE: &'static str;
}

impl<T: FromBody> FromRequest<Arc<App>> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &Arc<App>) -> Result<Self, Problem> {
        read_body(request.into_body(), T::EXAMPLE).await.map(Self)
    }
}

async fn read_body<T: DeserializeOwned>(body: Body, expected: &str) -> Result<T, Problem> {
    let mut chunks = body.into_data_stream();
    let mut whole = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Problem::bad_body("it broke off", expected))?;
        if whole.len() + chunk.len() > MOST_BODY {
            return Err(Problem::body_too_large(MOST_BODY));
        }
        whole.extend_from_slice(&chunk);
    }
    // A list would be taken for the fields of a shape in their order.
    if !whole.trim_ascii_start().starts_with(b"{") {
        return Err(Problem::bad_body("it is no JSON object", expected));
    }
    serde_json::from_slice(&whole).map_err(|error| Problem::bad_body(&error.to_string(), expected))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn given(query: &str) -> Parameters {
        Parameters::new(query, 10)
    }

    #[test]
    fn a_plus_of_an_offset_survives_the_query() {
        for (query, hour) in [
            ("at=2019-11-13T04:30:00+02:30", "2019-11-13T02:00"),
            ("at=2019-11-13T02:00:00Z", "2019-11-13T02:00"),
            ("at=2019-11-13+04:30:00+02:30", "2019-11-13T02:00"),
            ("at=2019-11-13T03:00:00+01", "2019-11-13T02:00"),
        ] {
            assert_eq!(given(query).needed_time("at").unwrap(), Timestamp::parse(hour).unwrap(), "{query}");
        }
        let ago = given("at=1h+ago").needed_time("at").unwrap();
        assert!(ago < given("at=now").needed_time("at").unwrap());
        assert!(given("at=tomorrow").time("at").is_err() && given("").needed_time("at").is_err());
    }

    #[test]
    fn each_value_must_be_good_and_the_last_one_counts() {
        assert_eq!(given("limit=10").limit(3).unwrap(), 10);
        assert_eq!((given("").limit(3).unwrap(), given("").limit(30).unwrap()), (3, 10));
        assert_eq!(given("limit=1&limit=2").limit(3).unwrap(), 2);
        for bad in ["0", "11", "-1", "1e3", "", "99999999999999999999999", "0&limit=1"] {
            assert!(given(&format!("limit={bad}")).limit(3).is_err(), "{bad}");
        }
        assert!(given("gaps=True").flag("gaps").unwrap() && !given("").flag("gaps").unwrap());
    }

    proptest! {
        #[test]
        fn any_query_is_read_without_a_panic(query in "\\PC{0,60}") {
            let given = given(&query);
            for (name, _) in pairs(&query) {
                let _either = (given.time(&name), given.count(&name, 5), given.flag(&name));
            }
        }
    }
}
