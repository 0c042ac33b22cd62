import type { Credentials } from "./index.js";

/** A job that this desktop was offered. */
export interface Delivery {
  jobId: string;
  lease: string;
  delivery: number;
  attempt: number;
  acceptBy: string;
  trackingUrl: string;
  source: string;
  rowId: string;
  context?: Record<string, unknown>;
  expiresAt: string;
}

export interface DesktopOptions extends Credentials {
  /** How many jobs at a time, 4 if left out. */
  maxInFlight?: number;
  /** Stops the desktop. */
  signal?: AbortSignal;
  log?: (text: string) => void;
}

/** Returns the result, which must be JSON. The signal aborts when the work is not wanted any more. */
export type Work = (job: Delivery, context: { signal: AbortSignal }) => unknown;

/**
 * Runs until options.signal aborts; running work is aborted then, and given
 * back. Rejects when the relay does not take this device's key (any more).
 */
export function runDesktop(options: DesktopOptions, work: Work): Promise<void>;

/** Reads server-sent events from the reader of a fetch body, with their data as JSON. */
export function frames(reader: ReadableStreamDefaultReader<Uint8Array>): AsyncGenerator<{ event: string; data: unknown }>;
