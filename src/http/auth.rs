//! Who may read and who may write: bearer tokens from files (RFC 6750).
//!
//! 1. What changes anything wants a write token, always. Where there are read tokens, everything else wants one too, except
//!    `/healthz`, `/readyz`, preflights and the page itself, which asks for the token that its questions want; a write token is good for both.
//! 2. The daemon makes one write token of its own, for the commands on this machine that may read its state directory. It holds
//!    on connections of this machine alone.
//! 3. Kept and compared are the SHA-256 of tokens, all of them each time and in constant time, so that neither the length nor the
//!    beginning of a token can be found out.
//! 4. The files are read again at most once a second, when somebody asks. What cannot be read changes nothing: the last good
//!    tokens stay, and the status says so.
//!
//! No token and no `Authorization` is ever logged or repeated.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};

use super::app::App;
use super::{Endpoint, Problem};
use crate::net::tokens::{self, Token, TokenError};

/// How long what was read holds before the file is read again: a request costs no reading, and who changes a token need not wait.
const HOLDS: Duration = Duration::from_secs(1);
/// What anybody may ask: so that whoever starts and balances nodes needs no token, and the page, which holds nothing of the archive
/// and asks for a token itself.
const OPEN: [&str; 4] = ["/healthz", "/readyz", "/", "/status"];
/// What the page is made of.
const OPEN_BELOW: &str = "/page/";

/// What the bearer of a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// No token, or none that is known.
    None,
    /// Ask.
    Read,
    /// Ask, and change something.
    Write,
}

/// The tokens that are known.
pub struct Auth {
    own: Token,
    own_digest: TokenDigest,
    /// Where the node listens.
    address: OnceLock<IpAddr>,
    write: Option<TokenFile>,
    read: Option<TokenFile>,
}

pub(super) type TokenDigest = [u8; 32];

/// Neither the token nor what it is compared with.
impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files: Vec<&PathBuf> = self.sources().map(|source| &source.path).collect();
        f.debug_struct("Auth").field("files", &files).finish_non_exhaustive()
    }
}

/// A file of tokens.
struct TokenFile {
    path: PathBuf,
    known: Mutex<ReadTokens>,
}

/// What was read from it.
struct ReadTokens {
    digests: Arc<[TokenDigest]>,
    read_at: Instant,
    trouble: Option<String>,
}

impl Auth {
    /// Reads the files; a missing, open or malformed one is an error. Makes the daemon's own token.
    pub fn open(write: Option<&Path>, read: Option<&Path>) -> Result<Self, TokenError> {
        let own = Token::random();
        let own_digest = digest(own.secret().as_bytes());
        Ok(Self {
            own,
            own_digest,
            address: OnceLock::new(),
            write: write.map(TokenFile::open).transpose()?,
            read: read.map(TokenFile::open).transpose()?,
        })
    }

    /// The daemon's own token.
    pub fn own(&self) -> &Token {
        &self.own
    }

    /// Whether reading wants a token.
    pub fn guards_reading(&self) -> bool {
        self.read.is_some()
    }

    /// What does not work about the files, for the status. Reads them again if it is time.
    pub fn troubles(&self) -> Vec<String> {
        self.refresh();
        self.sources().filter_map(|source| source.known.lock().trouble.clone()).collect()
    }

    /// The node listens there: its own commands come from there, if not by the loopback.
    pub fn listens_at(&self, address: IpAddr) {
        self.address.get_or_init(|| address);
    }

    /// Whether a connection is one of this machine. That alone proves nothing, because a proxy here passes strangers on; it only
    /// narrows where the daemon's own token holds: other services may serve the directory in which it lies.
    fn is_of_this_machine(&self, peer: Option<&ConnectInfo<SocketAddr>>) -> bool {
        let Some(ConnectInfo(peer)) = peer else { return cfg!(test) };
        let peer = peer.ip().to_canonical();
        peer.is_loopback() || self.address.get().is_some_and(|address| *address == peer)
    }

    /// What stands for the token of a request, known or not.
    pub(super) fn shown(headers: &HeaderMap) -> Option<TokenDigest> {
        bearer(headers).map(digest)
    }

