/**
 * A program that is killed in mid-flight leaves nothing behind: no process, no socket and no locked memory; and what arrived is the
 * front of what it had sent.
 */
import { assert, assertEquals } from "@std/assert";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { mismatch } from "../support/bytes.ts";
import { patiently } from "../support/child.ts";
import { ENGINES, NO_ENGINE } from "../support/engines.ts";
import { LateReader } from "../support/late_reader.ts";
import { NO_RING } from "../support/ring.ts";
import { lacks, NO_ROOT, testIf } from "../support/skip.ts";
import { until } from "../support/turns.ts";

const PROGRAM = new URL("./programs/leaving.ts", import.meta.url);
/** An ordinary user with the usual 8 MiB of lockable memory, who may read the runtime wherever it is. */
const NOBODY = [
  "prlimit",
  `--memlock=${8 << 20}`,
  "setpriv",
  "--reuid=65534",
  "--regid=65534",
  "--clear-groups",
  "--bounding-set=-ipc_lock",
  "--inh-caps=+dac_read_search",
  "--ambient-caps=+dac_read_search",
];
const NO_NOBODY = NO_RING ?? NO_ROOT ?? lacks("needs prlimit and setpriv", NOBODY[0], ...NOBODY.slice(1), "true");
const KILLS = 20;
/** States of sockets in /proc/net/tcp that are no connection any more, or none yet. */
const TIME_WAIT = "06";
const LISTEN = "0A";

interface Said {
  accepted: number;
  registeredBytes: number;
  inFlight: number;
}

/** Starts the program, kills it when it says that it sends, and answers that. */
async function killedSending(engine: string, reader: LateReader, within: readonly string[] = []): Promise<Said> {
  const runtime = [process.execPath, "run", "-A", "--no-check", fileURLToPath(PROGRAM)];
  const [command, ...args] = [...within, ...runtime, engine, JSON.stringify(reader.target), "send", "stay"];
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "inherit"] });
  const exit = once(child, "exit");
  const said = new Promise<string>((resolve) => createInterface(child.stdout).once("line", resolve));
  const line = await Promise.race([said, exit.then(([code]) => Promise.reject(new Error(`it ended with ${code}`)))]);
  child.kill("SIGKILL");
  assertEquals((await exit)[1], "SIGKILL");
  await until(() => !existsSync(`/proc/${child.pid}`));
  return JSON.parse(line);
}

/** Connections from or to a port. */
function connections(port: number): string[] {
  const hex = port.toString(16).toUpperCase().padStart(4, "0");
  return readFileSync("/proc/net/tcp", "utf8").split("\n").filter((line) => {
    const [, local, remote, state] = line.trim().split(/\s+/);
    return [local, remote].some((address) => address?.endsWith(`:${hex}`)) && state !== LISTEN && state !== TIME_WAIT;
  });
}

for (const engine of ENGINES) {
  for (const transport of ["tcp", "unix"] as const) {
    testIf(
      NO_ENGINE[engine],
      `killed in mid-flight over ${transport}: what was accepted arrives, and nothing stays [${engine}]`,
      async () => {
        await using reader = await LateReader.listen(transport);
        const { accepted, inFlight } = await killedSending(engine, reader);
        assert(accepted > 0 && inFlight > 0, `${accepted} accepted, ${inFlight} in flight`);
        const bytes = await reader.readAll();
        assert(bytes.length >= accepted, `${bytes.length} of ${accepted} accepted bytes arrived`);
        assertEquals(mismatch(bytes), -1);
        if ("port" in reader.target) {
          const { port } = reader.target;
          await until(() => connections(port).length === 0);
        }
      },
    );
  }
}

testIf(NO_NOBODY, `an ordinary user who is killed ${KILLS} times has all of the lockable memory again`, async () => {
  await using reader = await LateReader.listen("tcp");
  const engines = ["uring", "errqueue"];
  const kill = async (engine: string) => {
    const said = await killedSending(engine, reader, NOBODY);
    assert(said.accepted > 0 && said.inFlight > 0);
    await reader.readAll(); // until then the kernel needs the memory
    return said;
  };
  for (let i = 0; i < KILLS; i++) await kill(engines[i % engines.length]);
  await patiently(async () => assertEquals((await kill("uring")).registeredBytes, 4 << 20));
});
