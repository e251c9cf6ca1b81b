//! The validated configuration, and the one place where name, default, bounds and reason of every setting stand.
//!
//! A value comes from a flag, else the environment, else the file, else the default; each is checked the same way. A new
//! setting is one more line in `settings!` below and a run of the reference test with `UPDATE_DOCS=1`. Nothing is read
//! again later, and nothing here touches the archive.

mod error;
mod file;
mod record_sections;
#[cfg(test)]
mod reference;
mod setting;
mod written;

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use error::ConfigError;
use file::File;
use setting::{
    Address, ByteSize, BytesOrOff, BytesOrTenth, Count, Directories, Filter, Fraction, NodeName, NonEmptyText,
    OptionalFile, OptionalText, Rows, Secret, SettingKind, StructureCheck, Texts, TimeLength, TimeOrOff, YesNo,
};
pub use setting::{LogFormat, Setting};

use super::args::Common;
use crate::archive::retention::StreamLimit;
use crate::record::RecordOptions;
use crate::replicate::sources::SourceEntry;

/// The output of `demo` must not drown in what three nodes log; nor does it matter that one ends an instant before the others. What recorders
/// miss it tells by itself.
const DEMO_DEFAULTS: &[(&str, &str)] = &[("log", "warn,gapless::replicate::backfill=error,gapless::record=error")];

/// Where Linux keeps the host's name: the name of a node that was not given one.
const HOST_NAME_FILE: &str = "/proc/sys/kernel/hostname";
/// Stands as default of `name` in place of a value.
const HOST_NAME: &str = "the host's name";