    /// What the sender of a request may do.
    pub async fn right(self: &Arc<Self>, headers: &HeaderMap, peer: Option<&ConnectInfo<SocketAddr>>) -> Permission {
        let here = self.is_of_this_machine(peer);
        let Some(offered) = bearer(headers).map(digest) else { return Permission::None };
        if self.sources().any(TokenFile::is_due) {
            let auth = Arc::clone(self);
            if tokio::task::spawn_blocking(move || auth.refresh()).await.is_err() {
                tracing::error!(name: "tokens_not_read", "reading the token files crashed; the last good tokens stay");
            }
        }
        self.right_of(&offered, here)
    }

    fn right_of(&self, offered: &TokenDigest, here: bool) -> Permission {
        let matches = |source: &Option<TokenFile>| match source {
            Some(source) => is_among(offered, &source.known.lock().digests.clone()),
            None => Choice::from(0),
        };
        let may_write = matches(&self.write) | (offered.ct_eq(&self.own_digest) & Choice::from(u8::from(here)));
        let may_read = matches(&self.read);
        if may_write.into() {
            Permission::Write
        } else if may_read.into() {
            Permission::Read
        } else {
            Permission::None
        }
    }

    fn refresh(&self) {
        self.sources().for_each(TokenFile::refresh);
    }

    fn sources(&self) -> impl Iterator<Item = &TokenFile> {
        self.write.iter().chain(&self.read)
    }
}

impl TokenFile {
    fn open(path: &Path) -> Result<Self, TokenError> {
        let known = ReadTokens { digests: read(path)?, read_at: Instant::now(), trouble: None };
        Ok(Self { path: path.to_owned(), known: Mutex::new(known) })
    }

    fn is_due(&self) -> bool {
        self.known.lock().read_at.elapsed() >= HOLDS
    }

    fn refresh(&self) {
        if !self.is_due() {
            return;
        }
        // Others go on with what is known meanwhile.
        self.known.lock().read_at = Instant::now();
        let found = read(&self.path);
        let mut known = self.known.lock();
        match found {
            Ok(digests) => {
                if known.digests != digests {
                    tracing::info!(name: "tokens_changed", file = %self.path.display(), tokens = digests.len(), "other tokens hold from now on");
                }
                (known.digests, known.trouble) = (digests, None);
            }
            Err(error) => {
                if known.trouble.is_none() {
                    tracing::error!(name: "tokens_not_read", %error, "the last good tokens stay");
                }
                known.trouble = Some(format!("the last good tokens stay: {error}"));
            }
        }
    }
}

fn read(path: &Path) -> Result<Arc<[TokenDigest]>, TokenError> {
    Ok(tokens::read_all(path)?.iter().map(|token| digest(token.secret().as_bytes())).collect())
}

fn digest(secret: &[u8]) -> TokenDigest {
    Sha256::digest(secret).into()
}

/// Looks at all of them, whichever matches.
fn is_among(offered: &TokenDigest, known: &[TokenDigest]) -> Choice {
    known.iter().fold(Choice::from(0), |found, digest| found | offered.ct_eq(digest))
}

/// What stands behind `Bearer` in the only `Authorization` of a request.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?.as_bytes(), values.next()) else { return None };
    let (scheme, rest) = value.split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| rest.trim_ascii())
}

/// Middleware for every address: lets through who may read. Others are measured under a name of their own, whatever they ask.
pub async fn reading(State((app, measured)): State<(Arc<App>, Endpoint)>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if app.node.auth.guards_reading()
        && !OPEN.contains(&path)
        && !path.starts_with(OPEN_BELOW)
        && app.node.auth.right(request.headers(), request.extensions().get()).await < Permission::Read
    {
        return measured.begin(&request).finish(refused(&request, Permission::None));
    }
    next.run(request).await
}

/// Middleware for what changes something: lets through who may write. The body of others is not read.
pub async fn writing(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    match app.node.auth.right(request.headers(), request.extensions().get()).await {
        Permission::Write => next.run(request).await,
        right => refused(&request, right),
    }
}

