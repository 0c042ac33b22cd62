// The signatures of every scheme. The HMAC key is the secret's own text, and
// the body is every byte that is sent: a string (as UTF-8) or a Buffer.
import { createHmac } from "node:crypto";

const mac = (secret, algorithm = "sha256") => createHmac(algorithm, secret);

/** link-peeler v1, for POST /api/links/fetch only. The timestamp is in seconds. */
export function signV1(secret, timestamp, nonce, body) {
  return mac(secret).update(`${timestamp}.${nonce}.`).update(body).digest("hex");
}

/** link-peeler v2, for every call. The target is path and query exactly as sent. */
export function signV2(secret, timestamp, nonce, method, target, body = "") {
  return "v2=" + mac(secret).update(`${timestamp}.${nonce}.${method}.${target}.`).update(body).digest("hex");
}

/** iklim, for every call. The timestamp is in milliseconds. */
export function signIklim(secret, timestamp, method, target, body = "") {
  return mac(secret).update(`${method}|${target}|${timestamp}|`).update(body).digest("hex");
}

/** signed-query. Values: AccessID, Expires and, to create a job, its four, not yet percent-encoded. */
export function signQuery(secret, values, algorithm = "sha256") {
  return mac(secret, algorithm).update(values.join("\n")).digest("base64");
}
