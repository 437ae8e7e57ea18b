/**
 * What `open()` finds on this kernel: every engine that it should have works, every other one is refused for the right reason.
 */
import { assert, assertEquals } from "@std/assert";
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { release } from "node:os";
import process from "node:process";
import { type EngineName, open, RingletError } from "../../../mod.ts";
import { testIf } from "../../support/skip.ts";
import { since } from "../since.ts";

const NO_MMAP = "the kernel does not take rings in the program's memory (IORING_SETUP_NO_MMAP, Linux 6.5)";
const FORBIDDEN = "io_uring is forbidden (kernel.io_uring_disabled, or a seccomp filter such as Docker's)";
const SWITCH = "/proc/sys/kernel/io_uring_disabled";
const forbidden = existsSync(SWITCH) && readFileSync(SWITCH, "utf8").trim() !== "0";

/** Why there is no ring here; `undefined` when there has to be one. */
const noRing = !since(6, 5) ? NO_MMAP : forbidden ? FORBIDDEN : undefined;

/** Writes down what was found, for the table of kernels. */
function note(finding: object): void {
  const path = process.env.RINGLET_FINDINGS;
  if (path) appendFileSync(path, `${JSON.stringify(finding)}\n`);
}

for (const asked of ["auto", "uring", "errqueue", "copy"] as const) {
  testIf(undefined, `engine "${asked}" on ${release()}`, async () => {
    const expected: EngineName = asked !== "auto" ? asked : noRing === undefined ? "uring" : "errqueue";
    if (expected === "uring" && noRing !== undefined) {
      const error = await open({ engine: asked }).then(() => undefined, (error) => error);
      assert(error instanceof RingletError, `it was not refused: ${error}`);
      note({ asked, reason: error.message });
      assertEquals([error.code, error.message], ["ERR_UNSUPPORTED", `Cannot open with engine "uring": ${noRing}`]);
      return;
    }
    await using io = await open({ engine: asked, arenaBytes: 4 << 20 });
    note({ asked, ...io.engine, capabilities: io.capabilities });
    assertEquals(io.engine.name, expected);
    const said = asked === "auto" ? noRing : "asked for";
    if (said !== undefined) assert(io.engine.reason.startsWith(said), io.engine.reason);
    const { zeroCopyTcp, zeroCopyUdp, uring, gathersRegistered, registeredBytes } = io.capabilities;
    assertEquals({ zeroCopyTcp, zeroCopyUdp, uring, gathersRegistered, registeredBytes }, {
      zeroCopyTcp: true,
      zeroCopyUdp: true,
      uring: expected === "uring",
      gathersRegistered: expected === "uring" && since(6, 15),
      registeredBytes: expected === "uring" ? 4 << 20 : 0,
    });
  });
}
