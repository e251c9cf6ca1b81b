//! Asks a PostgreSQL table for the list of nodes: one short, read-only connection for each answer.
//!
//! 1. Whatever the operator's query gives, the server is asked for so many rows and so long texts only, in a transaction that
//!    can only read and that the server ends when it takes too long.
//! 2. Who says how it went never says the password: neither the address as given nor what the parser says of it is repeated.
//! 3. A certificate is always checked where there is encryption: against `node_database_ca_file`, or the system's authorities.
//!    `prefer` does without encryption where that fails, as it does in every client; `require` and `verify-full` do not.

use std::error::Error as _;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;
use std::{fmt, io};

use futures_util::TryStreamExt as _;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Error, SimpleQueryMessage, SimpleQueryRow};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::SourceError;
use super::entry::{BadEntry, ENTRIES, ListedSources, NAME_BYTES, SourceEntry, URL_BYTES};
use super::file;
use crate::net::tls;

/// How long one server may take to be connected to and to let us in.
const CONNECT: Duration = Duration::from_secs(5);
/// How long it may take to answer; it ends the query itself then, and is given a little more to say so.
const QUERY: Duration = Duration::from_secs(10);
const GRACE: Duration = Duration::from_secs(1);
/// Where servers listen when nothing else is said.
const PORT: u16 = 5432;
/// Of the words of a server; its errors are sentences.
const WORDS: usize = 300;

/// Where the database is. Never shows the password.
#[derive(Clone)]
pub struct Connection {
    config: Config,
    shown: String,
}

#[derive(Debug, Clone)]
pub struct Database {
    pub(super) connection: Connection,
    query: String,
    password_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
}

impl Connection {
    /// Reads a URL or `key=value` pairs, as libpq does.
    pub fn parse(text: &str) -> Result<Self, SourceError> {
        if text.contains("sslrootcert") {
            return Err(SourceError::Address("sslrootcert is given by the setting backfill.node_database_ca_file"));
        }
        let understood = with_known_modes(text).parse();
        let mut config: Config = understood.map_err(|_| SourceError::Address("its form is not the expected one"))?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(SourceError::Address("it names no host"));
        }
        let hosts = config.get_hosts().len().max(config.get_hostaddrs().len());
        if !matches!(config.get_ports().len(), 0 | 1) && config.get_ports().len() != hosts {
            return Err(SourceError::Address("it has not as many ports as hosts"));
        }
        if config.get_user().is_none() {
            return Err(SourceError::Address("it names no user"));
        }
        config.application_name("gapless");
        let mut connection = Self { config, shown: String::new() };
        connection.shown = connection.describe();
        Ok(connection)
    }

    /// Each server: its name, where it is, and its port.
    fn servers(&self) -> Vec<(String, Host, u16)> {
        let (hosts, addresses, ports) = (self.config.get_hosts(), self.config.get_hostaddrs(), self.config.get_ports());
        let server = |at: usize| {
            let host = hosts.get(at);
            let target = match (host, addresses.get(at)) {
                (_, Some(address)) => Host::Tcp(address.to_string()),
                (Some(host), None) => host.clone(),
                (None, None) => return None,
            };
            let name = match host.unwrap_or(&target) {
                Host::Tcp(name) => name.clone(),
                Host::Unix(dir) => dir.display().to_string(),
            };
            let port = ports.get(at).or(ports.first()).copied().unwrap_or(PORT);
            Some((name, target, port))
        };
        (0..hosts.len().max(addresses.len())).filter_map(server).collect()
    }

    fn describe(&self) -> String {
        let servers = self.servers().into_iter().map(|(name, _, port)| format!("{name}:{port}"));
        let servers = servers.collect::<Vec<_>>().join(",");
        let user = self.config.get_user().unwrap_or_default();
        format!("postgresql://{user}@{servers}/{}", self.config.get_dbname().unwrap_or(user))
    }
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({})", self.shown)
    }
}

