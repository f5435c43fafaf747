/* What the pages have in common: where they are, and how figures are written. */

export const byId = (id) => document.getElementById(id);
export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** "APP/STREAM" of this page's path. */
export function streamName() {
  return location.pathname.split("/").slice(-3, -1).join("/");
}

export function state(word, text) {
  document.body.dataset.state = word;
  byId("state").textContent = text;
}

export function bitrate(bps) {
  if (!(bps > 0)) return "";
  return bps < 1e6 ? `${Math.round(bps / 1000)} kbit/s` : `${(bps / 1e6).toFixed(2)} Mbit/s`;
}

export const milliseconds = (ms) => (Number.isFinite(ms) ? `${Math.round(ms)} ms` : "");
export const size = (w, h) => (w > 0 && h > 0 ? `${w} × ${h}` : "");

/** Bits per second out of a growing number of bytes. */
export class Rate {
  #bytes = -1;
  #atMs = 0;
  #bps = 0;

  add(bytes) {
    const nowMs = performance.now();
    if (this.#bytes >= 0 && bytes >= this.#bytes && nowMs > this.#atMs)
      this.#bps = ((bytes - this.#bytes) * 8000) / (nowMs - this.#atMs);
    this.#bytes = bytes;
    this.#atMs = nowMs;
    return this.#bps;
  }
}
