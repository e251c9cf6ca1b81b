//! Bearer tokens, and the files that they are read from.
//!
//! What is secret is never shown: a [`Token`] prints as dots, and no error repeats what stands in a file. Who may do what with
//! which token is decided by `http`.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};

/// The shortest token: 16 random characters of 64 are 96 bits, which nobody guesses over a network.
pub const SHORTEST: usize = 16;
/// The longest token, so that it fits into a head beside everything else.
pub const LONGEST: usize = 512;
/// The largest file: a hundred of the longest tokens, with a comment each.
const MOST_BYTES: u64 = 64 << 10;
/// Random bytes in a token that is made here.
const RANDOM_BYTES: usize = 32;
/// Who else than the owner may do what: anything by others, writing by the group.
const TOO_OPEN: u32 = 0o027;

/// Something that is to be kept secret and that lets its bearer in.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Box<str>);

impl Token {
    /// Checks the characters (RFC 9110's token68) and the length.
    pub fn new(text: &str) -> Option<Self> {
        let unpadded = text.trim_end_matches('=');
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~' | '+' | '/');
        let fits = (SHORTEST..=LONGEST).contains(&text.len()) && !unpadded.is_empty() && unpadded.chars().all(plain);
        fits.then(|| Self(text.into()))
    }

    /// A new one that nobody can guess.
    pub fn random() -> Self {
        let bytes: [u8; RANDOM_BYTES] = rand::random();
        Self(URL_SAFE_NO_PAD.encode(bytes).into())
    }

    /// The secret itself: for the one header it belongs in, or the one file.
    pub fn secret(&self) -> &str {
        &self.0
    }
}

/// Not the secret.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Why a file gives no tokens.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It cannot be opened or read.
    #[error("the token file {} cannot be read: {cause}; {}", path.display(), advice(path, cause))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// It is a directory, a pipe or a device.
    #[error("the token file {} is no regular file; name a file with one token a line", .0.display())]
    NoFile(PathBuf),
    /// Others may read or change it.
    #[error("the token file {} has mode {mode:04o}, so others than its owner can read or change it; run: chmod 600 {}", path.display(), path.display())]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It is too large to be one.
    #[error("the token file {} is larger than {MOST_BYTES} bytes; is it the right one?", .0.display())]
    TooLarge(PathBuf),
    /// A line is no token. What stands there is not repeated: it may be one with a typing error.
    #[error(
        "the token file {}, line {line}: expected one token of {SHORTEST} to {LONGEST} letters, digits or -._~+/ and nothing else, a comment after # at the beginning of the line, or nothing",
        path.display()
    )]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// There is none in it.
    #[error("the token file {} holds no token; write one into it: openssl rand -hex 32", .0.display())]
    Empty(PathBuf),
    /// There are several where one is sent.
    #[error("the token file {} holds {count} tokens; expected is the one that is to be sent", path.display())]
    Several {
        /// The file.
        path: PathBuf,
        /// How many.
        count: usize,
    },
}

fn advice(path: &Path, cause: &io::Error) -> String {
    let path = path.display();
    if cause.kind() == io::ErrorKind::PermissionDenied {
        return format!("give it to the group of whoever reads it: chgrp GROUP {path}; chmod 640 {path}");
    }
    format!("make it with: (umask 077; openssl rand -hex 32 > {path})")
}

/// Reads the tokens in a file that nobody but its owner (and, reading, its group) has access to.
pub fn read_all(path: &Path) -> Result<Vec<Token>, TokenError> {
    let unreadable = |cause: io::Error| TokenError::Unreadable { path: path.to_owned(), cause };
    // NONBLOCK: a pipe of that name must not make us wait for its other end.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = openat(CWD, path, flags, Mode::empty()).map_err(|errno| unreadable(errno.into()))?;
    // Of what was opened, not of what lies there now.
    let meta = fstat(&file).map_err(|errno| unreadable(errno.into()))?;
    if !FileType::from_raw_mode(meta.st_mode).is_file() {
        return Err(TokenError::NoFile(path.to_owned()));
    }
    if meta.st_mode & TOO_OPEN != 0 {
        return Err(TokenError::TooOpen { path: path.to_owned(), mode: meta.st_mode & 0o7777 });
    }
    let mut bytes = Vec::new();
    File::from(file).take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(TokenError::TooLarge(path.to_owned()));
    }
    let mut tokens = Vec::new();
    for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let wrong = || TokenError::Malformed { path: path.to_owned(), line: at + 1 };
        let line = std::str::from_utf8(line).map_err(|_| wrong())?.trim();
        if !line.is_empty() && !line.starts_with('#') {
            tokens.push(Token::new(line).ok_or_else(wrong)?);
        }
    }
    if tokens.is_empty() { Err(TokenError::Empty(path.to_owned())) } else { Ok(tokens) }
}

