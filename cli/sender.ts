/**
 * The sending side of a transfer: see wire.ts.
 *
 * @module
 */
import { setTimeout } from "node:timers/promises";
import { codeOf, CommandError } from "./failure.ts";
import { hexText } from "./format.ts";
import { Inflow } from "./inflow.ts";
import { Patience } from "./patience.ts";
import { Progress } from "./progress.ts";
import type { Hashes, Run } from "./run.ts";
import type { Source } from "./source.ts";
import { decodeReply, encodeHeader, type Reply, REPLY_BYTES, type Status } from "./wire.ts";

/** What to send, and how. */
export interface Sending {
  readonly to: { hostname: string; port: number };
  /** How often the file is sent. */
  readonly copies: number;
  /** No further copy is begun after so many milliseconds. */
  readonly stopAfterMs?: number;
  readonly chunkBytes: number;
  readonly timeoutSeconds: number;
  readonly quiet: boolean;
  readonly signal: AbortSignal;
}

const GAVE_UP: { readonly [S in Status]?: string } = {
  notStored: "The receiver could not store the file",
  stopped: "The receiver was stopped",
};
/** How long a receiver that broke off may take to say why. */
const REASON_MS = 500;

/** Connects and sends `source`; fills in `hashes` as they become known. */
export async function sendFile(run: Run, source: Source, sending: Sending, hashes: Hashes): Promise<void> {
  const { to, copies, chunkBytes, timeoutSeconds, signal } = sending;
  const conn = await run.io.connect({ ...to, timeoutMs: Math.ceil(timeoutSeconds * 1000), signal });
  using _clock = run.clock();
  using patience = new Patience(signal);
  patience.expect("sign of life from the receiver", timeoutSeconds);
  using progress = new Progress("send", source.byteLength * copies, sending.quiet);
  const touch = () => patience.touch();
  await using answers = await Inflow.open(run.io, conn, REPLY_BYTES, patience.signal, touch);
  const outbox = run.outbox((lease) => conn.send(lease), patience.signal, touch);
  const body = run.outbox((lease) => conn.send(lease), patience.signal, (bytes) => {
    patience.touch();
    run.bytes += bytes;
    progress.bytes = run.bytes;
  });
  const startedMs = performance.now();
  for (let copy = 0; copy < copies; copy++) {
    if (copy > 0 && performance.now() - startedMs > (sending.stopAfterMs ?? Infinity)) break;
    try {
      await outbox.sendBytes(encodeHeader(source.byteLength));
      const digest = await source.sendTo(body, chunkBytes);
      hashes.sha256Sent = hexText(digest);
      await outbox.sendBytes(digest);
    } catch (error) {
      throw await reasonFor(error, answers, signal);
    }
    check(await answerFrom(answers), hashes);
  }
  await conn.closeWrite();
}

async function answerFrom(answers: Inflow): Promise<Reply> {
  const bytes = await answers.exactly(REPLY_BYTES);
  if (bytes === undefined) throw new CommandError("failed", "The receiver closed the connection without an answer");
  const reply = decodeReply(bytes);
  if (reply === undefined) {
    throw new CommandError("failed", "The peer is no `ringlet recv`: its answer is not understood");
  }
  return reply;
}

function check({ status, digest }: Reply, hashes: Hashes): void {
  const gaveUp = GAVE_UP[status];
  if (gaveUp !== undefined) throw new CommandError("failed", gaveUp);
  hashes.sha256Received = hexText(digest);
  if (status === "verified" && hashes.sha256Received === hashes.sha256Sent) return;
  throw new CommandError("differs", `The receiver got something else: SHA-256 ${hashes.sha256Received}`);
}

/** A receiver that breaks off may have said why. */
async function reasonFor(error: unknown, answers: Inflow, signal: AbortSignal): Promise<unknown> {
  const brokenOff = ["EPIPE", "ECONNRESET"].includes(codeOf(error) ?? "");
  if (!brokenOff || signal.aborted) return error;
  const late = setTimeout(REASON_MS, undefined, { ref: false });
  const reply = await Promise.race([answerFrom(answers), late]).catch(() => undefined);
  const gaveUp = reply && GAVE_UP[reply.status];
  return gaveUp === undefined ? error : new CommandError("failed", gaveUp, { cause: error });
}
