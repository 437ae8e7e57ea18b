/**
 * Programs that end without closing anything: what was accepted arrives all the same. The kernel reads the pages after the process is
 * gone, since the peer reads nothing before.
 */
import { assert, assertEquals } from "@std/assert";
import { mismatch } from "../support/bytes.ts";
import { runChild } from "../support/child.ts";
import { ENGINES, NO_ENGINE } from "../support/engines.ts";
import { LateReader } from "../support/late_reader.ts";
import { testIf } from "../support/skip.ts";

const PROGRAM = new URL("./programs/leaving.ts", import.meta.url);

/** Ways to end, and the exit code. */
const ENDS = { "falls off its end": 0, "exit": 7, "error": 1 };

for (const engine of ENGINES) {
  for (const transport of ["tcp", "unix"] as const) {
    for (const call of ["send", "trySend"]) {
      testIf(NO_ENGINE[engine], `a program ends without close: ${transport}, ${call} [${engine}]`, async () => {
        await Promise.all(
          Object.entries(ENDS).map(async ([how, code]) => {
            await using reader = await LateReader.listen(transport);
            const args = [engine, JSON.stringify(reader.target), call, how];
            const { status, stdout, stderr } = await runChild(PROGRAM, { args });
            assertEquals(
              [status, stderr.includes("nobody catches this")],
              [code, how === "error"],
              `${how}: ${stderr}`,
            );
            const { accepted, inFlight } = JSON.parse(stdout);
            assert(accepted > 0 && inFlight > 0, `${how}: ${stdout}`);
            const bytes = await reader.readAll();
            assert(bytes.length >= accepted, `${how}: ${bytes.length} of ${accepted} accepted bytes arrived`);
            assertEquals(mismatch(bytes), -1, how);
          }),
        );
      });
    }
  }
}
