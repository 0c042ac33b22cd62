#!/usr/bin/env node
// The client as a command: see usage.
import { Platform, Problem, SCHEMES } from "./index.js";
import { runDesktop } from "./desktop.js";

const usage = `usage: cli.js submit|verify TRACKING_URL SOURCE ROW_ID [IDEMPOTENCY_KEY]
       cli.js wait|cancel JOB_ID
       cli.js find IDEMPOTENCY_KEY
       cli.js quota
       cli.js desktop          with a device's key; runs until interrupted`;

const { LINKRELAY_URL: url, LINKRELAY_KEY: key, LINKRELAY_SECRET: secret } = process.env;
const scheme = process.env.LINKRELAY_SCHEME || SCHEMES[0];
const platform = () => new Platform({ url, key, secret, scheme });
const job = ([trackingUrl, source, rowId, idempotencyKey]) => ({ trackingUrl, source, rowId, idempotencyKey });

const commands = {
  submit: { counts: [3, 4], run: (args) => platform().submit(job(args)) },
  verify: { counts: [3, 4], run: (args) => platform().verify(job(args)) },
  wait: { counts: [1], run: ([jobId]) => platform().wait(jobId) },
  cancel: { counts: [1], run: ([jobId]) => platform().cancel(jobId) },
  find: { counts: [1], run: ([idempotencyKey]) => platform().find(idempotencyKey) },
  quota: { counts: [0], run: () => platform().quota() },
  desktop: { counts: [0], run: desktop },
};

function desktop() {
  const stop = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"]) process.once(name, () => stop.abort());
  return runDesktop({ url, key, secret, signal: stop.signal, log: console.error }, follow);
}

// Your work goes here.
async function follow(job, { signal }) {
  const response = await fetch(job.trackingUrl, { signal });
  await response.body?.cancel();
  return { finalUrl: response.url, status: response.status };
}

function fail(text) {
  console.error(text);
  process.exit(1);
}

const [name, ...args] = process.argv.slice(2);
const command = Object.hasOwn(commands, name ?? "") && commands[name];
if (!command || !command.counts.includes(args.length)) fail(usage);
for (const name of ["LINKRELAY_URL", "LINKRELAY_KEY", "LINKRELAY_SECRET"]) {
  if (!process.env[name]) fail(`set ${name}`);
}
if (!SCHEMES.includes(scheme)) fail(`LINKRELAY_SCHEME must be one of ${SCHEMES.join(", ")}`);
try {
  const answer = await command.run(args);
  if (answer) console.log(JSON.stringify(answer, null, 2));
} catch (problem) {
  if (!(problem instanceof Problem)) throw problem;
  const { diagnosis } = problem.document;
  fail([problem.message, ...(diagnosis ? [`diagnosis: ${diagnosis}`] : []), JSON.stringify(problem.document)].join("\n"));
}
