// Submits jobs to linkrelay and reads them, with nothing but Node.
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { signIklim, signQuery, signV1, signV2 } from "./sign.js";

export const SCHEMES = ["link-peeler", "link-peeler-v1", "iklim", "signed-query"];

const FINAL = ["succeeded", "dead", "cancelled", "expired"];
const GOOD_FOR = 240; // seconds that a signed request may be sent again: the relay allows 300, and clocks differ
const PAUSES = [1, 2, 4, 8, null]; // seconds before the next try where the relay names none; null ends

/** The relay's refusal (RFC 9457). Its code is stable. */
export class Problem extends Error {
  constructor(status, text) {
    let document;
    try {
      document = JSON.parse(text);
    } catch { // something on the way to the relay answered, or nothing
      document = { code: "no_answer_of_the_relay", detail: text };
    }
    super(`${status} ${document.code}: ${document.detail}`);
    Object.assign(this, { name: "Problem", status, code: document.code, document });
  }
}

/** Submits jobs and reads them. Methods return the relay's JSON, or throw Problem. */
export class Platform {
  #options;

  constructor({ url, key, secret, scheme = SCHEMES[0] }) {
    if (!SCHEMES.includes(scheme)) throw new TypeError(`the scheme must be one of ${SCHEMES.join(", ")}`);
    this.#options = { url: url.replace(/\/+$/, ""), key, secret, scheme };
  }

  /** Creates a job. Submitting it again under its idempotency key is safe: it stays one job. */
  submit(job) {
    return this.#call("POST", "/api/links/fetch", complete(job));
  }

  /** Checks all that submit would, and creates nothing. */
  verify(job) {
    return this.#call("POST", "/api/links/verify", complete(job));
  }

  /** Reads a job until it is final, which it is when it expires at the latest. */
  async wait(jobId) {
    for (;;) {
      const job = await this.#call("GET", `/api/links/jobs/${encodeURIComponent(jobId)}?wait=25`);
      if (FINAL.includes(job.state)) return job;
      await sleep(1000); // a relay that is shutting down answers at once
    }
  }

  find(idempotencyKey) {
    return this.#call("GET", `/api/links/jobs?${new URLSearchParams({ idempotencyKey })}`);
  }

  quota() {
    return this.#call("GET", "/api/links/quota");
  }

  cancel(jobId) {
    return this.#call("DELETE", `/api/links/jobs/${encodeURIComponent(jobId)}`);
  }

  #call(method, target, job) {
    return send(() => signed(this.#options, method, target, job));
  }
}

// In the order that signQuery signs. iklim wants a UUID, the others any text.
function complete({ idempotencyKey = randomUUID(), trackingUrl, source, rowId }) {
  return { idempotencyKey, trackingUrl, source, rowId };
}

/**
 * Sends a request until it is answered for good; sign makes what fetch takes.
 * 429 and 503 use nothing up, not even the nonce: the same bytes go again.
 * Where nobody knows what arrived, the request is signed anew, and the
 * idempotency key sees to it that it stays one job.
 */
export async function send(sign) {
  let request, good, answer;
  for (const pause of PAUSES) {
    const resent = request !== undefined;
    if (!resent) [request, good] = [sign(), Date.now() + GOOD_FOR * 1000];
    answer = await exchange(request);
    if (answer.status < 300) return JSON.parse(answer.text);
    const refused = answer.status === 429 || answer.status === 503;
    const unknown = !refused && (answer.status >= 500 || (resent && answer.status === 409));
    const wait = 1000 * (answer.retryAfter || pause);
    if (!(refused || unknown) || pause === null || Date.now() + wait > good) break;
    if (unknown) request = undefined;
    await sleep(wait);
  }
  throw new Problem(answer.status, answer.text);
}

// Status 599: no answer came.
async function exchange({ url, signal, ...init }) {
  try {
    const response = await fetch(url, { redirect: "manual", signal: AbortSignal.timeout(40_000), ...init });
    return { status: response.status, retryAfter: Number(response.headers.get("retry-after")), text: await response.text() };
  } catch (reason) {
    return { status: 599, text: why(reason) };
  }
}

// What fetch failed with: its own message only says that it did.
export function why({ message, cause }) {
  return cause?.message || cause?.code || message;
}

/** Returns what fetch takes for one request, which may be sent for GOOD_FOR seconds. */
export function signed({ url, key, secret, scheme }, method, target, job) {
  if (scheme === "signed-query") {
    return { url: url + target + (target.includes("?") ? "&" : "?") + query(key, secret, job), method };
  }
  const body = job && JSON.stringify(job);
  const headers = scheme === "iklim"
    ? iklim(key, secret, method, target, body, job)
    : linkPeeler(key, secret, method, target, body, scheme === "link-peeler-v1" && target === "/api/links/fetch");
  if (body) headers["Content-Type"] = "application/json";
  return { url: url + target, method, headers, body };
}

function linkPeeler(key, secret, method, target, body, v1) {
  const timestamp = String(Math.floor(Date.now() / 1000));
  const nonce = randomUUID();
  return {
    "X-Link-Peeler-Key": key,
    "X-Link-Peeler-Timestamp": timestamp,
    "X-Link-Peeler-Nonce": nonce,
    "X-Link-Peeler-Signature": v1
      ? signV1(secret, timestamp, nonce, body)
      : signV2(secret, timestamp, nonce, method, target, body),
  };
}

function iklim(key, secret, method, target, body, job) {
  const timestamp = String(Date.now());
  return {
    "X-Api-Key": key,
    "X-Timestamp": timestamp,
    "X-Nonce": randomUUID(),
    "X-Idempotency-Key": job?.idempotencyKey ?? randomUUID(),
    "X-Signature": signIklim(secret, timestamp, method, target, body),
  };
}

function query(key, secret, job = {}) {
  const expires = String(Math.floor(Date.now() / 1000) + 300);
  const signature = signQuery(secret, [key, expires, ...Object.values(job)]);
  return new URLSearchParams({ ...job, AccessID: key, Expires: expires, Signature: signature });
}
