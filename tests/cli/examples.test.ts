import { assert, assertEquals, assertMatch } from "@std/assert";
import { readdirSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { selfCommand } from "../../cli/child.ts";
import { Started } from "./command.ts";

const FOLDER = fileURLToPath(new URL("../../examples/", import.meta.url));

/** The words that start the runtime, without those that start the command. */
const runtime = selfCommand().slice(0, -1);

for (const name of readdirSync(FOLDER).filter((name) => name.endsWith(".ts"))) {
  test(`examples/${name} runs and gets every loan back`, async () => {
    const { code, stdout, stderr } = await new Started([...runtime, FOLDER + name]).ended;
    assertEquals([code, stderr], [0, ""]);
    const [, lent, released] = stdout.match(/(\d+) loans lent, (\d+) released, 0 in flight/)!;
    assertEquals(released, lent);
    assertMatch(lent, /[1-9]/);
  });
}

test("a file that is missing is what examples/send_file.ts complains about", async () => {
  const { code, stderr } = await new Started([...runtime, `${FOLDER}send_file.ts`, "/no/such/file"]).ended;
  assertEquals(code, 1);
  assertMatch(stderr, /ENOENT.*\/no\/such\/file/);
  assert(!/it is closed|Suppressed/.test(stderr), stderr);
});
