// The state of the node: problems first, then peers and channels, the index, the crawl, the disk and the jobs. Follows without reloading.

import { get, listen, path } from "./api.js";
import { hideAway, showAway, whyAway } from "./away.js";
import { atMost, byId, fill, make, say, table } from "./dom.js";
import { LayoutCard } from "./layout.js";
import { inOrder } from "./order.js";
import { isProblem, problemItem } from "./problems.js";
import { RecorderCard } from "./recorders.js";
import { SECOND, bytes, counted, duration, grouped as count, parse } from "./time.js";
import { both, moment, offerSwitch } from "./zone.js";

/** Asked for again after so long if nothing tells of a change. */
const LOOK = 5 * SECOND;

/** What the scrub found is asked for again after so long. */
const SUSPECTS = 60 * SECOND;

/** So many damaged and odd segments are listed. */
const MOST_SUSPECTS = 100;

/** What the reader has unfolded stays so. */
const open = new Set();
const time = (text) => (text ? make("span", {}, ...moment(parse(text), SECOND, text)) : "–");
const facts = (...pairs) => make("dl", { class: "facts" }, ...pairs.filter(Boolean).map(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
const seconds = (value) => duration(Math.round(value) * SECOND);

function draw(status) {
  document.title = `Status of ${status.name} · gapless`;
  say(byId("node"), status.name);
  const found = status.problems;
  const problems = found.filter(isProblem);
  const good = problems.length === 0;
  say(byId("health"), good ? (status.ready ? "all well" : "catching up") : counted(problems.length, "problem"));
  byId("health").dataset.state = good && status.ready ? "good" : "bad";
  byId("health").dataset.level = problems.some(({ level }) => level === "error") ? "error" : "warning";
  fill(byId("troubles"), found.length === 0
    ? make("p", {}, make("span", { class: "dot good" }), " None.")
    : make("ul", { class: "troubles" }, ...found.map(problemItem)));
  about(status);
  index(status);
  crawl(status);
  visitors(status.crawl);
  disk(status);
  bucket(status);
  jobs(status.jobs);
  peers(status.peers);
  streams(status.streams);
  sources(status.sources);
}

function about(status) {
  fill(byId("about"), facts(["Version", status.version], ["Started", time(status.started)],
    ["Running for", seconds((Date.now() - parse(status.started)) / 1000)], ["Base directory", status.base_dir],
    status.archive_id ? ["Archive", make("code", {}, status.archive_id)] : null));
}

function index({ index: state, ready }) {
  const good = state.state === "good";
  fill(byId("index"),
    make("p", { class: "big" }, make("span", { class: `dot ${good ? (ready ? "good" : "busy") : "bad"}` }), " ", good ? (ready ? "up to date" : "catching up") : state.state),
    facts(["File", bytes(state.file_bytes)], ["Last change", count(state.seq)],
      state.set_aside.length ? ["Set aside", state.set_aside.join("; ")] : null));
}

function crawl({ crawl: state, watch }) {
  const share = state.hours_total ? state.hours_done / state.hours_total : 0;
  const running = state.state === "walking" || state.state === "catching-up";
  const bar = meter(share, false, "Hours looked at in this cycle");
  fill(byId("crawl"),
    make("p", { class: "big" }, make("span", { class: `dot ${running ? "busy" : state.state === "resting" ? "good" : "bad"}` }), " ", state.state.replaceAll("-", " ")),
    running ? bar : null,
    facts(["Cycle", count(state.cycle)], running ? ["Hours", `${count(state.hours_done)} of ${count(state.hours_total)}`] : null,
      state.seconds_left !== undefined ? ["Time left", seconds(state.seconds_left)] : null,
      state.next_cycle ? ["Next cycle", time(state.next_cycle)] : null,
      state.last ? ["Last cycle took", duration(state.last.seconds * 1000)] : null,
      state.last ? ["Found", `${count(state.last.files_put)} new, ${count(state.last.files_removed)} gone`] : null,
      state.last?.errors ? ["Errors", `${count(state.last.errors)}: ${state.last.last_error ?? ""}`] : null,
      ["Watched", counted(watch.watches, "directory", "directories")],
      watch.unwatched ? ["Compared instead", counted(watch.unwatched, "directory", "directories")] : null,
      watch.overflows ? ["Overflows", count(watch.overflows)] : null));
}

const percent = (share) => `${(share * 100).toFixed(share > 0 && share < 0.1 ? 2 : 1)} %`;
const found = (counts) => Object.entries(counts).map(([what, number]) => `${count(number)} ${what}`).join(", ") || "nothing";
const until = (text) => (text && parse(text) > Date.now() ? `in ${seconds((parse(text) - Date.now()) / 1000)}` : "now");

/** How far each visitor of the crawl is, and what its last cycles found. */
function visitors({ visitors: list, works, pace }) {
  const line = (visitor) => [
    make("strong", {}, visitor.name),
    [make("span", { class: `dot ${visitor.running ? "busy" : "good"}` }), " ", works === visitor.name ? "at work" : visitor.running ? "waiting its turn" : visitor.cycle ? "resting" : "not started"],
    visitor.cycle ? count(visitor.cycle) : "–",
    visitor.running ? [percent(visitor.share_done ?? 0), meter(visitor.share_done ?? 0, false, `Share of the cycle of ${visitor.name} that is done`)] : "–",
    visitor.running && visitor.seconds_left !== undefined ? seconds(visitor.seconds_left) : "–",
    until(visitor.next_work),
    until(visitor.next_cycle),
    past(visitor),
  ].map((value) => (Array.isArray(value) ? make("span", {}, ...value) : value));
  const names = [["Task", ""], ["State", ""], ["Cycle", "number"], ["Done", ""], ["Time left", "number"], ["Next turn", ""], ["Next cycle", ""], ["Found", "text"]];
  fill(byId("visitors"), table(names, list.map(line), "Not started yet: the index is catching up with the disk."),
    pace ? make("p", { class: "note" }, `Together at most ${percent(pace.cpu_share)} of one CPU${pace.adaptive ? ", less while requests or backfill are busy" : ""}, in slices of ${duration(pace.slice_seconds * 1000)}.`) : null);
}

function past(visitor) {
  const now = `${found(visitor.found)}${visitor.last_error ? `; ${visitor.last_error}` : ""}`;
  if (!visitor.history.length) return now;
  const item = (cycle) => make("li", {}, `Cycle ${count(cycle.number)}, `, time(cycle.began), `, ${seconds(cycle.worked_seconds)} of work, ${counted(cycle.hours, "hour")}: ${found(cycle.found)}`);
  const key = `history-${visitor.name}`;
  const box = make("details", open.has(key) ? { open: "" } : {}, make("summary", {}, now), make("ul", {}, ...visitor.history.map(item)));
  box.addEventListener("toggle", () => (box.open ? open.add(key) : open.delete(key)));
  return box;
}

function meter(share, low, label) {
  const filled = make("i");
  filled.style.width = `${Math.min(100, share * 100).toFixed(2)}%`;
  return make("div", { class: low ? "meter low" : "meter", role: "meter", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": Math.round(share * 100) }, filled);
}

function disk({ disk: state }) {
  const known = state.total_bytes > 0;
  const free = known ? state.free_bytes / state.total_bytes : 0;
  const filledBy = [["Recorded here", state.own_bytes], ["Fetched from peers", state.fetched_bytes], ["Everything else", state.other_bytes]];
  const filled = filledBy.filter(([, value]) => value !== undefined).map(([name, value]) => [name, bytes(value)]);
  fill(byId("disk"),
    make("p", { class: "big" }, make("span", { class: `dot ${state.state === "there" ? "good" : "bad"}` }), " ", known ? `${bytes(state.free_bytes)} free` : state.state),
    known ? meter(1 - free, free < 0.05, "Disk used") : null,
    known ? facts(["Used", `${bytes(state.total_bytes - state.free_bytes)} of ${bytes(state.total_bytes)}`], ...filled, ["Free", `${(free * 100).toFixed(1)} %`]) : null);
}

/** What lies in the bucket, what waits for it, and why nothing comes there. */
function bucket({ bucket: state, ready }) {
  byId("bucket-card").hidden = !state;
  if (!state) return;
  const { archived, waiting, failing, lost } = state;
  const share = ({ hours, bytes: size }) => `${counted(hours, "hour")}, ${bytes(size)}`;
  fill(byId("bucket"),
    make("p", { class: "big" }, make("span", { class: `dot ${failing || lost ? "bad" : waiting.hours || !ready ? "busy" : "good"}` }), " ", failing ? failing.reason.replaceAll("_", " ") : ready ? share(archived) : "catching up"),
    facts(failing ? ["There", share(archived)] : null, ["Waiting", waiting.hours ? share(waiting) : "none"],
      state.waiting_since ? ["Oldest sealed", time(state.waiting_since)] : null,
      lost ? ["Lost", counted(lost, "object")] : null,
      ["Last read back", time(state.last_read_back)],
      failing ? ["Nothing since", time(failing.since)] : null,
      failing ? ["Why", failing.why] : null,
      ["Where", make("code", {}, state.bucket)]));
}

const JOB_STATES = { waiting: "good", resting: "good", working: "busy", "backing-off": "bad", stalled: "bad", ended: "bad" };

function jobs(list) {
  const line = (job) => {
    const hangs = job.overdue_seconds !== undefined;
    const state = hangs ? `hangs for ${seconds(job.overdue_seconds)}` : job.state.replaceAll("-", " ");
    const done = job.state === "working" && job.total ? ` (${count(job.done)} of ${count(job.total)})` : "";
    return [
      make("strong", {}, job.of ? `${job.kind} ${job.of}` : job.kind),
      make("span", {}, make("span", { class: `dot ${hangs ? "bad" : JOB_STATES[job.state] ?? ""}` }), " ", state),
      job.doing + done, time(job.since), time(job.next), count(job.failures),
      job.error ? `${job.error} (${both(parse(job.error_time))})` : "–",
    ];
  };
  const names = [["Name", ""], ["State", ""], ["Activity", "text"], ["Since", ""], ["Next", ""], ["Failures in a row", "number"], ["Last error", "text"]];
  fill(byId("jobs"), table(names, list.map(line), "No job is running."));
}

const PEER_STATES = { following: "good", resting: "good", itself: "good", round: "busy", new: "busy", "backing-off": "bad" };

// How much later another node's recording begins than the one here.
function skews(peer) {
  const words = (skew) => `${skew.channel}/${skew.quality} ${skew.later_seconds > 0 ? "+" : "−"}${Math.round(Math.abs(skew.later_seconds) * 1000)} ms`;
  return (peer.skews ?? []).map(words).join(", ") || "none";
}

function peers(list) {
  const line = (peer) => [
    make("strong", { title: peer.url }, peer.name),
    [make("span", { class: `dot ${PEER_STATES[peer.state] ?? ""}` }), " ", peer.state.replaceAll("-", " ")],
    peer.behind_seconds > 0 ? seconds(peer.behind_seconds) : "none",
    count(peer.behind_segments),
    skews(peer),
    `${count(peer.fetched_in_all)} (${bytes(peer.bytes_in_all)})`,
    count(peer.errors_in_all),
    peer.state === "round" ? `${count(peer.hours_done)} of ${count(peer.hours_total)} h` : time(peer.complete_round),
    [peer.error, ...peer.bursts.map((burst) => `tombstones need confirmation: ${burst}`)].filter(Boolean).join("; ") || "–",
  ].map((value) => (Array.isArray(value) ? make("span", {}, ...value) : value));
  const names = [["Name", ""], ["State", ""], ["Lag", "number"], ["Not here yet", "number"], ["Recorder skew", "text"], ["Fetched", "number"], ["Errors", "number"], ["Last round", ""], ["Last error", "text"]];
  fill(byId("peers"), table(names, list.map(line), "This node has no peers."));
}

function streams(list) {
  const line = (stream) => [stream.channel, stream.quality, count(stream.hours), stream.first_hour ?? "–", stream.last_hour ?? "–", count(stream.segments), bytes(stream.bytes), seconds(stream.seconds), count(stream.bad), count(stream.tombstones)];
  const names = [["Channel", ""], ["Quality", ""], ["Hours", "number"], ["First", ""], ["Last", ""], ["Files", "number"], ["Bytes", "number"], ["Video", "number"], ["Bad names", "number"], ["Tombstones", "number"]];
  const sorted = [...list].sort((a, b) => inOrder(a.channel, b.channel) || inOrder(a.quality, b.quality));
  fill(byId("streams"), table(names, sorted.map(line), "There is no channel here yet."));
}

function sources(list) {
  byId("sources-card").hidden = list.length === 0;
  const line = (source) => [source.kind, source.place, count(source.peers), time(source.read), [source.error, ...source.left_out].filter(Boolean).join("; ") || "–"];
  fill(byId("sources"), table([["Kind", ""], ["Location", "text"], ["Nodes", "number"], ["Read", ""], ["Problem", "text"]], list.map(line), ""));
}

/** What the scrub found: damaged files in the quarantine, then odd ones that stay where they are. */
function suspects(quarantine, flagged) {
  const fate = (file) => (file.healed ? "in quarantine; here again" : file.problem === "structure" ? "in quarantine; not fetched again" : "in quarantine; not here again");
  const lines = [
    ...quarantine.files.map((file) => [file.path, file.problem, file.faults.join("; "), time(file.at), fate(file)]),
    ...flagged.files.map((file) => [file.path, file.problem, file.faults.join("; "), time(file.at), "flagged; stays where it is"]),
  ];
  const names = [["Segment", "text"], ["Problem", ""], ["Details", "text"], ["Found", ""], ["State", "text"]];
  const all = quarantine.count + flagged.count + flagged.left_out;
  fill(byId("suspects"), table(names, lines.slice(0, MOST_SUSPECTS), "The scrub has found nothing."),
    all > Math.min(lines.length, MOST_SUSPECTS) ? make("p", { class: "note" }, `${count(all)} in all: ${count(quarantine.count)} in quarantine, ${count(flagged.count + flagged.left_out)} flagged. gapless quarantine and gapless flagged list them.`) : null);
}

async function lookAtSuspects() {
  try {
    suspects(...(await Promise.all([get(path("quarantine")), get(path("flagged"))])));
  } catch (error) {
    fill(byId("suspects"), make("p", { class: "note" }, `Not available: ${error.message}`));
  }
}

const recorders = new RecorderCard();
const layout = new LayoutCard(meter);
let asking = false;
/** The latest answer, which another clock shows again. */
let last = null;
/** When what the scrub found was asked for last: it changes seldom. */
let suspected = 0;
const look = atMost(SECOND, async () => {
  if (document.hidden || asking) return;
  asking = true;
  try {
    last = await get(path("status"));
    draw(last);
    await recorders.look();
    await layout.look(last.layout);
    if (Date.now() - suspected > SUSPECTS) {
      suspected = Date.now();
      await lookAtSuspects();
    }
    document.documentElement.dataset.drawn = String(Number(document.documentElement.dataset.drawn ?? 0) + 1);
    hideAway();
  } catch (error) {
    byId("health").dataset.state = "away";
    say(byId("health"), "no connection");
    showAway(whyAway(error), LOOK, last !== null);
  } finally {
    asking = false;
  }
});
document.addEventListener("visibilitychange", look);
document.getElementById("away-again").addEventListener("click", look);
offerSwitch(byId("clock"), () => last && draw(last));
setInterval(look, LOOK);
look();
listen(look);
