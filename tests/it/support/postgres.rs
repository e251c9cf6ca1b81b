//! A real PostgreSQL server: the one that `scripts/test` has started, or one of its own that ends with the value.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use super::trouble::{run, set_mode, text};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/postgres");

/// A server.
#[derive(Debug)]
pub struct Postgres {
    dir: PathBuf,
    own: Option<TempDir>,
}

impl Postgres {
    /// The one for all tests, if there is one; nobody may stop it.
    pub fn any() -> Self {
        match std::env::var_os("GAPLESS_TEST_POSTGRES") {
            Some(dir) => Self { dir: dir.into(), own: None },
            None => Self::own(|_| {}),
        }
    }

    /// One that nobody else uses; `prepare` may put a certificate and its key into its directory.
    pub fn own(prepare: impl FnOnce(&Path)) -> Self {
        let own = tempfile::tempdir().unwrap();
        // The server runs as somebody else.
        set_mode(own.path(), 0o755);
        prepare(own.path());
        let server = Self { dir: own.path().to_owned(), own: Some(own) };
        server.start();
        server
    }

    pub fn start(&self) {
        run(SCRIPT, &["start", text(&self.dir)]).unwrap();
    }

    pub fn stop(&self) {
        run(SCRIPT, &["stop", text(&self.dir)]).unwrap();
    }

    /// A database with an empty table of nodes.
    pub fn database(&self) -> Database<'_> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("nodes_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let database = Database { server: self, name };
        self.sql("postgres", &format!("CREATE DATABASE {}", database.name));
        database.sql("CREATE TABLE nodes (name text, url text, backfill_from boolean NOT NULL DEFAULT true)");
        database
    }

    fn port(&self) -> String {
        std::fs::read_to_string(self.dir.join("port")).unwrap().trim_end().to_owned()
    }

    fn sql(&self, database: &str, sql: &str) {
        let output = Command::new("psql")
            .args(["-h", text(&self.dir.join("socket")), "-p", &self.port(), "-U", "admin", "-d", database])
            .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", sql])
            .output()
            .unwrap();
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.own.is_some() {
            run(SCRIPT, &["stop", text(&self.dir)]).unwrap_or_else(|why| eprintln!("{why}"));
        }
    }
}

/// A database in it.
#[derive(Debug)]
pub struct Database<'s> {
    server: &'s Postgres,
    name: String,
}

impl Database<'_> {
    /// By TCP, as a superuser.
    pub fn url(&self) -> String {
        self.url_with("admin:admin")
    }

    /// By TCP, with these credentials.
    pub fn url_with(&self, credentials: &str) -> String {
        format!("postgresql://{credentials}@127.0.0.1:{}/{}", self.server.port(), self.name)
    }

    /// By its socket, which asks for no password.
    pub fn by_socket(&self) -> String {
        let socket = self.server.dir.join("socket");
        format!("host={} port={} user=admin dbname={}", socket.display(), self.server.port(), self.name)
    }

    pub fn sql(&self, sql: &str) {
        self.server.sql(&self.name, sql);
    }

    /// Another node in the table.
    pub fn add(&self, name: &str, url: &str) {
        self.sql(&format!("INSERT INTO nodes VALUES ('{name}', '{url}')"));
    }
}
