//! A node and a store to be asked, and what the tests do to them behind their backs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use sha2::{Digest as _, Sha256};

use super::super::{PeerRemote, Remote, StoredObjects};
use crate::archive::{Hash, HourManifest, HourPlace, ManifestFile, ObjectPiece, PackedHour};
use crate::bucket::{AccessKeys, Bucket, BucketSettings, CredentialSource};
use crate::disk::{Base, BucketManifests};
use crate::http::test_node::TestNode;
use crate::net::tls;
use crate::replicate::peer::tests::in_process::InProcessPeer;
use crate::replicate::peer::{Peer, PeerClient, PeerLimits, PeerUrl};

pub(super) const HOUR: &str = "a/b/2019-11-13T02";
const BUCKET: &str = "archive";

pub(super) fn hash_of(content: &[u8]) -> Hash {
    Hash(Sha256::digest(content).into())
}

fn packed(files: &BTreeMap<String, Vec<u8>>) -> PackedHour {
    let file = |(name, content): (&String, &Vec<u8>)| ManifestFile {
        name: name.as_str().into(),
        size: content.len() as u64,
        sha256: hash_of(content),
    };
    let place = HourPlace::parse(HOUR).unwrap();
    PackedHour::plan(HourManifest::new(place, files.iter().map(file).collect(), Vec::new()).unwrap())
}

pub(super) trait TestPlace {
    type Remote: Remote;

    fn remote(&self) -> Self::Remote;

    /// It has these files from now on.
    fn hold(&self, files: &BTreeMap<String, Vec<u8>>);

    /// One byte of a file becomes another one.
    fn damage(&self, name: &str);
}

pub(super) struct NodePlace {
    node: TestNode,
    _address: InProcessPeer,
    peer: Peer,
    client: PeerClient,
}

impl NodePlace {
    pub(super) fn new() -> Self {
        let node = TestNode::new();
        let address = InProcessPeer::open(node.routes());
        let url = PeerUrl::parse(&format!("http://{}", address.address())).unwrap();
        let peer = Peer { name: "other".to_owned(), url, trusted: false };
        let client = PeerClient::new(PeerLimits::default(), &tls::trusting_nobody().unwrap()).unwrap();
        Self { node, _address: address, peer, client }
    }

    pub(super) fn peer(&self) -> &Peer {
        &self.peer
    }

    pub(super) fn client(&self) -> &PeerClient {
        &self.client
    }

    fn look(&self) {
        tokio::task::block_in_place(|| self.node.look(HOUR));
    }

    pub(super) async fn lists(&self, name: &str) -> bool {
        let names: Vec<String> = self.node.get(&format!("/files/{HOUR}")).await;
        names.iter().any(|listed| listed == name)
    }

    /// An object of its bucket has this file as well, as it is noted there.
    pub(super) fn hold_in_bucket(&self, name: &str, content: &[u8]) {
        let object = packed(&[(name.to_owned(), content.to_vec())].into());
        let base = Base::open(self.node.directory.path()).unwrap();
        let notes = BucketManifests::of(&base);
        notes.write(object.manifest().place(), object.object_name().manifest, object.manifest_bytes()).unwrap();
        self.look();
    }

    pub(super) fn delete(&self, name: &str) {
        tokio::task::block_in_place(|| self.node.remove(HOUR, name));
    }
}

impl TestPlace for NodePlace {
    type Remote = PeerRemote;

    fn remote(&self) -> PeerRemote {
        PeerRemote::new(&self.client, &self.peer, true)
    }

    fn hold(&self, files: &BTreeMap<String, Vec<u8>>) {
        for (name, content) in files {
            self.node.write(&format!("{HOUR}/{name}"), content);
        }
        self.look();
    }

    fn damage(&self, name: &str) {
        let path = self.node.directory.path().join(HOUR).join(name);
        let mut content = std::fs::read(&path).unwrap();
        content[0] ^= 4;
        std::fs::write(path, content).unwrap();
    }
}

/// A store that speaks S3, in this process and behind a real socket.
pub(super) struct StorePlace {
    dir: tempfile::TempDir,
    bucket: Bucket,
    /// That ask for bytes.
    requests: Arc<AtomicUsize>,
    serving: tokio::task::JoinHandle<()>,
    object: parking_lot::Mutex<Option<Arc<PackedHour>>>,
}

impl StorePlace {
    pub(super) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(BUCKET)).unwrap();
        let mut builder = S3ServiceBuilder::new(FileSystem::new(dir.path()).unwrap());
        builder.set_auth(SimpleAuth::from_single("KEY", "hush-hush"));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::<AtomicUsize>::default();
        let serving = tokio::spawn(serve(listener, builder.build(), Arc::clone(&requests)));
        let keys = CredentialSource::Keys(AccessKeys::new("KEY", "hush-hush", None, "the test").unwrap());
        let settings = BucketSettings::new(&at, BUCKET, "us-east-1", "", false, keys).unwrap();
        let bucket = Bucket::new(settings, &tls::trusting_nobody().unwrap()).unwrap();
        Self { dir, bucket, requests, serving, object: parking_lot::Mutex::default() }
    }

    pub(super) fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    pub(super) fn objects(&self) -> Vec<Arc<PackedHour>> {
        self.object.lock().iter().cloned().collect()
    }

    pub(super) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    fn file(&self) -> PathBuf {
        let object = self.object.lock();
        self.dir.path().join(BUCKET).join(object.as_ref().unwrap().object_name().to_string())
    }

    pub(super) fn delete(&self) {
        std::fs::remove_file(self.file()).unwrap();
    }

    pub(super) async fn stop(&self) {
        self.serving.abort();
        while !self.serving.is_finished() {
            tokio::task::yield_now().await;
        }
    }
}

async fn serve(listener: tokio::net::TcpListener, store: S3Service, requests: Arc<AtomicUsize>) {
    // They end with this task.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        let (store, requests) = (store.clone(), Arc::clone(&requests));
        let answer = service_fn(move |request: hyper::Request<Incoming>| {
            requests.fetch_add(usize::from(request.method() == hyper::Method::GET), Ordering::Relaxed);
            Service::call(&store, request)
        });
        connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), answer));
    }
}

impl TestPlace for StorePlace {
    type Remote = StoredObjects;

    fn remote(&self) -> StoredObjects {
        StoredObjects::read_back(self.bucket.clone(), self.objects())
    }

    fn hold(&self, files: &BTreeMap<String, Vec<u8>>) {
        let object = packed(files);
        let index = |at: u64| usize::try_from(at).unwrap();
        let bytes = |piece: ObjectPiece<'_>| match piece {
            ObjectPiece::Bytes(bytes) => bytes.into_owned(),
            ObjectPiece::File(file, range) => files[&*file.name][index(range.start)..index(range.end)].to_vec(),
        };
        let tar: Vec<u8> = object.pieces(0..object.size()).flat_map(bytes).collect();
        *self.object.lock() = Some(Arc::new(object));
        let path = self.file();
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, tar).unwrap();
    }

    fn damage(&self, name: &str) {
        let range = self.object.lock().as_ref().unwrap().range_of(name).unwrap();
        let mut tar = std::fs::read(self.file()).unwrap();
        tar[usize::try_from(range.start).unwrap()] ^= 4;
        std::fs::write(self.file(), tar).unwrap();
    }
}
