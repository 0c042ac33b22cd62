// Checks the signatures against the published vectors: npm test
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { signIklim, signQuery, signV1, signV2 } from "../sign.js";

function check(scheme, sign) {
  test(scheme, () => {
    const file = new URL(`../../../signature/testdata/${scheme}.json`, import.meta.url);
    const valid = JSON.parse(readFileSync(file)).vectors.filter((v) => v.valid);
    for (const v of valid) {
      const body = "bodyBase64" in v ? Buffer.from(v.bodyBase64, "base64") : v.body ?? "";
      assert.equal(sign(v, body), v.signature, v.name);
    }
    console.log(`${scheme}: ${valid.length} signatures`);
  });
}

check("link-peeler", (v, body) => v.version === "v1"
  ? signV1(v.secret, v.timestamp, v.nonce, body)
  : signV2(v.secret, v.timestamp, v.nonce, v.method, v.target, body));

check("iklim", (v, body) => signIklim(v.secret, v.timestamp, v.method, v.target, body));

check("signed-query", ({ secret, keyId, timestamp, job, creates, algorithm }) => {
  const values = creates ? [job.idempotencyKey, job.trackingUrl, job.source, job.rowId] : [];
  return signQuery(secret, [keyId, timestamp, ...values], algorithm.replace("hmac-", ""));
});
