/**
 * `ringlet demo`
 *
 * @module
 */
import process from "node:process";
import { Child, type Ended } from "./child.ts";
import type { Command } from "./command.ts";
import { CommandError } from "./failure.ts";
import { bytesText } from "./format.ts";
import { type OffHost, tryOffHost } from "./off_host.ts";
import type { OptionValues } from "./options.ts";
import { type Column, conclude, hashLines, print, table } from "./report.ts";
import { type Hashes, type Leg, Run } from "./run.ts";
import { sendFile } from "./sender.ts";
import { Source } from "./source.ts";

const LOOPBACK = "127.0.0.1";
/** Without --copies: a file of our own choice is sent until it comes to so much, or has taken so long. */
const DEMO_BYTES = 512e6;
const STOP_AFTER_MS = 8000;
/** How long the receiver waits for us. */
const WAIT_SECONDS = 10;

/** See the module. */
export const demo: Command = {
  synopsis: "[FILE]",
  summary: "send a file from one process to another and show what became of every buffer",
  details:
    "FILE is the running executable by default, sent several times. It goes to a second process over loopback TCP, " +
    "where the kernel always copies. A second, short leg sends pieces of the running executable as UDP datagrams over a device that does " +
    "not copy, in a network namespace of its own; where the system does not allow that, the table says why.",
  options: ["engine", "zero-copy", "arena", "chunk", "copies", "timeout", "no-off-host", "json", "quiet", "help"],
  async run({ positionals: [path], values, signal }) {
    await using source = await Source.open(path ?? process.execPath);
    if (!values.json && !values.quiet) {
      print(`Sending ${source.path} (${bytesText(source.byteLength)}) from one process to another`);
    }
    const run = await Run.open(values);
    const hashes: Hashes = { sha256Sent: null, sha256Received: null };
    let receiver: Leg | undefined;
    let offHost: OffHost = { offHost: null, offHostReason: "not reached" };
    const failure = await run.during(async () => {
      receiver = await sendToChild(run, source, path === undefined, values, signal, hashes);
      offHost = values["no-off-host"]
        ? { offHost: null, offHostReason: "left out by --no-off-host" }
        : await tryOffHost(values, signal);
    });
    const leg = run.leg();
    const report = { ...leg, ...hashes, file: source.path, receiver, ...offHost };
    return conclude(report, failure, values, () => {
      const columns: Column[] = [{ title: "sender, loopback TCP", leg }, { title: "receiver", leg: receiver! }];
      if (offHost.offHost !== null) columns.push({ title: `UDP to an ${offHost.device} device`, leg: offHost.offHost });
      const lines = [table(columns), hashLines(hashes)];
      if (offHost.offHost === null) {
        lines.push(`Nothing was sent over a device that does not copy: ${offHost.offHostReason}`);
      }
      return lines.join("\n");
    });
  },
};

/** Sends `source` to a receiver that is started for it; answers the receiver's numbers. */
async function sendToChild(
  run: Run,
  source: Source,
  ours: boolean,
  values: OptionValues,
  signal: AbortSignal,
  hashes: Hashes,
): Promise<Leg> {
  const shared = (["engine", "arena", "chunk", "timeout"] as const).map((name) => `--${name}=${values[name]}`);
  const wait = `${WAIT_SECONDS}`;
  const args = ["recv", "0", "--host", LOOPBACK, "--json", "--quiet", "--wait", wait, ...shared];
  const child = new Child(args, [], signal);
  try {
    const { listening } = await child.first as { listening?: { port: number } };
    signal.throwIfAborted();
    if (listening === undefined) throw notReceived(await child.ended);
    const whole = Math.max(1, Math.ceil(DEMO_BYTES / Math.max(1, source.byteLength)));
    await sendFile(run, source, {
      to: { hostname: LOOPBACK, port: listening.port },
      copies: values.copies ?? (ours ? whole : 1),
      stopAfterMs: values.copies === undefined ? STOP_AFTER_MS : undefined,
      chunkBytes: values.chunk,
      timeoutSeconds: values.timeout,
      quiet: values.quiet,
      signal,
    }, hashes);
  } catch (error) {
    child.stop();
    await child.ended.catch(() => {});
    throw signal.aborted ? signal.reason : error;
  }
  const ended = await child.ended;
  const { exitCode, ...leg } = ended.result ?? {};
  if (exitCode !== 0) throw notReceived(ended);
  return leg as unknown as Leg;
}

function notReceived({ complaint }: Ended): CommandError {
  return new CommandError("failed", `The receiving process failed: ${complaint}`);
}