macro_rules! settings {
    (@bounds) => { None };
    (@bounds $low:literal $high:literal) => { Some(($low, $high)) };
    (@one $table:literal $key:ident $kind:ident $default:expr, $why:literal, $($low:literal $high:literal)?) => {
        Setting {
            table: $table,
            key: stringify!($key),
            default: $default,
            bounds: settings!(@bounds $($low $high)?),
            #[cfg(test)]
            why: $why,
            expects: <$kind as SettingKind>::EXPECTS,
        }
    };
    ($(
        $(#[$doc:meta])*
        $field:ident: $name:ident in $table:literal {
            $($key:ident: $kind:ident = $default:expr $(, $low:literal to $high:literal)? => $why:literal;)*
        }
    )*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq)]
            pub struct $name {
                $(#[doc = $why] pub $key: <$kind as SettingKind>::Value,)*
            }

            impl $name {
                fn read(sources: &Sources<'_>) -> Result<Self, ConfigError> {
                    Ok(Self {
                        $($key: sources.value::<$kind>(
                            &settings!(@one $table $key $kind $default, $why, $($low $high)?)
                        )?,)*
                    })
                }
            }
        )*

        pub const SETTINGS: &[Setting] = &[
            $($(settings!(@one $table $key $kind $default, $why, $($low $high)?),)*)*
        ];

        #[derive(Debug, Clone, PartialEq)]
        pub struct Config {
            pub base_dir: PathBuf,
            pub state_dir: PathBuf,
            pub file: Option<PathBuf>,
            pub json: bool,
            pub retention_streams: Vec<StreamLimit>,
            pub recorded: Vec<RecordOptions>,
            $($(#[$doc])* pub $field: $name,)*
        }

        impl Config {
            fn read(given: &Common, sources: &Sources<'_>) -> Result<Self, ConfigError> {
                Ok(Self {
                    base_dir: given.base_dir.clone(),
                    state_dir: given.state_dir.clone().unwrap_or_else(|| given.base_dir.join(".gapless")),
                    file: sources.file.as_ref().map(|file| file.path().to_owned()),
                    json: given.json,
                    recorded: sources.file.as_ref().map(|file| file.recorded().to_vec()).unwrap_or_default(),
                    retention_streams: sources.file.as_ref().map(|file| file.streams().to_vec()).unwrap_or_default(),
                    $($field: $name::read(sources)?,)*
                })
            }
        }
    };
}

settings! {
    /// The node itself: the keys that stand above all tables.
    node: NodeConfig in "" {
        name: NodeName = HOST_NAME =>
            "This node's name, as other nodes and dashboards see it.";
        listen: Address = "127.0.0.1:8000" =>
            "Where to answer HTTP; port 0 picks a free one. Only this machine by default: what is served is public.";
        log: Filter = "info" =>
            "What to log, as a tracing filter; `demo` logs less if nothing is said.";
        log_format: LogFormat = "text" =>
            "How to write log lines to stderr.";
    }

    /// The index.
    index: IndexConfig in "index" {
        cache: ByteSize = "64MiB", "1MiB" to "1TiB" =>
            "Memory for pages of the index. Less than 1 MiB makes every lookup a read from disk.";
        changes_kept: Rows = "100000", "1000" to "1000000000" =>
            "Rows of the change log. A reader that falls further behind compares digests instead, so it should cover the time a reader may be away.";
        closed_holes_kept: TimeLength = "90days", "0s" to "36500days" =>
            "How long closed holes are remembered.";
        closed_holes: Rows = "100000", "0" to "100000000" =>
            "How many closed holes are remembered; the oldest go first. Each takes about 150 bytes of the index.";
    }

    /// The HTTP server.
    http: HttpConfig in "http" {
        tls_certificate: OptionalFile = "" =>
            "The certificate chain to show, in PEM form with the node's own certificate first. With it the node speaks only https; it is reloaded when it changes.";
        tls_key: OptionalFile = "" =>
            "The private key of that certificate, in PEM form; refused if others may read it.";
        max_connections: Count = "10000", "1" to "1000000" =>
            "Connections open at once, and at most half the descriptors that the system allows; the one that has waited longest for a request gives way to a new one. Each costs a descriptor and its buffers.";
        header_timeout: TimeLength = "10s", "1s" to "5min" =>
            "How long a client may take to send a request's headers, or to shake hands, so that tricklers do not hold connections.";
        idle_timeout: TimeLength = "75s", "1s" to "1h" =>
            "How long a connection may lie idle between requests; more than the 60 s that most proxies allow.";
        body_timeout: TimeLength = "60s", "1s" to "1h" =>
            "How long a request that came with a body may take to be answered, so that a body that trickles does not hold its connection.";
        write_stall_timeout: TimeLength = "60s", "1s" to "1h" =>
            "How long a client may take no byte of an answer before the connection is closed.";
        min_rate: ByteSize = "1KiB", "0B" to "1GiB" =>
            "Bytes a second below which a client that is waited for over such a time counts as taking nothing. A telephone line of the nineties had five times that; the time that this node needs to make an answer does not count.";
        max_header_bytes: ByteSize = "16KiB", "8KiB" to "1MiB" =>
            "Size of a request's headers; a larger one is refused. It is held in memory per connection.";
        drain: TimeLength = "10s", "0s" to "10min" =>
            "How long requests in hand may continue after the node was asked to stop.";
        listing_cache: ByteSize = "64MiB", "0B" to "1TiB" =>
            "Memory for listings in their wire form; the least used give way.";
        max_page: Count = "10000", "1" to "1000000" =>
            "Records on one page of a range query; further ones come with the next page. A page is held in memory while it is built.";
        max_hours_at_once: Count = "256", "1" to "100000" =>
            "Hours that one question may bring up to date from the disk; a range query ends its page there, and the next page goes on.";
        max_extras: Count = "200000", "1" to "10000000" =>
            "Files in one listing of extras, which are read from the disk each time; beyond it the answer is 400.";
        held_answers: ByteSize = "256MiB", "1MiB" to "1TiB" =>
            "Memory for answers that their clients have not taken yet, a quarter of it for one client; beyond it the answer is 503. Files, cuts, playlists and metrics are not made anew for each client and do not count.";
        max_listeners: Count = "64", "1" to "100000" =>
            "Listeners to `/api/v1/events` at once, and at most a quarter of the connections; each is written to with each commit. 64 open pages are many.";
        max_listeners_per_client: Count = "16", "1" to "100000" =>
            "How many of those one client may have: one address (of IPv6 one network of 64 bits), or one token from there. One more takes the place of its oldest.";
        max_waiting: Count = "256", "1" to "100000" =>
            "Clients that may wait for `/api/v1/changes` at once, and at most a quarter of the connections; each is woken by each commit. Others are answered at once.";
        max_waiting_per_client: Count = "32", "1" to "100000" =>
            "How many of those one client may have, counted in the same way.";
        hosts: Texts = "" =>
            "Names besides the machine's own by which the node is asked over the loopback, such as that of a proxy on this machine that passes `Host` on. Others with a dot in them are answered 421, because a foreign page may have such a name point here.";
        write_tokens: OptionalFile = "" =>
            "File with tokens that may write, one per line; read again when it changes. Only its owner may write it and nobody but owner and group read it.";
        read_tokens: OptionalFile = "" =>
            "The same for reading. Once it is given, everything but `/healthz`, `/readyz` and the files of the page requires a token from one of the two files.";
    }

    /// What people watch: playlists and cuts.
    playback: PlaybackConfig in "playback" {
        max_hours: Count = "240", "1" to "100000" =>
            "Hours with segments in one playlist or cut; an hour has about 0.4 MB of playlist. Ten days, for streams that last a week.";
        cache: ByteSize = "128MiB", "1MiB" to "1TiB" =>
            "Memory for playlists in their wire form and the best segments that they are made from; the least used give way.";
        ffmpeg: NonEmptyText = "ffmpeg" =>
            "The ffmpeg that makes exact cuts, frames and waveforms: a name that is looked for in PATH, or an absolute path; 5.1 or newer. Without one these answer 501.";
        ffmpeg_processes: Count = "2", "1" to "64" =>
            "Processes of ffmpeg that decode or encode at once, since each may take whole processors from recorders. Beside them four times as many exact cuts may be downloaded, which only pack.";
        ffmpeg_time: TimeLength = "2min", "1s" to "1h" =>
            "How long one of them may take before it is killed; a frame never gets more than 20 s. Sound of six hours has to be read in it for a waveform.";
    }

    /// The watcher.
    watch: WatchConfig in "watch" {
        hours_per_quality: Count = "2", "1" to "1000" =>
            "Newest hours of each quality that are watched. Two, because segments arrive on both sides of the full hour.";
        max_watches: Count = "4096", "1" to "1000000" =>
            "Watches held in all; the kernel allows each user a limited number. Directories beyond it are left to the crawl.";
        window: TimeLength = "5ms", "0ms" to "1s" =>
            "How long events are collected before they are applied together.";
    }

    /// The crawl.
    crawl: CrawlConfig in "crawl" {
        minimum_cycle: TimeLength = "5min", "1s" to "7days" =>
            "Shortest time between the starts of two comparisons of the archive with the index.";
        threads: Count = "2", "1" to "64" =>
            "Directories read at once while catching up after a start. More helps on disks that seek, and takes time from recorders.";
        cpu_share: Fraction = "0.10", "0.001" to "1" =>
            "Share of one CPU that all visitors of the crawl take together. Where they wait for a disk they take at most five times that share of the time. Only catching up after a start runs at full speed.";
        slice: TimeLength = "1s", "10ms" to "1s" =>
            "How long the crawl works before it rests.";
        adaptive: YesNo = "true" =>
            "Whether the share falls, down to a quarter, while requests or backfill are busy.";
        verify_one_in: Count = "10", "0" to "1000" =>
            "In each comparison one directory in so many is read although nothing seems to have changed, another part each time; 0 trusts the times of directories for ever.";
        doubt_above: Rows = "1000", "0" to "1000000000" =>
            "Files of a channel that may be missing at once without confirmation. Where more are, and more than half of the channel, nothing of it leaves the index before they are back or the operator said `gapless crawl accept`. A thousand is about half an hour of two-second segments.";
    }

    /// The scrub: reads every segment and compares it with the hash in its name.
    scrub: ScrubConfig in "scrub" {
        minimum_cycle: TimeLength = "30days", "1s" to "3650days" =>
            "Least time from the start of one scrub to the start of the next: each byte is read once in it.";
        bytes_per_second: ByteSize = "32MiB", "0B" to "1TiB" =>
            "Bytes that the scrub reads a second at most, beside the share of the CPU; 0 is no bound.";
        files_per_second: Count = "200", "0" to "1000000" =>
            "Files that the scrub reads a second at most; 0 is no bound.";
        structure: StructureCheck = "quarantine" =>
            "What is done with a `full` segment whose hash is right and that is no complete MPEG-TS: `quarantine` moves it away and does not fetch that name again, `report` reports it and leaves it, `off` does not check.";
        keep_quarantined: TimeLength = "30days", "0s" to "36500days" =>
            "How long damaged files are kept in the quarantine before they are deleted; 0 keeps them for ever. Those whose hash is right are never deleted.";
    }

    /// The archive tier: sealed hours, and a bucket.
    archive: ArchiveConfig in "archive" {
        seal: YesNo = "false" =>
            "Whether hours are sealed: a manifest of each with the SHA-256 of every file, under `.gapless/sealed`. Every byte is read once for it, within the bounds of `[scrub]`.";
        seal_after: TimeLength = "6h", "0s" to "365days" =>
            "How long an hour must be over, and nothing have changed in it, before it is sealed.";
        minimum_cycle: TimeLength = "1h", "1s" to "365days" =>
            "Least time from the start of one look for hours that can be sealed, or uploaded, to the start of the next.";
        bucket: OptionalText = "" =>
            "The bucket that sealed hours are uploaded to, each read back afterwards; it must exist. Nothing here is deleted unless `keep_local` or `make_room` says so, and nothing there unless `max_age` does. Without one nothing is uploaded.";
        endpoint: OptionalText = "" =>
            "Where the object store is, such as `https://s3.example.org:9000`; Amazon's of the region without it.";
        region: NonEmptyText = "us-east-1" =>
            "The region that requests are signed for. Stores that have none take any.";
        prefix: OptionalText = "" =>
            "What stands before the names of all objects, such as `gapless/`, in a bucket that is shared with something else.";
        bucket_in_host: YesNo = "false" =>
            "Whether the bucket stands in the name of the host (BUCKET.HOST) instead of in the path, which nearly every store takes.";
        allow_http: YesNo = "false" =>
            "Whether a store on another machine may be asked without encryption: whoever reads along could see what is uploaded. Signatures hold either way.";
        credentials: OptionalFile = "" =>
            "A file with the access key: `[default]`, `aws_access_key_id = …`, `aws_secret_access_key = …`; read again when it changes. Without one, `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, a web identity, or the machine gives it. Only its owner may write it and nobody but owner and group read it.";
        ca_file: OptionalFile = "" =>
            "Certificates of the authorities, in PEM form, that the store must be certified by, instead of those that the system trusts.";
        part_size: ByteSize = "64MiB", "5MiB" to "5GiB" =>
            "Bytes that one request of an upload sends. Two of these are in memory while an hour is uploaded; S3 takes none below 5 MiB but the last.";
        learn: YesNo = "true" =>
            "Whether the node looks every `minimum_cycle` which hours the bucket has that are not known here, such as those of other nodes, and lists them: those of `channels` and `qualities` of `[backfill]`, or all if none are named.";
        keep_local: TimeOrOff = "off" =>
            "How long files stay on this disk that lie in the bucket as well, counted from the end of their hour; then they are deleted here and read from there. `off` deletes none for its age.";
        max_age: TimeOrOff = "off" =>
            "How long an hour stays in the bucket after it has ended; then a run of retention deletes its objects there. Files on this disk stay. Give the same to all nodes that share the bucket. A `[[retention.stream]]` may have an `archive_max_age` of its own. `off` deletes none for its age.";
        make_room: BytesOrOff = "off" =>
            "Where less than this is free on the disk, files that lie in the bucket as well are deleted here, the oldest hours first. `off` deletes none for that.";
        cache: ByteSize = "4GiB", "0B" to "1000TiB" =>
            "Bytes of segments that were read from the bucket that are kept in `bucket_cache` of the state directory, so that what is played twice comes once; each file counts by its blocks of 4,096 bytes. What was used longest ago leaves first, and all of it where the disk would have less free than `backfill.keep_free`. `retention.min_free` counts it as used. 0 keeps nothing.";
        bandwidth: ByteSize = "0B", "0B" to "1TiB" =>
            "Bytes a second at which hours are uploaded and read back, on average over each, but not what somebody waits for; 0 is no bound, and less than 64 KiB counts as that, as stores give up slower lines.";
    }

    /// The census: totals of each day, verified against the hours that they are made of.
    census: CensusConfig in "census" {
        minimum_cycle: TimeLength = "1h", "1s" to "365days" =>
            "Least time from the start of one verification to the start of the next.";
    }

    /// Facts: what the ends of segments say, read ahead of lists.
    facts: FactsConfig in "facts" {
        minimum_cycle: TimeLength = "1h", "1s" to "365days" =>
            "Least time from the start of one look for segments of which it is not known to the start of the next. It reads within the bounds of `[scrub]`: bytes and files a second.";
    }

    /// Housekeeping: what interrupted downloads of ours have left.
    housekeeping: HousekeepingConfig in "housekeeping" {
        minimum_cycle: TimeLength = "1day", "1s" to "365days" =>
            "Least time from the start of one look at all directories to the start of the next.";
    }

    /// Fetching from other nodes.
    backfill: BackfillConfig in "backfill" {
        channels: Texts = "" =>
            "Channels to fetch; all by default.";
        qualities: Texts = "" =>
            "Qualities to fetch; all by default.";
        start: OptionalText = "" =>
            "The first hour that is fetched: a date, a time, or a number of hours ago, counted when the node starts. To delete what is older, see `[retention]`.";
        future: YesNo = "false" =>
            "Also hours that are more than two hours ahead of the clock, which no recorder that knows the time writes. An hour that is named (`gapless backfill --hour`), and those from a start that lies ahead, are fetched anyway.";
        interval: TimeLength = "2min", "1s" to "1day" =>
            "From one round with a node to the next, give or take a tenth. A round with an equal node is one request.";
        recent_cutoff: TimeLength = "2min", "0s" to "7days" =>
            "How long ago a segment must have ended to be fetched: the recorder here may still get it.";
        concurrency: Count = "5", "1" to "64" =>
            "Parallel downloads from one node, so that it can still serve others.";
        bandwidth: ByteSize = "0B", "0B" to "1TiB" =>
            "Bytes a second at which segments are fetched, from all other nodes together; 0 is no bound. Lists and digests are not held up.";
        ca_file: OptionalFile = "" =>
            "Certificates of the authorities, in PEM form, that nodes asked over https must be certified by, instead of those that the system trusts.";
        keep_free: ByteSize = "1GiB", "0B" to "1000TiB" =>
            "Free space below which nothing is fetched: recorders and the index keep some.";
        token_file: OptionalFile = "" =>
            "File with the one token that is sent to the other nodes, for those that require one for reading; read at the start. Only its owner may write it and nobody but owner and group read it.";
        peers: Texts = "" =>
            "Other nodes as [NAME=]URL, a list or separated by commas; `--peer` takes its place.";
        node_file: OptionalFile = "" =>
            "A file with other nodes, `NAME URL` or `URL` per line, `#` before comments. It is reread every `reread`.";
        node_database: Secret = "" =>
            "A PostgreSQL database with other nodes, as postgresql://USER@HOST:PORT/DATABASE?sslmode=require or host=HOST user=USER dbname=DATABASE. It is queried every `reread`.";
        node_database_query: NonEmptyText = "SELECT name, url FROM nodes WHERE backfill_from" =>
            "What it is asked: the first two columns are name and address, at most 1000 rows.";
        node_database_password_file: OptionalFile = "" =>
            "A file with its password on one line, so that it stands in no command line; refused if others may read it.";
        node_database_ca_file: OptionalFile = "" =>
            "Certificates of the authorities, in PEM form, that the database must be certified by, instead of those that the system trusts. With it nothing is sent without encryption.";
        reread: TimeLength = "30s", "1s" to "1h" =>
            "From one look at file and database to the next, give or take a tenth.";
        tombstones_from: Texts = "all" =>
            "Whose tombstones are taken over: `all`, `none`, or names of nodes. Nothing proves a deletion, so they are a matter of trust; those of others are only reported.";
        layouts_from: Texts = "none" =>
            "Whose layouts are taken over: `none`, `all`, or names of nodes. A layout says which hours this node keeps, and nothing proves one, so it is taken from nobody unless you say so; that another node has a newer one is reported.";
        extras: Directories = "" =>
            "Directories beneath the base that are no channels and are fetched from other nodes by name, file by file; those of `--extras` come on top.";
        strangers_budget: BytesOrTenth = "tenth" =>
            "Bytes of channels that nobody here records or names that each node may fill the archive's disk with; `tenth` is a tenth of that disk. Each file counts by its blocks of 4,096 bytes. A mirror names its `channels`, which are never bounded by this; 0 takes nothing that is not recorded or named here.";
        strangers_channels: Rows = "1000", "0" to "1000000" =>
            "Such channels and qualities that each node may add: names cost lists, metrics and memory even where they hold next to nothing.";
        extras_budget: BytesOrTenth = "tenth" =>
            "Bytes that these directories may hold together, whoever wrote them, before nothing more is fetched into them; `tenth` is a tenth of the archive's disk. Each file counts by its blocks of 4,096 bytes. Nothing proves what an extra holds, so this bounds what other nodes can fill the disk with.";
        max_extras_bytes: ByteSize = "10GiB", "1MiB" to "1000TiB" =>
            "Bytes of extras that one round fetches from one node.";
    }

    /// Placement by a layout.
    placement: PlacementConfig in "placement" {
        handoffs: YesNo = "true" =>
            "Whether hours leave this node that the layout gives to others, when all of them have them. Without, they stay and are counted; other nodes are answered in any case.";
        handoffs_every: TimeLength = "3min", "1s" to "1day" =>
            "From one pass over such hours to the next: one request to each other node of the layout. While hours leave, the next pass follows at once.";
        redirect: YesNo = "false" =>
            "Whether a client that asks for a segment of another node is sent there (307), and not given it through this one. It must reach the addresses by which this node knows the others; not together with `backfill.token_file`, as clients have no token for them.";
    }

    /// What dashboards and plain file servers get of coverage.
    coverage: CoverageConfig in "coverage" {
        gauges: YesNo = "true" =>
            "Whether `/metrics` has coverage, holes and overlaps of each hour.";
        gauge_hours: Count = "168", "0" to "100000" =>
            "Latest hours of each quality that have gauges of their own, about 2 kB of text each; all older ones are one sum, as the hour `older`.";
        gauge_series: Count = "50000", "1000" to "100000000" =>
            "Series of coverage on `/metrics` in all, about 5 MB of text: names, and so their number, are up to other nodes. With more qualities each shows fewer hours; beyond that, the latest ones are one sum.";
        maps: TimeOrOff = "60s", "off" to "7days" =>
            "From one look at what changed to the next, after which the map and page of each quality that did are written to `coverage-maps/` beneath the base, unless `off`.";
    }

    /// From where on something is a problem.
    problems: ProblemsConfig in "problems" {
        silent_after: TimeOrOff = "5min", "off" to "1day" =>
            "How long no segment may come from a stream that had one within the last day before that is a problem, unless `off`. Regular pauses, every night or on weekdays, are recognised after two of them. A node that fetches waits longer: at least 3 min beyond `[backfill] recent_cutoff`.";
        missing_share: Fraction = "0.005", "0.0001" to "1" =>
            "Share of the last 24 hours of a quality that may be missing before that is a problem; less than a minute never is.";
    }

    /// Retention.
    retention: RetentionConfig in "retention" {
        max_age: TimeOrOff = "off" =>
            "How long ago an hour may have ended; older ones are deleted whole, and are not fetched from other nodes.";
        max_bytes: BytesOrOff = "off" =>
            "Bytes of all channels and qualities together; above it the oldest hours are deleted.";
        min_free: BytesOrOff = "off" =>
            "Free space of the disk below which the oldest hours are deleted. More than `backfill.keep_free`, or nothing is fetched any more.";
        reclaim_age: TimeLength = "7days", "0s" to "10000days" =>
            "How long tombstones stay after their hour was deleted; longer than any other node is ever away.";
        interval: TimeLength = "10min", "1s" to "1day" =>
            "Time between two checks of everything.";
        keep_last_copy: YesNo = "false" =>
            "Whether an hour stays as long as no other node lists all of its segments.";
        copies_at: Texts = "" =>
            "Nodes that count as other copies although they name no archive of their own, such as a plain file server on another disk, by their names. A file is written for a moment to see that each is not this disk.";
    }
}

impl Config {
    /// The shortest cycle of each background task, by the name that its visitor has.
    pub fn minimum_cycles(&self) -> [(&'static str, Duration); 6] {
        [
            ("reconcile", self.crawl.minimum_cycle),
            ("census", self.census.minimum_cycle),
            ("scrub", self.scrub.minimum_cycle),
            ("facts", self.facts.minimum_cycle),
            ("seal", self.archive.minimum_cycle),
            ("housekeeping", self.housekeeping.minimum_cycle),
        ]
    }
}

pub(super) fn host_name() -> String {
    std::fs::read_to_string(HOST_NAME_FILE).unwrap_or_default().trim_end().to_owned()
}

/// Reads a time with its unit, as a setting is read that has these bounds; the error says what was expected.
pub fn time_between(text: &str, least: &str, most: &str) -> Result<Duration, String> {
    let within = |time: &Duration| {
        TimeLength::read(least).is_some_and(|least| *time >= least)
            && TimeLength::read(most).is_some_and(|most| *time <= most)
    };
    TimeLength::read(text)
        .filter(within)
        .ok_or_else(|| format!("expected {}, from {least} to {most}", TimeLength::EXPECTS))
}

/// Reads a number of bytes with its unit, as settings are read; the error says what was expected.
pub fn bytes(text: &str) -> Result<u64, String> {
    ByteSize::read(text).ok_or_else(|| format!("expected {}", ByteSize::EXPECTS))
}

/// Reads names of directories beneath the base, as the setting of them is read; `None` if they are none.
pub fn directories(text: &str) -> Option<Vec<String>> {
    Directories::read(text)
}

/// What the command line says of settings.
#[derive(Debug, Clone)]
pub struct GivenSettings {
    pub common: Common,
    /// Settings that were given as flags: key and text.
    pub flags: Vec<(&'static str, String)>,
    /// A demonstration has nothing to do with the archive that happens to be here.
    pub is_demo: bool,
}

/// Reads an environment variable; given in, so that tests need not change the process.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

struct Sources<'a> {
    flags: &'a [(&'static str, String)],
    environment: Environment<'a>,
    file: Option<File>,
    /// Other defaults than those of the settings.
    defaults: &'static [(&'static str, &'static str)],
}