/// The modes that libpq knows, said with the three that the library knows: certificates are always checked.
fn with_known_modes(text: &str) -> String {
    let known = |word: &str| match word {
        "sslmode=allow" => "sslmode=prefer".to_owned(),
        "sslmode=verify-ca" | "sslmode=verify-full" => "sslmode=require".to_owned(),
        other => other.to_owned(),
    };
    let all =
        |words: &str, between: char| words.split(between).map(known).collect::<Vec<_>>().join(&between.to_string());
    match text.rsplit_once('?') {
        Some((front, parameters)) if text.contains("://") => format!("{front}?{}", all(parameters, '&')),
        _ => all(text, ' '),
    }
}

impl Database {
    /// The query gives name and address in its first two columns. The password file is read anew for each answer. With the
    /// certificate of an authority there is no connection without encryption.
    pub fn new(
        connection: Connection,
        query: String,
        password_file: Option<PathBuf>,
        ca_file: Option<PathBuf>,
    ) -> Result<Self, SourceError> {
        if ca_file.is_some() && connection.config.get_ssl_mode() == SslMode::Disable {
            return Err(SourceError::Address("sslmode=disable contradicts backfill.node_database_ca_file"));
        }
        Ok(Self { connection, query, password_file, ca_file })
    }

    /// What it is, for telling one from another: where, and what is asked.
    pub(super) fn identity(&self) -> String {
        format!("{} {}", self.connection, self.query)
    }

    /// Asks the first server that can be connected to.
    pub(super) async fn read(&self) -> Result<ListedSources, SourceError> {
        let mut config = self.connection.config.clone();
        if self.ca_file.is_some() && config.get_ssl_mode() == SslMode::Prefer {
            config.ssl_mode(SslMode::Require);
        }
        let (password_file, ca_file) = (self.password_file.clone(), self.ca_file.clone());
        let encrypted = config.get_ssl_mode() != SslMode::Disable;
        let prepared = tokio::task::spawn_blocking(move || -> Result<_, SourceError> {
            let password = password_file.as_deref().map(file::password).transpose()?;
            let trusted = if encrypted { tls::trusting(ca_file.as_deref())? } else { tls::trusting_nobody()? };
            Ok((password, trusted))
        });
        let (password, trusted) = prepared.await.map_err(|error| SourceError::Thread(error.to_string()))??;
        if let Some(password) = password {
            config.password(password);
        }
        let mut tls = MakeRustlsConnect::new((*trusted).clone());
        let mut why = SourceError::Address("it names no host");
        for (name, host, port) in self.connection.servers() {
            match self.ask(&config, &mut tls, &name, &host, port).await {
                Err(error @ (SourceError::Connect { .. } | SourceError::Encryption { .. })) => why = error,
                answer => return answer,
            }
        }
        Err(why)
    }

    async fn ask(
        &self,
        config: &Config,
        tls: &mut MakeRustlsConnect,
        name: &str,
        host: &Host,
        port: u16,
    ) -> Result<ListedSources, SourceError> {
        let mut config = config.clone();
        if matches!(host, Host::Unix(_)) {
            // No network is in between.
            config.ssl_mode(SslMode::Disable);
        }
        let mut connected = self.connect(&config, tls, name, host, port).await;
        if matches!(connected, Err(SourceError::Encryption { .. })) && config.get_ssl_mode() == SslMode::Prefer {
            tracing::debug!(name: "database_not_encrypted", database = %self.connection, "encryption fails and is only preferred");
            config.ssl_mode(SslMode::Disable);
            connected = self.connect(&config, tls, name, host, port).await;
        }
        let (client, connection) = connected?;
        let mut asking = pin!(timeout(QUERY + GRACE, self.query(&client)));
        let answer = tokio::select! {
            answer = &mut asking => answer,
            ended = connection => match ended {
                Err(error) => Ok(Err(self.said(&error))),
                Ok(()) => asking.await,
            },
        };
        answer.unwrap_or_else(|_| Err(self.slow("its answer is not complete", QUERY)))
    }

