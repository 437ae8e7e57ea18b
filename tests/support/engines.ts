/**
 * One suite, every engine: the list stands here and nowhere else.
 */
import { type EngineName, type Io, open, type OpenOptions } from "../../mod.ts";
import { assertAllReturned, assertLedger } from "./ledger.ts";
import { NO_RING } from "./ring.ts";
import { testIf } from "./skip.ts";

/** The engines under test. */
export const ENGINES: readonly EngineName[] = ["uring", "errqueue", "copy"];

/** What is missing for an engine on this kernel, which then has to refuse it: see tests/vm. */
export const NO_ENGINE: Readonly<Record<EngineName, string | undefined>> = {
  uring: NO_RING,
  errqueue: undefined,
  copy: undefined,
};

/** Small, so that tests can use it up. */
const ARENA_BYTES = 4 << 20;

/**
 * Registers a test for each engine, with an io of its own that asks for zero-copy wherever the engine can. The ledger is checked
 * when `body` is done and once more when everything is closed.
 *
 * @param missing What the test would need besides the engine, where that is not there.
 */
export function eachEngine(
  name: string,
  body: (io: Io, engine: EngineName) => Promise<void>,
  options: OpenOptions = {},
  missing?: string,
): void {
  for (const engine of ENGINES) {
    testIf(
      NO_ENGINE[engine] ?? missing,
      `${name} [${engine}]`,
      () => withIo({ engine, ...options }, (io) => body(io, engine)),
    );
  }
}

/** The same for programs that run in a child process. */
export async function withIo(options: OpenOptions, body: (io: Io) => Promise<void>): Promise<void> {
  const io = await open({ arenaBytes: ARENA_BYTES, zeroCopy: "always", zeroCopyThresholdBytes: 0, ...options });
  try {
    await body(io);
    assertLedger(io);
  } finally {
    await io.close({ deadlineMs: 1000 });
  }
  assertAllReturned(io);
}