impl Sources<'_> {
    fn value<K: SettingKind>(&self, setting: &Setting) -> Result<K::Value, ConfigError> {
        let key = setting.full_key();
        let read = |text: &str, origin: String| {
            setting.read::<K>(text).map_err(|problem| ConfigError::Given { origin, problem })
        };
        if let Some((_, text)) = self.flags.iter().find(|(flag, _)| *flag == key) {
            return read(text, setting.flag());
        }
        let variable = setting.env();
        if let Some(text) = (self.environment)(&variable) {
            let Some(text) = text.to_str() else {
                let problem = format!("it is not UTF-8 text, expected {}", setting.expected());
                return Err(ConfigError::Given { origin: variable, problem });
            };
            return read(text, variable);
        }
        if let Some((file, written)) = self.file.as_ref().and_then(|file| Some((file, file.get(setting)?))) {
            if !written.shape.is_some_and(|shape| K::SHAPES.contains(&shape)) {
                let problem = format!("{key} is {}, expected {}", written.quoted(), setting.expected());
                return Err(file.wrong(written, problem));
            }
            return setting.read::<K>(&written.text).map_err(|problem| file.wrong(written, problem));
        }
        if setting.default == HOST_NAME {
            let name = host_name();
            return read(&name, format!("the host's name does not do, give one with {variable} or {}", setting.flag()));
        }
        let other = self.defaults.iter().find(|(of, _)| *of == key).map(|(_, default)| *default);
        read(other.unwrap_or(setting.default), "default".into())
    }
}

