/**
 * The receiving side of a transfer: see wire.ts.
 *
 * @module
 */
import { createHash } from "node:crypto";
import type { TcpConn } from "../mod.ts";
import { cannot, CommandError, messageOf } from "./failure.ts";
import { bytesText, hexText } from "./format.ts";
import { Inflow } from "./inflow.ts";
import { Patience } from "./patience.ts";
import { Progress } from "./progress.ts";
import type { Hashes, Run } from "./run.ts";
import { NotStoredError, type Sink } from "./sink.ts";
import { decodeHeader, DIGEST_BYTES, encodeReply, HEADER_BYTES, type Status } from "./wire.ts";

/** How to receive. */
export interface Receiving {
  readonly chunkBytes: number;
  readonly timeoutSeconds: number;
  readonly quiet: boolean;
  readonly signal: AbortSignal;
}

/** The peer does not speak our language; nothing was received from it. */
export class StrangerError extends CommandError {}

/** How long a peer that says nothing holds up the others. */
const GREETING_SECONDS = 5;
/** How long the answer to a sender may take when everything else is over. */
const FAREWELL_MS = 500;

/**
 * Receives the files of one connection into `sink`; fills in `hashes`.
 *
 * @throws {StrangerError} when it does not begin like one of ours.
 */
export async function receiveFiles(
  run: Run,
  conn: TcpConn,
  sink: Sink,
  { chunkBytes, timeoutSeconds, quiet, signal }: Receiving,
  hashes: Hashes,
): Promise<void> {
  using patience = new Patience(signal);
  await using inflow = await Inflow.open(run.io, conn, chunkBytes, patience.signal, () => patience.touch());
  patience.expect("greeting", Math.min(GREETING_SECONDS, timeoutSeconds));
  const first = await nextLength(inflow).catch((error) => {
    throw signal.aborted ? error : new StrangerError("failed", messageOf(error), { cause: error });
  });
  if (first === undefined) throw new StrangerError("failed", "It closed the connection without a greeting");
  using _clock = run.clock();
  patience.expect("sign of life from the sender", timeoutSeconds);
  // The answers have a signal of their own: an interrupted receiver still says that it was.
  const answers = run.outbox((lease) => conn.send(lease), new AbortController().signal);
  const answer = (status: Status, digest?: Uint8Array) => answers.sendBytes(encodeReply(status, digest));
  try {
    for (let length: number | undefined = first; length !== undefined; length = await nextLength(inflow)) {
      using progress = new Progress("recv", length, quiet);
      const { sent, received } = await receiveFile(run, inflow, sink, length, progress);
      hashes.sha256Sent = hexText(sent);
      hashes.sha256Received = hexText(received);
      if (hashes.sha256Sent !== hashes.sha256Received) {
        await answer("differs", received);
        throw new CommandError("differs", `Received something else than was sent: SHA-256 ${hashes.sha256Received}`);
      }
      await sink.commit();
      await answer("verified", received);
    }
  } catch (error) {
    if (error instanceof NotStoredError) await answer("notStored");
    else if (signal.aborted) await answer("stopped");
    await conn.close({ deadlineMs: FAREWELL_MS });
    throw error;
  }
}

/** The length of the next file; `undefined` when the sender has sent them all. */
async function nextLength(inflow: Inflow): Promise<number | undefined> {
  const header = await inflow.exactly(HEADER_BYTES);
  if (header === undefined) return undefined;
  const length = decodeHeader(header);
  if (length === undefined) {
    throw new CommandError("failed", "The peer is no `ringlet send`: it begins with something else");
  }
  return length;
}

async function receiveFile(run: Run, inflow: Inflow, sink: Sink, length: number, progress: Progress) {
  await sink.begin();
  const hash = createHash("sha256");
  const broken = (error: unknown) => {
    const came = `${bytesText(progress.bytes)} of ${bytesText(length)} came`;
    return cannot(`receive the file to its end (${came})`, error);
  };
  const closed = new CommandError("failed", "the sender closed the connection");
  while (progress.bytes < length) {
    const bytes = await inflow.some(length - progress.bytes).catch((error) => {
      throw broken(error);
    });
    if (bytes === undefined) throw broken(closed);
    const stored = sink.write(bytes);
    hash.update(bytes);
    await stored;
    progress.bytes += bytes.length;
    run.bytes += bytes.length;
  }
  const sent = await inflow.exactly(DIGEST_BYTES);
  if (sent === undefined) throw broken(closed);
  return { sent, received: new Uint8Array(hash.digest()) };
}
