/**
 * The parts of the benchmark, in the order they run.
 *
 * @module
 */
import { CELLS } from "./cells.ts";
import { run } from "./contest.ts";
import { core } from "./core.ts";
import type { Row } from "./measure.ts";
import { memory } from "./memory.ts";
import type { BenchOptions } from "./options.ts";
import { udpReceive } from "./udp_receive.ts";

/** Measures; `tell` gets rows as they are there. */
type Part = (options: BenchOptions, tell: (rows: Row[]) => void) => Promise<void>;

/** See the module. */
export const PARTS: Record<string, Part> = {
  core: async (options, tell) => tell(await core(options)),
  ...Object.fromEntries(
    Object.entries(CELLS).map(([name, contests]): [string, Part] => [name, async (options, tell) => {
      for (const contest of contests(options.quick)) tell(await run(contest, options));
    }]),
  ),
  "udp-receive": async (options, tell) => tell(await udpReceive(options)),
  memory: async (options, tell) => tell(await memory(options)),
};
