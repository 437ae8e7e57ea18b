/**
 * A Worker that is terminated with loans and receives outstanding takes nobody down and overwrites nothing.
 */
import { assertEquals } from "@std/assert";
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
