/*
 * A session with a WHIP or WHEP endpoint: POST of an offer, the answer, PATCH when the way is lost and
 * another one has to be found, DELETE at the end.
 */
import { sleep } from "./show.js";

const DISCONNECTED_MS = 500; // before another way is looked for
const RESTART_MS = 5000; // to find one

/** Why a server refused: `status` of HTTP, its word, `retryMs` when it may be asked again. */
export class Refused extends Error {
  constructor(status, code, message, retryMs) {
    super(message);
    this.status = status;
    this.code = code;
    this.retryMs = retryMs;
  }
}

/** What a response that is no success says. */
export async function refusal(response) {
  const body = await response.json().catch(() => null);
  const retry = Number(response.headers.get("Retry-After"));
  return new Refused(response.status, body?.error?.code ?? "",
    body?.error?.message ?? `HTTP ${response.status}`, retry > 0 ? retry * 1000 : 0);
}

/** ICE servers out of Link headers (RFC 9725, 4.6). */
function iceServers(link) {
  const servers = [];
  for (const part of (link ?? "").split(/,\s*(?=<)/)) {
    const url = /^<([^>]+)>/.exec(part)?.[1];
    if (!url || !/rel="ice-server"/.test(part)) continue;
    const value = (name) => new RegExp(`\\b${name}="([^"]*)"`).exec(part)?.[1];
    servers.push({ urls: url, username: value("username"), credential: value("credential") });
  }
  return servers;
}

const lineOf = (sdp, name) => new RegExp(`^a=${name}:(.*?)\\r?$`, "m").exec(sdp)?.[1];

/** The answer that was, with the transport of a restart's fragment. */
function withTransport(answer, fragment) {
  const lines = fragment.split(/\r?\n/).filter((l) => /^a=(candidate:|end-of-candidates)/.test(l));
  const out = [];
  for (const line of answer.split(/\r?\n/)) {
    const name = /^a=(ice-ufrag|ice-pwd|candidate|end-of-candidates)\b/.exec(line)?.[1];
    if (!name) out.push(line.replace(/^(o=\S+ \S+) (\d+)/, (_, start, n) => `${start} ${Number(n) + 1}`));
    else if (name.startsWith("ice-")) out.push(`a=${name}:${lineOf(fragment, name)}`);
    if (name === "ice-pwd") out.push(...lines.splice(0));
  }
  return out.join("\r\n");
}

export class Session {
  #url = null;
  #token;

  constructor(token = "") {
    this.#token = token;
  }

  #headers(more) {
    return this.#token ? { ...more, Authorization: `Bearer ${this.#token}` } : more;
  }

  /*
   * The offer is posted before it is set, so that gathering begins with the ICE servers of the
   * answer; the server is ICE-lite and needs none of our candidates.
   */
  async open(pc, endpoint, signal) {
    const offer = await pc.createOffer();
    offer.sdp = offer.sdp.replaceAll("useinbandfec=1", "useinbandfec=1;stereo=1");
    const response = await fetch(endpoint, {
      method: "POST",
      headers: this.#headers({ "Content-Type": "application/sdp" }),
      body: offer.sdp,
      signal,
    });
    if (response.status !== 201) throw await refusal(response);
    this.#url = new URL(response.headers.get("Location"), response.url);
    const servers = iceServers(response.headers.get("Link"));
    if (servers.length > 0) pc.setConfiguration({ iceServers: servers });
    const answer = await response.text();
    await pc.setLocalDescription(offer);
    await pc.setRemoteDescription({ type: "answer", sdp: answer });
  }

  /* ICE again, on the same session (RFC 9725, 4.3.3). */
  async restart(pc) {
    const offer = await pc.createOffer({ iceRestart: true });
    const response = await fetch(this.#url, {
      method: "PATCH",
      headers: this.#headers({ "Content-Type": "application/trickle-ice-sdpfrag", "If-Match": "*" }),
      body: ["ice-ufrag", "ice-pwd"].map((n) => `a=${n}:${lineOf(offer.sdp, n)}\r\n`).join(""),
    });
    if (response.status !== 200) throw await refusal(response);
    const answer = withTransport(pc.currentRemoteDescription.sdp, await response.text());
    await pc.setLocalDescription(offer);
    await pc.setRemoteDescription({ type: "answer", sdp: answer });
  }

  /* Also while the page goes away. */
  close() {
    if (!this.#url) return;
    fetch(this.#url, { method: "DELETE", headers: this.#headers({}), keepalive: true })
      .catch(() => {});
    this.#url = null;
  }
}

/** The reports of a connection by type and kind, and the pair in use. */
export async function statsOf(pc) {
  const found = {};
  const all = await pc.getStats();
  for (const s of all.values()) {
    if (s.type === "inbound-rtp" || s.type === "outbound-rtp") found[`${s.type}-${s.kind}`] = s;
    if (s.type === "candidate-pair" && s.nominated && s.state === "succeeded") found.pair = s;
  }
  found.codec = (report) => all.get(report?.codecId)?.mimeType?.split("/")[1] ?? "";
  return found;
}

export class Closed extends Error {}

/** Resolves once the connection is there, rejects when it fails or the time is over. */
export function connected(pc, timeoutMs) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Closed("no connection")), timeoutMs);
    const look = () => {
      if (pc.connectionState === "connected") resolve();
      else if (["failed", "closed"].includes(pc.connectionState)) reject(new Closed("no connection"));
      else return;
      clearTimeout(timer);
    };
    pc.addEventListener("connectionstatechange", look);
    look();
  });
}

const nextState = (pc) => new Promise((resolve) => {
  pc.addEventListener("connectionstatechange", resolve, { once: true });
});

/* "found", "none", or "ended": the server does not know the session any more. */
async function findWay(pc, session) {
  const untilMs = performance.now() + RESTART_MS;
  try {
    await session.restart(pc);
  } catch (e) {
    return e instanceof Refused ? "ended" : "none";
  }
  while (!["connected", "closed"].includes(pc.connectionState) && performance.now() < untilMs)
    await Promise.race([nextState(pc), sleep(200)]);
  return pc.connectionState === "connected" ? "found" : "none";
}

/* Resolves when the server has said goodbye, which it does by DTLS. */
const dismissed = (pc) => new Promise((resolve) => {
  const { transport } = pc.getTransceivers()[0].receiver;
  const look = () => transport?.state === "closed" && resolve(false);
  transport?.addEventListener("statechange", look);
  look();
});

/** Resolves when a connection that was there is over: true when it is lost and no other way was found in time. */
export const lost = (pc, session) => Promise.race([dismissed(pc), noWay(pc, session)]);

async function noWay(pc, session) {
  while (pc.connectionState !== "closed") {
    if (pc.connectionState === "connected" || pc.connectionState === "connecting") {
      await nextState(pc);
      continue;
    }
    if (pc.connectionState === "disconnected")
      await Promise.race([nextState(pc), sleep(DISCONNECTED_MS)]);
    if (pc.connectionState !== "disconnected" && pc.connectionState !== "failed") continue;
    const found = await findWay(pc, session);
    if (found !== "found") return found === "none";
  }
  return false;
}
