/**
 * `ringlet send`
 *
 * @module
 */
import type { Command } from "./command.ts";
import { targetOf } from "./options.ts";
import { conclude, hashLines, note, table } from "./report.ts";
import { type Hashes, Run } from "./run.ts";
import { sendFile } from "./sender.ts";
import { Source } from "./source.ts";

/** See the module. */
export const send: Command = {
  synopsis: "FILE HOST:PORT",
  summary: "send a file to `ringlet recv`, and verify what arrived",
  details:
    "The connection is neither encrypted nor authenticated. A file that becomes longer meanwhile is sent as long as it " +
    "was; one that becomes shorter is an error.",
  options: ["engine", "zero-copy", "arena", "chunk", "copies", "timeout", "json", "quiet", "help"],
  async run({ positionals: [path, target], values, signal }) {
    const to = targetOf(target);
    await using source = await Source.open(path);
    const run = await Run.open(values);
    const hashes: Hashes = { sha256Sent: null, sha256Received: null };
    const sending = {
      to,
      copies: values.copies ?? 1,
      chunkBytes: values.chunk,
      timeoutSeconds: values.timeout,
      quiet: values.quiet,
      signal,
    };
    const failure = await run.during(() => sendFile(run, source, sending, hashes));
    if (await source.hasGrown()) {
      note(`${path} became longer meanwhile: its first ${source.byteLength} bytes were sent`);
    }
    const leg = run.leg();
    return conclude({ ...leg, ...hashes }, failure, values, () => {
      return `${table([{ title: "sender", leg }])}\n${hashLines(hashes)}`;
    });
  },
};
