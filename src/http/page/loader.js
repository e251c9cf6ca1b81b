// Loads playlists and segments for the player: as all that the page asks for, with the token that is kept, and with the node's own words
// where something is refused. It has the shape that hls.js wants of a loader.

import { refusal, send } from "./api.js";

const stats = () => ({
  aborted: false, loaded: 0, retry: 0, total: 0, chunkCount: 0, bwEstimate: 0, loading: { start: 0, first: 0, end: 0 },
  parsing: { start: 0, end: 0 }, buffering: { start: 0, first: 0, end: 0 },
});

/** One request. */
export class Loader {
  constructor() {
    Object.assign(this, { stats: stats(), context: null, callbacks: null, asking: new AbortController() });
  }

  destroy() {
    this.callbacks = null;
    this.stop();
  }

  abort() {
    this.stop();
    this.callbacks?.onAbort?.(this.stats, this.context, null);
  }

  stop() {
    if (this.stats.loading.end) return;
    this.stats.aborted = true;
    this.asking.abort();
  }

  async load(context, config, callbacks) {
    Object.assign(this, { context, callbacks });
    const { stats } = this;
    stats.loading.start = performance.now();
    const timer = setTimeout(() => {
      this.stop();
      this.callbacks?.onTimeout(stats, context, null);
    }, config.timeout);
    try {
      const response = await send(context.url, this.asking.signal);
      stats.loading.first = Math.max(performance.now(), stats.loading.start);
      if (!response.ok) throw await refusal(response);
      const data = context.responseType === "arraybuffer" ? await response.arrayBuffer() : await response.text();
      stats.loading.end = Math.max(performance.now(), stats.loading.first);
      stats.loaded = stats.total = data.byteLength ?? data.length;
      this.callbacks?.onSuccess({ url: response.url, data, code: response.status }, stats, context, response);
    } catch (error) {
      if (stats.aborted) return;
      this.callbacks?.onError({ code: error.status ?? 0, text: error.status ? error.message : "No answer from this node." }, context, error, stats);
    } finally {
      clearTimeout(timer);
    }
  }

  getCacheAge() {
    return null;
  }

  getResponseHeader() {
    return null;
  }
}
