//! Examples at the end of each verb's help: what people type most, in lines that fit a terminal of 80 columns.

pub const DEMO: &str = "Examples:
  gapless demo                 three nodes with three hours of history
  gapless demo --for 10min     end sooner

It needs about 90 MB of disk for three hours of history, and 90 MB more for each
hour that it runs.";

pub const NODE: &str = "Examples:
  gapless node --base-dir /srv/archive
  gapless node --listen 0.0.0.0:8000 --peer b=http://b.example:8000
  gapless node --tls-certificate cert.pem --tls-key key.pem";

pub const REBUILD: &str = "Examples:
  gapless rebuild                  make the index anew from the files
  gapless rebuild --check          only compare the index with the files
  gapless rebuild --new-id         after a copy that included .gapless
  gapless rebuild --from-archive   ask the bucket as well which hours it has";

pub const BACKFILL: &str = "Examples:
  gapless backfill --once --peer http://b.example:8000
  gapless backfill --once --peer http://b.example:8000 --channel mine --start 5
  gapless backfill --node-file nodes.txt --hour 2019-11-13T02";

pub const RETENTION: &str = "Examples:
  gapless retention plan       what would be deleted now, and why
  gapless retention run        delete it
  gapless retention keep mine/source/2019-11-13T02";

pub const CRAWL: &str = "Examples:
  gapless crawl accept mine    missing files of mine are gone for good";

pub const IMPORT: &str = "Examples:
  gapless import --channel mine --quality source rec1.ts rec2.ts
  gapless import --channel mine --quality source --start 2019-11-13T02:55 rec.ts
  gapless import --channel mine --quality source --dry-run rec.ts";

pub const RECORD: &str = "Examples:
  gapless record mine https://live.example/live.m3u8
  gapless record mine https://live.example/live.m3u8 --quality 480p
  gapless record mine https://live.example/live.m3u8 --for 2h
  gapless record --test https://live.example/live.m3u8   what it has; records nothing
  gapless record --start mine https://live.example/live.m3u8   the daemon records it
  gapless record --list
  gapless record --stop mine

It runs beside a daemon on the same archive, or without one.";

pub const LS: &str = "Examples:
  gapless ls                   channels
  gapless ls mine/source       hours
  gapless ls mine/source/2019-11-13T02 --tombstones";

pub const DIFF: &str = "Examples:
  gapless diff --peer http://b.example:8000 --summary
  gapless diff --peer http://b.example:8000 mine/source/2019-11-13T02";

pub const EXPLAIN: &str = "Examples:
  gapless explain 2019-11-13T02:55:08 --channel mine
  gapless explain yesterday --quality source";

pub const HOLES: &str = "Examples:
  gapless holes mine/source --from yesterday
  gapless holes mine/source --from 2019-11-13 --to 2019-11-14 --edges
  gapless holes mine/source --unfillable";

pub const TIMESPANS: &str = "Examples:
  gapless timespans mine/source --from yesterday";

pub const CUT: &str = "Examples:
  gapless cut mine/source 2019-11-13T02:55:08 2019-11-13T02:55:18 -o cut.ts
  gapless cut mine/source 2019-11-13T02:55:08 2019-11-13T02:55:18 -o cut.mp4
  gapless cut mine/source yesterday now -o day.ts --allow-holes";

pub const COVERAGE: &str = "Examples:
  gapless coverage --channel mine
  gapless coverage --gauges /var/lib/node_exporter/gapless.prom --maps";

pub const TOMBSTONE: &str = "Examples:
  gapless tombstone list mine/source
  gapless tombstone add - --reason private     paths from standard input
  gapless tombstone purge --dry-run            what could be deleted here";

pub const SCRUB: &str = "Examples:
  gapless scrub                everything
  gapless scrub mine/source/2019-11-13T02";

pub const SEAL: &str = "Examples:
  gapless seal --plan          what would be sealed, and why the rest is not
  gapless seal mine/source     each hour that has been quiet for 6 hours";

pub const ARCHIVE: &str = "Examples:
  gapless archive plan                    what would be uploaded, with bytes and requests
  gapless archive verify --sample 1%      read some objects back
  gapless archive restore mine/source/2019-11-13T02
  gapless archive drop --dry-run mine/source
  gapless archive purge --dry-run mine    what of it is hidden and lies in the bucket";

pub const LAYOUT: &str = "Examples:
  gapless layout add a1 --zone attic --weight 4TB     stage a change
  gapless layout copies 3
  gapless layout plan                     what would move, and why
  gapless layout apply 7 --plan 5be1d3a0  make version 8, if the plan is still the one that was shown
  gapless layout status                   which versions this node and its peers have
  gapless layout pause                    let nothing leave this node for now";

pub const MANIFEST: &str = "Examples:
  gapless manifest mine/source/2019-11-13T02 > hour.sha256
  cd /srv/archive && sha256sum -c hour.sha256";

pub const QUARANTINE: &str = "Examples:
  gapless quarantine                    list damaged files
  gapless quarantine purge --healed     delete those that are here again";

pub const FLAGGED: &str = "Examples:
  gapless flagged --json";

pub const STATUS: &str = "Examples:
  gapless status --watch
  gapless status --node https://archive.example:8000 --token-file token";

pub const DOCTOR: &str = "Examples:
  gapless doctor --base-dir /srv/archive
  gapless doctor --listen 0.0.0.0:8000     before the first start";

pub const COMPLETIONS: &str = "Examples:
  source <(gapless completions bash)
  gapless completions bash > ~/.bash_completion.d/gapless
  gapless completions zsh > ~/.zfunc/_gapless
  gapless completions fish > ~/.config/fish/completions/gapless.fish

zsh wants fpath+=~/.zfunc before compinit. The Debian package brings them all.";

pub const MAN: &str = "Examples:
  gapless man target/man";
