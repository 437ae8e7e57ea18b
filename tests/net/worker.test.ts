/**
 * A Worker that is terminated with loans and receives outstanding takes nobody down and overwrites nothing.
 */
import { assert, assertEquals } from "@std/assert";
import { childJson } from "../support/child.ts";
import { ENGINES, NO_ENGINE } from "../support/engines.ts";
import { testIf } from "../support/skip.ts";

const PROGRAM = new URL("./programs/worker_host.ts", import.meta.url);

for (const engine of ENGINES) {
  testIf(NO_ENGINE[engine], `workers terminated with loans and receives outstanding [${engine}]`, async () => {
    const { terminated } = await childJson<{ terminated: number }>(PROGRAM, { args: [engine, "3"] });
    assertEquals(terminated, 3);
  });
}

const LOAD = new URL("./programs/worker_load.ts", import.meta.url);
/** What a terminated Worker leaves to the process: its sockets, and those of its engine. */
const LEFT = 12;

for (const engine of ENGINES) {
  testIf(NO_ENGINE[engine], `workers under load, and others terminated in mid-flight [${engine}]`, async () => {
    const { received, leftPerVictim } = await childJson<{ received: number[]; leftPerVictim: number }>(LOAD, {
      args: [engine],
    });
    assertEquals(received, Array(4).fill(150 * 60_000));
    assert(leftPerVictim <= LEFT, `${leftPerVictim} descriptors are left of each`);
  });
}
