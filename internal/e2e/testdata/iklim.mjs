// Sends a link fetch and gets its result, signed as seed 004 describes, with
// nothing but Node.
//
//   LINK_PEELER_URL=… LINK_PEELER_KEY=… LINK_PEELER_SECRET=… \
//     node iklim.mjs TRACKING_URL IDEMPOTENCY_KEY ROW_ID
//
// Prints one line for each answer: its status and its body.
import { createHmac, randomUUID } from "node:crypto";

const { LINK_PEELER_URL: base, LINK_PEELER_KEY: key, LINK_PEELER_SECRET: secret } = process.env;
const [trackingUrl, idempotencyKey, rowId] = process.argv.slice(2);

async function call(method, target, idempotencyKey, body = "") {
  const timestamp = String(Date.now());
  const signature = createHmac("sha256", secret).update(`${method}|${target}|${timestamp}|${body}`).digest("hex");
  const headers = {
    "X-Api-Key": key,
    "X-Signature": signature,
    "X-Timestamp": timestamp,
    "X-Nonce": randomUUID(),
    "X-Idempotency-Key": idempotencyKey,
  };
  if (body) headers["Content-Type"] = "application/json";
  const response = await fetch(base + target, { method, headers, body: body || undefined });
  const text = await response.text();
  console.log(response.status, text);
  return JSON.parse(text);
}

const body = JSON.stringify({ trackingUrl, source: "crm", rowId });
const { jobId } = await call("POST", "/api/links/fetch", idempotencyKey, body);
await call("GET", `/api/links/jobs/${jobId}?wait=25`, randomUUID());
await call("POST", "/api/links/fetch", idempotencyKey, body); // refused: the key was used, for this job