fn refused(request: &Request, right: Permission) -> Response {
    let problem = match right {
        Permission::None => Problem::unauthorized(request.headers().contains_key(AUTHORIZATION)),
        Permission::Read | Permission::Write => Problem::may_only_read(),
    };
    problem.at(request.uri().path()).into_response()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const READER: &str = "reader-reader-reader";
    const WRITER: &str = "writer-writer-writer";

    fn write(path: &Path, text: &str) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn with_files() -> (tempfile::TempDir, Arc<Auth>) {
        let dir = tempfile::tempdir().unwrap();
        let (writers, readers) = (dir.path().join("w"), dir.path().join("r"));
        write(&writers, WRITER);
        write(&readers, READER);
        let auth = Auth::open(Some(&writers), Some(&readers)).unwrap();
        (dir, Arc::new(auth))
    }

    fn headers(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (AUTHORIZATION, value.parse().unwrap())).collect()
    }

    async fn right(auth: &Arc<Auth>, value: &str) -> Permission {
        auth.right(&headers(&[value]), None).await
    }

    #[tokio::test]
    async fn the_own_token_holds_on_this_machine_alone() {
        let auth = Arc::new(Auth::open(None, None).unwrap());
        auth.listens_at("192.0.2.7".parse().unwrap());
        let own = headers(&[&format!("Bearer {}", auth.own().secret())]);
        for (peer, right) in [
            ("127.0.0.1:5", Permission::Write),
            ("[::1]:5", Permission::Write),
            ("[::ffff:127.0.0.1]:5", Permission::Write),
            ("192.0.2.7:5", Permission::Write),
            ("192.0.2.8:5", Permission::None),
        ] {
            let peer = ConnectInfo(peer.parse().unwrap());
            assert_eq!(auth.right(&own, Some(&peer)).await, right, "{peer:?}");
        }
    }

    #[tokio::test]
    async fn a_token_gives_the_right_of_its_file() {
        let (_dir, auth) = with_files();
        assert_eq!(right(&auth, &format!("Bearer {READER}")).await, Permission::Read);
        assert_eq!(right(&auth, &format!("bearer   {WRITER} ")).await, Permission::Write);
        assert_eq!(right(&auth, &format!("Bearer {}", auth.own().secret())).await, Permission::Write);
        for wrong in ["", "Bearer", "Bearer ", "Basic d3JpdGVyOndyaXRlcg==", WRITER, "Bearer writer-writer-write"] {
            assert_eq!(right(&auth, wrong).await, Permission::None, "{wrong:?}");
        }
        assert_eq!(right(&auth, &format!("Bearer {WRITER}x")).await, Permission::None);
        assert_eq!(auth.right(&HeaderMap::new(), None).await, Permission::None);
        let twice = format!("Bearer {WRITER}");
        assert_eq!(auth.right(&headers(&[&twice, &twice]), None).await, Permission::None, "which one is meant?");
    }

    #[tokio::test]
    async fn without_files_only_the_own_token_counts_and_reading_is_free() {
        let auth = Arc::new(Auth::open(None, None).unwrap());
        assert!(!auth.guards_reading());
        assert_eq!(right(&auth, &format!("Bearer {WRITER}")).await, Permission::None);
        assert_eq!(right(&auth, &format!("Bearer {}", auth.own().secret())).await, Permission::Write);
    }

    #[tokio::test]
    async fn a_changed_file_counts_and_a_broken_one_changes_nothing() {
        let (dir, auth) = with_files();
        let due = |known: &Auth| {
            for source in known.sources() {
                source.known.lock().read_at = Instant::now().checked_sub(HOLDS).unwrap();
            }
        };
        let (old, new) = (format!("Bearer {WRITER}"), "Bearer another-another-another");
        write(&dir.path().join("w"), "another-another-another");
        due(&auth);
        assert_eq!((right(&auth, &old).await, right(&auth, new).await), (Permission::None, Permission::Write));
        assert_eq!(auth.troubles(), [""; 0]);

        fs::set_permissions(dir.path().join("w"), fs::Permissions::from_mode(0o644)).unwrap();
        due(&auth);
        assert_eq!(right(&auth, new).await, Permission::Write);
        let troubles = auth.troubles();
        assert!(troubles.len() == 1 && troubles[0].contains("chmod 600"), "{troubles:?}");
        fs::remove_file(dir.path().join("w")).unwrap();
        due(&auth);
        assert!(auth.troubles()[0].contains("cannot be read"), "{:?}", auth.troubles());
        assert_eq!(right(&auth, new).await, Permission::Write);

        write(&dir.path().join("w"), WRITER);
        due(&auth);
        assert_eq!((right(&auth, &old).await, right(&auth, new).await), (Permission::Write, Permission::None));
        assert_eq!(auth.troubles(), [""; 0]);
    }

    #[test]
    fn nothing_secret_is_printed() {
        let (_dir, auth) = with_files();
        let printed = format!("{auth:?}");
        assert!(!printed.contains(WRITER) && !printed.contains(auth.own().secret()), "{printed}");
    }
}