    async fn connect(
        &self,
        config: &Config,
        tls: &mut MakeRustlsConnect,
        name: &str,
        host: &Host,
        port: u16,
    ) -> Result<(Client, impl Future<Output = Result<(), Error>> + use<>), SourceError> {
        let refused = |why: String| SourceError::Connect { shown: self.connection.to_string(), why };
        let connecting = async {
            let stream = open(host, port).await.map_err(|error| refused(error.to_string()))?;
            let Ok(tls) = MakeTlsConnect::<Bounded>::make_tls_connect(tls, name);
            config.connect_raw(stream, tls).await.map_err(|error| match tls::explain(&error) {
                Some(why) => SourceError::Encryption { shown: self.connection.to_string(), why },
                None => refused(message(&error)),
            })
        };
        match timeout(CONNECT, connecting).await {
            Ok(connected) => connected,
            Err(_) => Err(refused(format!("no answer after {} s", CONNECT.as_secs()))),
        }
    }

    async fn query(&self, client: &Client) -> Result<ListedSources, SourceError> {
        let said = |error: Error| self.said(&error);
        // Of the transaction only, so that a pooler can give the server's connection to somebody else afterwards.
        let limits = format!("BEGIN TRANSACTION READ ONLY; SET LOCAL statement_timeout = {}", QUERY.as_millis());
        client.batch_execute(&limits).await.map_err(said)?;
        let mut rows = pin!(client.simple_query_raw(&self.bounded()).await.map_err(said)?);
        let (mut listed, mut count) = (ListedSources::default(), 0);
        while let Some(message) = rows.try_next().await.map_err(said)? {
            let SimpleQueryMessage::Row(row) = message else { continue };
            count += 1;
            if count > ENTRIES {
                return Err(SourceError::TooMany);
            }
            match entry_of(&row) {
                Ok(entry) => listed.entries.push(entry),
                Err(error) => listed.problem(self.of_row(&row, &error)),
            }
        }
        Ok(listed.close())
    }

    /// The operator's query, for so many rows and so long texts.
    fn bounded(&self) -> String {
        format!(
            "SELECT left(name::text, {}), left(url::text, {}) FROM ({}\n) AS listed(name, url) LIMIT {}",
            NAME_BYTES + 1,
            URL_BYTES + 1,
            self.query.trim().trim_end_matches(';'),
            ENTRIES + 1
        )
    }

    fn of_row(&self, row: &SimpleQueryRow, error: &BadEntry) -> String {
        let name = row.try_get(0).ok().flatten().unwrap_or("without a name");
        let name: String = name.chars().take(40).flat_map(char::escape_debug).collect();
        format!("{}, row {name}: {error}", self.connection)
    }

    fn said(&self, error: &Error) -> SourceError {
        SourceError::Query { shown: self.connection.to_string(), why: message(error) }
    }

    fn slow(&self, what: &str, after: Duration) -> SourceError {
        let why = format!("{what} after {} s", after.as_secs());
        SourceError::Query { shown: self.connection.to_string(), why }
    }
}

fn entry_of(row: &SimpleQueryRow) -> Result<SourceEntry, BadEntry> {
    let url = row.try_get(1).ok().flatten().ok_or(BadEntry::NoUrl)?;
    SourceEntry::new(row.try_get(0).ok().flatten(), url)
}

/// What the server or the library says, on one line and not too long.
fn message(error: &Error) -> String {
    let text = match error.as_db_error() {
        Some(said) => format!("{}: {}", said.severity(), said.message()),
        None => error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}")),
    };
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(WORDS).collect()
}

/// Bytes that a server may send: a thousand rows of the longest names and addresses have 2.3 MB. More is held by nobody.
const BYTES: usize = 8 << 20;

trait AsyncStream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> AsyncStream for S {}

/// A connection from which only so much can be read.
pub(super) struct Bounded {
    stream: Box<dyn AsyncStream>,
    left: usize,
}

