// Sends a link fetch and gets its result, with nothing but Node.
//
//   LINK_PEELER_URL=… LINK_PEELER_KEY=… LINK_PEELER_SECRET=… \
//     node fetch.mjs TRACKING_URL IDEMPOTENCY_KEY ROW_ID
//
// Prints one line for each answer: its status and its body.
import { createHmac, randomUUID } from "node:crypto";

const { LINK_PEELER_URL: base, LINK_PEELER_KEY: key, LINK_PEELER_SECRET: secret } = process.env;
const [trackingUrl, idempotencyKey, rowId] = process.argv.slice(2);

const hmac = (text) => createHmac("sha256", secret).update(text).digest("hex");

// sign makes the four headers; signature gets "timestamp.nonce." to go on from.
function sign(signature) {
  const timestamp = String(Math.floor(Date.now() / 1000));
  const nonce = randomUUID();
  return {
    "X-Link-Peeler-Key": key,
    "X-Link-Peeler-Timestamp": timestamp,
    "X-Link-Peeler-Nonce": nonce,
    "X-Link-Peeler-Signature": signature(`${timestamp}.${nonce}.`),
  };
}

async function show(response) {
  const text = await response.text();
  console.log(response.status, text);
  return response;
}

const body = JSON.stringify({ idempotencyKey, trackingUrl, source: "crm", rowId });

// A fetch is signed over timestamp.nonce.body.
const submit = () => fetch(base + "/api/links/fetch", {
  method: "POST",
  headers: { "Content-Type": "application/json", ...sign((prefix) => hmac(prefix + body)) },
  body,
}).then(show);

// Anything else is signed over timestamp.nonce.METHOD.target.body.
const read = (target) => fetch(base + target, {
  headers: sign((prefix) => "v2=" + hmac(`${prefix}GET.${target}.`)),
}).then(show);

const submitted = await submit();
await read(submitted.headers.get("Location") + "?wait=25");
await submit(); // the same job again: its idempotency key makes that safe
