// Reads a stream cut into pieces of every length: its frames are always the same.
import assert from "node:assert/strict";
import { test } from "node:test";
import { frames } from "../desktop.js";

const text = 'event: hello\ndata: {"sessionId":"ses_1"}\n\n: a comment\r\n\r\n' +
  'event: job\r\ndata: {"rowId":"satır-7 🍐"}\r\n\r\nevent: ping\ndata: {\ndata: "seq":1}\n\nevent: cut\ndata: {}\n';
const wanted = [
  { event: "hello", data: { sessionId: "ses_1" } },
  { event: "job", data: { rowId: "satır-7 🍐" } },
  { event: "ping", data: { seq: 1 } },
];

function pieces(bytes, length) {
  return new ReadableStream({
    start(controller) {
      for (let i = 0; i < bytes.length; i += length) controller.enqueue(bytes.subarray(i, i + length));
      controller.close();
    },
  });
}

async function read(body) {
  const all = [];
  for await (const frame of frames(body.getReader())) all.push(frame);
  return all;
}

test("frames in pieces", async () => {
  const bytes = new TextEncoder().encode(text);
  for (let length = 1; length <= bytes.length; length++) {
    assert.deepEqual(await read(pieces(bytes, length)), wanted, `pieces of ${length} bytes`);
  }
});

test("a frame without end", async () => {
  const endless = new TextEncoder().encode("data: " + "x".repeat(70_000));
  await assert.rejects(read(pieces(endless, 1000)), /too large/);
});