impl Config {
    pub fn load(given: &GivenSettings) -> Result<Self, ConfigError> {
        Self::load_with(given, &|name| std::env::var_os(name))
    }

    pub fn load_with(given: &GivenSettings, environment: Environment<'_>) -> Result<Self, ConfigError> {
        let GivenSettings { common, flags, is_demo } = given;
        let base = &common.base_dir;
        let file = match &common.config {
            Some(path) => Some(File::open(path, SETTINGS)?.ok_or_else(|| ConfigError::NoFile(path.clone()))?),
            None if *is_demo => None,
            None => File::open(&default_file(base), SETTINGS).map_err(|error| match wrong_with(base) {
                Some(what) if matches!(error, ConfigError::Unreadable { .. }) => ConfigError::Base(what),
                _ => error,
            })?,
        };
        if let Some(file) = &file {
            bad_peer(file)?;
        }
        let defaults = if *is_demo { DEMO_DEFAULTS } else { &[] };
        Self::read(common, &Sources { flags, environment, file, defaults })
    }
}

/// A peer of the file that does not do, by its line. What is wrong with it is said without its secrets.
fn bad_peer(file: &File) -> Result<(), ConfigError> {
    let Some(setting) = SETTINGS.iter().find(|setting| setting.full_key() == "backfill.peers") else { return Ok(()) };
    let Some(written) = file.get(setting) else { return Ok(()) };
    for (number, text) in (1..).zip(Texts::read(&written.text).unwrap_or_default()) {
        if let Err(error) = SourceEntry::parse(&text) {
            return Err(file.wrong(written, format!("backfill.peers, entry {number}: {error}")));
        }
    }
    Ok(())
}

/// What is wrong with a base directory, if it cannot be read.
pub fn wrong_with(base: &Path) -> Option<String> {
    let shown = base.display();
    match std::fs::read_dir(base) {
        Ok(_) => None,
        Err(error) => Some(match error.kind() {
            ErrorKind::NotFound => format!("there is no directory {shown}"),
            ErrorKind::NotADirectory => format!("{shown} is not a directory"),
            ErrorKind::PermissionDenied => format!("the directory {shown} may not be read by this user"),
            _ => format!("the directory {shown} cannot be read ({error})"),
        }),
    }
}

fn default_file(base_dir: &Path) -> PathBuf {
    base_dir.join(".gapless").join("config.toml")
}

#[cfg(test)]
mod tests;
