export type Scheme = "link-peeler" | "link-peeler-v1" | "iklim" | "signed-query";
export const SCHEMES: readonly Scheme[];

export interface Credentials {
  /** Where the relay is, such as https://relay.example. */
  url: string;
  /** The key's id, lp_live_… or lp_test_…; a desktop's is lp_device_…. */
  key: string;
  secret: string;
}

export interface JobRequest {
  /** Under iklim a UUID of version 4. A random one is made when it is left out. */
  idempotencyKey?: string;
  trackingUrl: string;
  source: string;
  rowId: string;
}

export type State = "queued" | "offered" | "running" | "succeeded" | "dead" | "cancelled" | "expired";

/** A job. Times are RFC 3339. result is what the desktop returned, in state succeeded. */
export interface Job<Result = unknown> {
  jobId: string;
  state: State;
  idempotencyKey: string;
  source: string;
  rowId: string;
  createdAt: string;
  expiresAt: string;
  attempts?: number;
  notBefore?: string;
  finishedAt?: string;
  result?: Result;
  error?: string;
}

export interface Verification {
  ok: boolean;
  scheme: "link-peeler" | "iklim" | "signed-query";
  version?: "v1" | "v2";
  key: string;
  secretGeneration: number;
  wouldCreate: boolean;
  /** The job that this idempotency key made already. */
  job?: Job;
}

export interface Window {
  name: string;
  limit: number;
  used: number;
  remaining: number;
  resetSeconds: number;
}

export interface Quota {
  accountId: string;
  plan: string;
  membership: { state: string; endsAt?: string };
  windows: Window[];
  /** Waiting and running jobs; a limit of 0 is none. */
  backlog: { waiting: number; running: number; limit: number };
}

/** RFC 9457, with the relay's members; which of them depends on the code. */
export interface ProblemDocument {
  code: string;
  detail: string;
  /** The members above are always there, these when the relay itself answered. */
  type?: string;
  title?: string;
  status?: number;
  requestId?: string;
  retryable?: boolean;
  /** What is wrong with the signature, for who holds the secret. */
  diagnosis?: string;
  header?: string;
  pointer?: string;
  errors?: { pointer: string; reason: string }[];
  jobId?: string;
  limit?: number;
  windows?: string[];
  serverTime?: number;
  receivedTimestamp?: string;
  maxSkewSeconds?: number;
  /** These under iklim. */
  timestamp?: string;
  error?: string;
  message?: string;
  path?: string;
}

/** The relay's refusal. Its code is stable. */
export class Problem extends Error {
  constructor(status: number, text: string);
  /** 599 when no answer came. */
  readonly status: number;
  readonly code: string;
  readonly document: ProblemDocument;
}

/** Submits jobs and reads them. Promises are rejected with Problem. */
export class Platform {
  constructor(options: Credentials & { scheme?: Scheme });
  /** Creates a job. Submitting it again under its idempotency key is safe: it stays one job. */
  submit<Result = unknown>(job: JobRequest): Promise<Job<Result>>;
  /** Checks all that submit would, and creates nothing. */
  verify(job: JobRequest): Promise<Verification>;
  /** Reads a job until it is final, which it is when it expires at the latest. */
  wait<Result = unknown>(jobId: string): Promise<Job<Result>>;
  find<Result = unknown>(idempotencyKey: string): Promise<Job<Result>>;
  quota(): Promise<Quota>;
  cancel(jobId: string): Promise<Job>;
}

/** What fetch takes for one request. */
export interface SignedRequest {
  url: string;
  method: string;
  headers?: Record<string, string>;
  body?: string;
}

/** Signs one request, which may be sent for four minutes. */
export function signed(options: Credentials & { scheme?: Scheme }, method: string, target: string, body?: object): SignedRequest;

/** Sends a request until it is answered for good, signing it anew where need be. */
export function send<Answer = unknown>(sign: () => SignedRequest): Promise<Answer>;
