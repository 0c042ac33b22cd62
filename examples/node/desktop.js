// Works off jobs as a linked desktop, with nothing but Node: reads the stream,
// accepts, works, keeps the lease alive, reports, and connects again.
import { setTimeout as sleep } from "node:timers/promises";
import { Problem, send, signed, why } from "./index.js";

const FIRST_FRAME = 20; // seconds; later frames must follow within three times hello's pingSeconds
const MAX_FRAME = 64 * 1024; // characters
const HOPELESS = ["signature_invalid", "key_revoked", "key_expired", "scope_missing", "device_removed"];

/**
 * Runs until options.signal aborts; running work is aborted then, and given
 * back. Throws when the relay does not take this device's key (any more).
 * work(job, { signal }) returns the result, as JSON, or throws: the job is tried
 * again then, unless the error has retryable: false. The signal aborts when the
 * job was cancelled or is somebody else's, or when the desktop stops.
 */
export async function runDesktop({ signal, ...options }, work) {
  const desktop = new Desktop(options, work);
  const stop = () => desktop.stop();
  signal?.addEventListener("abort", stop);
  if (signal?.aborted) stop();
  try {
    await desktop.run();
  } finally {
    signal?.removeEventListener("abort", stop);
    await desktop.finish();
  }
}

class Desktop {
  #options;
  #work;
  #log;
  #maxInFlight;
  #stopping = new AbortController();
  #held = new Map(); // job id → { controller, done } of what is being worked on

