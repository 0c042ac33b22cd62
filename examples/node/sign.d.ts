/** Every byte of a request's body: a string counts as UTF-8. */
export type Body = string | Uint8Array;

/** link-peeler v1, for POST /api/links/fetch only. The timestamp is in seconds. */
export function signV1(secret: string, timestamp: string, nonce: string, body: Body): string;

/** link-peeler v2, for every call. The target is path and query exactly as sent. */
export function signV2(secret: string, timestamp: string, nonce: string, method: string, target: string, body?: Body): string;

/** iklim, for every call. The timestamp is in milliseconds. */
export function signIklim(secret: string, timestamp: string, method: string, target: string, body?: Body): string;

/** signed-query. Values: AccessID, Expires and, to create a job, its four, not yet percent-encoded. */
export function signQuery(secret: string, values: readonly string[], algorithm?: "sha256" | "sha1"): string;
