//! A store that speaks S3, in this process and behind a real socket: `s3s-fs` over a directory, with a line in front of it.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Deref;
use std::path::PathBuf;

use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use tempfile::TempDir;

pub use super::store_line::LineFault;
use super::store_line::{StoreBehind, StoreLine};

pub const KEY: &str = "AKIDEXAMPLE";
pub const SECRET: &str = "hush-hush-hush";
pub const BUCKET: &str = "archive";
pub const REGION: &str = "us-east-1";

/// The store; it ends with the value, and so does what is in it.
pub struct TestStore {
    dir: TempDir,
    line: StoreLine,
}

impl TestStore {
    /// With an empty bucket.
    pub fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(BUCKET)).unwrap();
        let mut builder = S3ServiceBuilder::new(FileSystem::new(dir.path()).unwrap());
        builder.set_auth(SimpleAuth::from_single(KEY, SECRET));
        Self { line: StoreLine::to(StoreBehind::Here(builder.build())), dir }
    }

    /// Where the bytes of an object lie.
    pub fn file(&self, key: &str) -> PathBuf {
        self.dir.path().join(BUCKET).join(key)
    }

    /// Uploads that were begun and neither completed nor ended.
    pub fn open_uploads(&self) -> usize {
        // A part that was on its way when its upload ended may lie there all the same, which stores do not take.
        let names = fs::read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().starts_with(".upload-")).count()
    }

    /// All objects, by their paths.
    pub fn objects(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let (mut found, mut waiting) = (BTreeMap::new(), vec![self.dir.path().join(BUCKET)]);
        while let Some(dir) = waiting.pop() {
            for path in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
                if path.is_dir() {
                    waiting.push(path);
                } else if path.extension().is_some_and(|is| is == "tar") {
                    found.insert(path.clone(), fs::read(path).unwrap());
                }
            }
        }
        found
    }
}

impl Deref for TestStore {
    type Target = StoreLine;

    fn deref(&self) -> &StoreLine {
        &self.line
    }
}
