// Uses the package as a TypeScript program does. It is compiled by the tests
// (tsc --strict), and run; each @ts-expect-error is a mistake that must be found.
import { Platform, Problem, type Job } from "linkrelay-client";
import { signV2 } from "linkrelay-client/sign";
import { runDesktop, type Delivery } from "linkrelay-client/desktop";

const options = { url: "http://127.0.0.1:1", key: "lp_live_x", secret: "lps_x" };
const platform = new Platform({ ...options, scheme: "iklim" });

export async function use(): Promise<string | undefined> {
  const job: Job<{ finalUrl: string }> = await platform.submit({ trackingUrl: "https://example.com/", source: "crm", rowId: "7" });
  const { diagnosis } = new Problem(401, "{}").document;
  return job.result?.finalUrl ?? diagnosis;
}

export function work(): Promise<void> {
  const stop = new AbortController();
  stop.abort();
  return runDesktop({ ...options, signal: stop.signal }, async (job: Delivery) => ({ finalUrl: job.trackingUrl }));
}

export function mistakes(): void {
  // @ts-expect-error: there is no such scheme
  new Platform({ ...options, scheme: "basic" });
  // @ts-expect-error: rowId is missing
  void platform.submit({ trackingUrl: "https://example.com/", source: "crm" });
  // @ts-expect-error: the timestamp is a text
  signV2("secret", 1735689600, "nonce", "GET", "/");
}

const signature: string = signV2("secret", "1735689600", "nonce", "GET", "/api/links/quota");
if (!/^v2=[0-9a-f]{64}$/.test(signature)) throw new Error(signature);
await work();
