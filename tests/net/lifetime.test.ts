/**
 * What keeps the process alive: a pending accept, receive or send; not an idle socket, and not what was unref'd.
 */
import { assertEquals } from "@std/assert";
import { spawn } from "node:child_process";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { runChild } from "../support/child.ts";
import { ENGINES, NO_ENGINE } from "../support/engines.ts";
import { testIf } from "../support/skip.ts";

const SLOW_WAKE = new URL("./programs/slow_wake.ts", import.meta.url);
const PROGRAM = new URL("./programs/lifetime.ts", import.meta.url);

/** Far longer than an idle process takes to exit, and as long as a child that stays is watched. */
const STAYS_MS = 1500;

const ENDS = [
  "idle sockets",
  "pending accept, unref",
  "unref, then pending accept",
  "pending recv, unref",
  "pending recv of a datagram, unref",
  "pending recvMany, unref",
  "pending loop over datagrams, unref",
  "aborted loop over datagrams",
  "idle sockets that hear errors, on every engine",
  "pending send, unref",
  "aborted recv",
  "finished recv",
];
const STAYS = [
  "pending accept",
  "pending recv",
  "pending recv, unref and ref",
  "pending recv of a datagram",
  "pending recvMany",
  "pending loop over datagrams",
  "pending loop over errors",
  "pending send",
  "one unref, another pending",
];

for (const engine of ENGINES) {
  for (const name of ENDS) {
    testIf(NO_ENGINE[engine], `the process ends: ${name} [${engine}]`, async () => {
      const { status, stdout, stderr } = await runChild(PROGRAM, { args: [name, engine] });
      assertEquals([status, stdout], [0, "end\n"], stderr);
    });
  }

  testIf(NO_ENGINE[engine], `the process stays: ${STAYS.join("; ")} [${engine}]`, async () => {
    const outcomes = await Promise.all(STAYS.map((name) => outcome(name, engine)));
    assertEquals(outcomes, STAYS.map(() => "stays"));
  });
}

async function outcome(name: string, engine: string): Promise<string> {
  const child = spawn(process.execPath, ["run", "-A", "--no-check", fileURLToPath(PROGRAM), name, engine]);
  const exited = new Promise<string>((resolve) => child.on("exit", () => resolve("exited")));
  await new Promise((resolve) => child.stdout.once("data", resolve));
  const outcome = await Promise.race([exited, sleep(STAYS_MS, "stays")]);
  child.kill("SIGKILL");
  await exited;
  return outcome;
}

for (const engine of ENGINES) {
  testIf(
    NO_ENGINE[engine],
    `the process stays until a close is done, however slow its threads are [${engine}]`,
    async () => {
      const { status, stdout, stderr } = await runChild(SLOW_WAKE, { args: [engine] });
      assertEquals([status, stdout], [0, "closed\n"], stderr);
    },
  );
}
