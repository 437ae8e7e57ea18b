/**
 * `ringlet recv`
 *
 * @module
 */
import type { InternetAddress, TcpListener } from "../mod.ts";
import type { Command } from "./command.ts";
import { portOf } from "./options.ts";
import { Patience } from "./patience.ts";
import { receiveFiles, type Receiving, StrangerError } from "./receiver.ts";
import { conclude, hashLines, note, print, table } from "./report.ts";
import { type Hashes, Run } from "./run.ts";
import { Sink } from "./sink.ts";

/** See the module. */
export const recv: Command = {
  synopsis: "PORT",
  summary: "receive one file from `ringlet send`, verify it, and exit",
  details:
    "Port 0 is any free one; which one is said at the start (with --json as the first line, { listening: { hostname, " +
    "port } }). Without --output the file is hashed and dropped. Whoever reaches the port may send: listen at --host 127.0.0.1, or " +
    "keep the port behind a firewall. Peers that are no `ringlet send` are told off, and the wait goes on.",
  options: ["output", "host", "wait", "engine", "zero-copy", "arena", "chunk", "timeout", "json", "quiet", "help"],
  async run({ positionals: [portText], values, signal }) {
    const port = portOf(portText, 0);
    await using sink = await Sink.open(values.output);
    const run = await Run.open(values);
    const hashes: Hashes = { sha256Sent: null, sha256Received: null };
    const receiving = { chunkBytes: values.chunk, timeoutSeconds: values.timeout, quiet: values.quiet, signal };
    const failure = await run.during(async () => {
      await using listener = await run.io.listen({ hostname: values.host ?? "0.0.0.0", port });
      announce(listener.localAddr as InternetAddress, values.json);
      await receiveOne(run, listener, sink, receiving, values.wait, hashes);
    });
    const leg = run.leg();
    return conclude({ ...leg, ...hashes }, failure, values, () => {
      return `${table([{ title: "receiver", leg }])}\n${hashLines(hashes)}`;
    });
  },
};

function announce(listening: InternetAddress, json: boolean): void {
  const { hostname, port } = listening;
  if (json) print(JSON.stringify({ listening: { hostname, port } }));
  else note(`listening at ${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}`);
}

/** Accepts connections until one of them was a sender's. */
async function receiveOne(
  run: Run,
  listener: TcpListener,
  sink: Sink,
  receiving: Receiving,
  waitSeconds: number | undefined,
  hashes: Hashes,
): Promise<void> {
  using patience = new Patience(receiving.signal);
  if (waitSeconds !== undefined) patience.expect("sender", waitSeconds);
  for (;;) {
    const conn = await listener.accept({ signal: patience.signal });
    try {
      return await receiveFiles(run, conn, sink, receiving, hashes);
    } catch (error) {
      if (!(error instanceof StrangerError)) throw error;
      note(`ignored a peer: ${error.message}`);
      await conn.abort();
    }
  }
}