  constructor({ url, key, secret, maxInFlight = 4, log = () => {} }, work) {
    this.#options = { url: url.replace(/\/+$/, ""), key, secret };
    [this.#work, this.#log, this.#maxInFlight] = [work, log, maxInFlight];
  }

  stop() {
    this.#stopping.abort(new Error("stopping"));
  }

  async finish() {
    this.stop();
    for (const { controller } of this.#held.values()) controller.abort(this.#stopping.signal.reason);
    await Promise.all([...this.#held.values()].map(({ done }) => done));
  }

  // Keeps a stream open. The pauses are drawn at random, so that desktops that
  // were disconnected together do not come back together.
  async run() {
    const { signal } = this.#stopping;
    for (let failures = 0; !signal.aborted; failures++) {
      let asked = 0;
      try {
        asked = await this.#follow(() => { failures = 0; });
      } catch (reason) {
        if (HOPELESS.includes(reason.code)) throw reason;
        this.#log(`disconnected: ${why(reason)}`);
      }
      const pause = Math.max(asked, Math.random() * Math.min(30_000, 1000 * 2 ** failures));
      await sleep(pause, undefined, { signal }).catch(() => {});
    }
  }

  // Reads one stream to its end; returns the milliseconds to stay away.
  async #follow(greeted) {
    const connection = new AbortController();
    const hangUp = () => connection.abort(this.#stopping.signal.reason);
    this.#stopping.signal.addEventListener("abort", hangUp);
    const watchdog = new Watchdog(connection);
    try {
      watchdog.expect(FIRST_FRAME);
      const reader = await this.#open(connection.signal);
      let hello;
      for await (const { event, data } of frames(reader)) {
        if (event === "hello") {
          hello = data;
          greeted();
          this.#log(`connected: ${hello.sessionId}`);
        }
        // A dead connection may look alive to both ends for hours; no ping for three intervals tells.
        watchdog.expect(3 * (hello?.pingSeconds ?? 15));
        if (event === "job") this.#take(data, hello);
        if (event === "cancel") this.#held.get(data.jobId)?.controller.abort(new Error("cancelled"));
        if (event === "drain") return data.reconnectAfterMs; // it offers nothing any more
        if (event === "bye" && data.code === "device_removed") throw Object.assign(new Error("the device was removed"), data);
        if (event === "bye") return data.retryAfterMs;
      }
      connection.signal.throwIfAborted();
      return 0;
    } catch (reason) {
      throw connection.signal.reason ?? reason; // why it was ended says more than the read error that this caused
    } finally {
      connection.abort();
      watchdog.rest();
      this.#stopping.signal.removeEventListener("abort", hangUp);
    }
  }

  async #open(signal) {
    const { url, ...init } = signed(this.#options, "GET", `/api/desktop/jobs/stream?maxInFlight=${this.#maxInFlight}`);
    const response = await fetch(url, { ...init, signal });
    if (response.status !== 200) throw new Problem(response.status, await response.text());
    const reader = response.body.getReader();
    // fetch itself may forget the signal once its answer has begun (nodejs/undici has it in weak references).
    signal.addEventListener("abort", () => reader.cancel().catch(() => {}));
    return reader;
  }

  // What is not accepted within hello's offerSeconds goes to another desktop.
  #take(job, hello) {
    if (this.#held.has(job.jobId) || this.#held.size >= this.#maxInFlight) return;
    const controller = new AbortController();
    const done = this.#handle(job, hello, controller)
      .then((outcome) => this.#log(`job ${job.jobId}: ${outcome}`), (reason) => this.#log(`job ${job.jobId}: ${reason.message}`))
      .finally(() => this.#held.delete(job.jobId));
    this.#held.set(job.jobId, { controller, done });
  }

  async #handle(job, hello, controller) {
    await this.#act(job, "accept");
    const beat = setInterval(() => this.#extend(job, controller), hello.leaseSeconds * 1000 / 3);
    let result;
    try {
      controller.signal.throwIfAborted();
      result = await this.#work(job, { signal: controller.signal });
    } catch (reason) {
      clearInterval(beat);
      if (this.#stopping.signal.aborted) return this.#act(job, "release").then(() => "given back");
      if (controller.signal.aborted) return String(controller.signal.reason.message);
      return this.#report(job, "fail", { error: reason instanceof Error ? why(reason) : String(reason), retryable: reason?.retryable !== false });
    } finally {
      clearInterval(beat);
    }
    // Also after the lease was lost: the result counts while nobody else has the job.
    return this.#report(job, "complete", { result: result ?? null });
  }

  #extend(job, controller) {
    this.#act(job, "extend").catch((problem) => {
      if (problem.status === 409 || problem.status === 404) controller.abort(problem); // other failures: the next beat may pass
    });
  }

  // Repeats a report until the relay took or refused it, or the job is over.
  async #report(job, verb, body) {
    for (;;) {
      try {
        return await this.#act(job, verb, body).then(({ state }) => state);
      } catch (problem) {
        const passing = problem.status === 429 || problem.status >= 500;
        if (!passing || Date.now() > Date.parse(job.expiresAt)) throw problem;
        await sleep(Math.random() * 30_000);
      }
    }
  }

  #act({ jobId, lease }, verb, body) {
    return send(() => signed(this.#options, "POST", `/api/desktop/jobs/${jobId}/${verb}`, { lease, ...body }));
  }
}

class Watchdog {
  #timer;
  #connection;

  constructor(connection) {
    this.#connection = connection;
  }

  expect(seconds) {
    this.rest();
    this.#timer = setTimeout(() => this.#connection.abort(new Error(`heard nothing for ${seconds} s`)), seconds * 1000);
  }

  rest() {
    clearTimeout(this.#timer);
  }
}

/** Reads server-sent events (WHATWG HTML §9.2.6) from the reader of a fetch body, with their data as JSON. */
export async function* frames(reader) {
  const decoder = new TextDecoder();
  let text = "", event = "", data = "";
  for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) {
    const lines = (text + decoder.decode(chunk.value, { stream: true })).split(/\r?\n/);
    text = lines.pop(); // not ended yet
    for (const line of lines) {
      if (line.startsWith("event:")) event = line.slice(6).trim();
      if (line.startsWith("data:")) data += line.slice(5);
      if (line !== "") continue;
      if (data) yield { event, data: JSON.parse(data) };
      event = data = "";
    }
    if (text.length + data.length > MAX_FRAME) throw new Error("a frame is too large");
  }
}