/// Reads the only token in such a file.
pub fn read_one(path: &Path) -> Result<Token, TokenError> {
    let mut tokens = read_all(path)?;
    match (tokens.pop(), tokens.len()) {
        (Some(only), 0) => Ok(only),
        (_, others) => Err(TokenError::Several { path: path.to_owned(), count: others + 1 }),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const ONE: &str = "0123456789abcdef";
    const OTHER: &str = "ABCDEFGHIJKLMNOP-._~+/==";

    fn file(text: &[u8], mode: u32) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (dir, path)
    }

    fn said(text: &[u8], mode: u32) -> String {
        let (_dir, path) = file(text, mode);
        read_all(&path).unwrap_err().to_string()
    }

    #[test]
    fn tokens_stand_one_a_line_among_comments() {
        let (_dir, path) = file(format!("# of the editors\n\n{ONE}\r\n  {OTHER}  \n# end").as_bytes(), 0o640);
        let secrets: Vec<String> = read_all(&path).unwrap().iter().map(|token| token.secret().to_owned()).collect();
        assert_eq!(secrets, [ONE, OTHER]);
        assert!(matches!(read_one(&path), Err(TokenError::Several { count: 2, .. })));
        let (_alone, only) = file(ONE.as_bytes(), 0o400);
        assert_eq!(read_one(&only).unwrap().secret(), ONE);
    }

    #[test]
    fn a_file_that_others_can_read_or_change_is_refused_with_what_to_do() {
        for mode in [0o644, 0o604, 0o602, 0o601, 0o660, 0o620] {
            let said = said(ONE.as_bytes(), mode);
            assert!(said.contains(&format!("{mode:04o}")) && said.contains("chmod 600"), "{said}");
        }
        for mode in [0o600, 0o400, 0o640, 0o440] {
            let (_dir, path) = file(ONE.as_bytes(), mode);
            assert_eq!(read_all(&path).unwrap().len(), 1, "{mode:o}");
        }
    }

    #[test]
    fn what_is_no_list_of_tokens_is_refused_and_not_repeated() {
        for (text, expected) in [
            (&b""[..], "holds no token"),
            (b"# nothing\n\n", "holds no token"),
            (b"secret-butshort", "line 1"),
            (b"# a\nsecret secret secret secret", "line 2"),
            (b"secret-secret-secret-\xff", "line 1"),
            (b"================", "line 1"),
            (b"secret=secret=secret", "line 1"),
            (&[b's'; 513], "line 1"),
            ("\n".repeat((64 << 10) + 1).as_bytes(), "larger than"),
        ] {
            let said = said(text, 0o600);
            assert!(said.contains(expected) && !said.contains("secret"), "{said}");
        }
    }

    #[test]
    fn only_a_regular_file_is_read() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(read_all(dir.path()), Err(TokenError::NoFile(_))));
        let pipe = dir.path().join("pipe");
        rustix::fs::mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR, 0).unwrap();
        assert!(matches!(read_all(&pipe), Err(TokenError::NoFile(_))));
        assert!(matches!(read_all(&dir.path().join("none")), Err(TokenError::Unreadable { .. })));
    }

    #[test]
    fn a_token_does_not_show_itself() {
        let token = Token::random();
        assert!(Token::new(token.secret()).is_some_and(|again| again == token));
        assert_ne!(token, Token::random());
        assert!(!format!("{token:?}").contains(token.secret()));
    }
}