pub(super) async fn open(host: &Host, port: u16) -> io::Result<Bounded> {
    let stream: Box<dyn AsyncStream> = match host {
        Host::Tcp(name) => Box::new(TcpStream::connect((name.as_str(), port)).await?),
        Host::Unix(dir) => Box::new(UnixStream::connect(dir.join(format!(".s.PGSQL.{port}"))).await?),
    };
    Ok(Bounded { stream, left: BYTES })
}

impl AsyncRead for Bounded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        let Some(left) = self.left.checked_sub(buf.filled().len().saturating_sub(before)) else {
            buf.set_filled(before);
            return Poll::Ready(Err(io::Error::other(format!("it sent more than {BYTES} bytes"))));
        };
        self.left = left;
        polled
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_password() {
        for (text, shown) in [
            ("postgresql://u:secret@db.example/nodes?sslmode=verify-full", "postgresql://u@db.example:5432/nodes"),
            ("postgres://u:se%3Fcret@a:1,b:2/d?connect_timeout=3&sslmode=allow", "postgresql://u@a:1,b:2/d"),
            ("host=db.example user=u password='secret' sslmode=verify-ca", "postgresql://u@db.example:5432/u"),
            ("host=/run/postgresql user=u dbname=d port=5433", "postgresql://u@/run/postgresql:5433/d"),
            ("hostaddr=192.0.2.1 user=u", "postgresql://u@192.0.2.1:5432/u"),
        ] {
            let connection = Connection::parse(text).unwrap();
            assert_eq!(connection.to_string(), shown);
            assert!(!format!("{connection:?}").contains("cret"));
        }
    }

    #[test]
    fn what_is_no_address_is_told_without_repeating_it() {
        for text in [
            "",
            "secret",
            "postgresql://u:secret@",
            "postgresql:///d",
            "host=h",
            "host=h user=u password=secret sslmode=secret",
            "host=h user=u secret=secret",
            "host=h user=u port=secret",
            "host=a,b,c port=1,2 user=u",
            "http://u:secret@h/d",
            "postgresql://u:secret@h/d?sslrootcert=/x",
        ] {
            let told = Connection::parse(text).unwrap_err().to_string();
            assert!(!told.contains("secret") && told.contains("expected is postgresql://"), "{told}");
        }
    }

    #[test]
    fn modes_of_libpq_are_understood() {
        for (text, mode) in [
            ("postgresql://u@h/d", SslMode::Prefer),
            ("postgresql://u@h/d?sslmode=disable", SslMode::Disable),
            ("postgresql://u@h/d?sslmode=allow", SslMode::Prefer),
            ("postgresql://u@h/d?application_name=x&sslmode=verify-full", SslMode::Require),
            ("host=h user=u sslmode=verify-ca", SslMode::Require),
            ("host=h user=u sslmode=require", SslMode::Require),
        ] {
            assert_eq!(Connection::parse(text).unwrap().config.get_ssl_mode(), mode, "{text}");
        }
    }

    #[test]
    fn the_query_is_bounded_whatever_it_ends_with() {
        let connection = Connection::parse("host=h user=u").unwrap();
        let database = Database::new(connection, " SELECT a, b FROM c -- all;\n; ".to_owned(), None, None).unwrap();
        assert_eq!(
            database.bounded(),
            "SELECT left(name::text, 129), left(url::text, 2049) FROM (SELECT a, b FROM c -- all;\n\n) AS listed(name, url) LIMIT 1001"
        );
    }
}

#[cfg(test)]
mod bounded_tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn no_more_is_read_than_is_allowed() {
        let mut few = Bounded { stream: Box::new(io::Cursor::new(vec![7_u8; 10])), left: 10 };
        let mut read = Vec::new();
        assert_eq!(few.read_to_end(&mut read).await.unwrap(), 10);
        let mut many = Bounded { stream: Box::new(io::Cursor::new(vec![7_u8; 11])), left: 10 };
        assert!(many.read_to_end(&mut read).await.unwrap_err().to_string().contains("more than"));
    }
}
