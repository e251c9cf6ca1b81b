//! The files by which other commands of this machine find the daemon.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::net::tls::{self, Fingerprint};
use crate::net::tokens::Token;

/// Follows the certificate's files until the node ends. Who reads the address file knows a certificate before it is shown.
pub(super) async fn renew(server: Arc<tls::TlsServer>, address_file: Arc<AddressFile>, stop: CancellationToken) {
    let announce = move |fresh| {
        address_file.show(fresh);
        address_file.write_or_warn();
    };
    tokio::select! {
        () = server.follow_files(announce) => {}
        () = stop.cancelled() => {}
    }
}

/// The files by which the command line learns where the daemon listens, and which certificate it shows.
///
/// The token lies beside the address in a file of its own: anybody on this machine may know where the daemon is, and only who may
/// read what belongs to its user may change something through it.
pub(super) struct AddressFile {
    dir: PathBuf,
    address: SocketAddr,
    name: String,
    token: Token,
    state: Mutex<AddressState>,
}

#[derive(Default)]
struct AddressState {
    /// The certificate that is shown, and the one before, which is still shown for a moment after it was renewed.
    certificates: Vec<Fingerprint>,
    written: bool,
}

impl AddressFile {
    const NAME: &str = "daemon.json";
    const TOKEN: &str = "daemon.token";

    pub(super) fn new(dir: &Path, address: SocketAddr, name: &str, shown: Option<Fingerprint>, token: &Token) -> Self {
        let state = AddressState { certificates: shown.into_iter().collect(), written: false };
        let (name, token) = (name.to_owned(), token.clone());
        Self { dir: dir.to_owned(), address, name, token, state: Mutex::new(state) }
    }

    pub(super) fn show(&self, fresh: Fingerprint) {
        let mut state = self.state.lock();
        state.certificates.insert(0, fresh);
        state.certificates.truncate(2);
        state.written = false;
    }

    pub(super) fn is_written(&self) -> bool {
        self.state.lock().written
    }

    fn text(&self, state: &AddressState) -> String {
        let certificates: Vec<String> = state.certificates.iter().map(Fingerprint::to_string).collect();
        let scheme = if certificates.is_empty() { "http" } else { "https" };
        let text = serde_json::json!({
            "address": self.address.to_string(), "scheme": scheme, "certificates": certificates,
            "pid": std::process::id(), "name": self.name, "directory": crate::disk::directory_id(&self.dir),
        });
        text.to_string()
    }

    pub(super) fn write(&self) -> Result<(), crate::disk::DiskError> {
        // Held while writing, so that what is newer is never overtaken by what is older.
        let mut state = self.state.lock();
        if let Err(error) = std::fs::create_dir_all(&self.dir) {
            tracing::debug!(name: "state_dir_missing", directory = %self.dir.display(), %error, "the state directory still cannot be made");
        }
        let Some(dir) = crate::disk::Base::open(&self.dir)?.dir(Path::new(""))? else { return Ok(()) };
        // First, so that the token is there once the address can be found.
        crate::disk::atomic::replace_secret(&dir, Self::TOKEN.as_ref(), self.token.secret().as_bytes())?;
        crate::disk::atomic::replace(&dir, Self::NAME.as_ref(), self.text(&state).as_bytes())?;
        state.written = true;
        Ok(())
    }

    /// Writes it, and says so where that fails.
    pub(super) fn write_or_warn(&self) {
        if let Err(error) = self.write() {
            tracing::warn!(name: "address_not_written", %error, "other commands cannot find this node until this can be written");
        }
    }

    pub(super) fn remove(&self) {
        for name in [Self::NAME, Self::TOKEN] {
            let file = self.dir.join(name);
            if let Err(error) = std::fs::remove_file(&file) {
                tracing::debug!(name: "address_file_kept", file = %file.display(), %error, "the address file could not be removed");
            }
        }
    }
}
