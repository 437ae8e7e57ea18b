import { assertEquals, assertMatch } from "@std/assert";
import { readdirSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { selfCommand } from "../../cli/child.ts";
import { Started } from "./command.ts";

const FOLDER = fileURLToPath(new URL("../../examples/", import.meta.url));

for (const name of readdirSync(FOLDER).filter((name) => name.endsWith(".ts"))) {
  test(`examples/${name} runs and gets every loan back`, async () => {
    const [, ...runtime] = selfCommand().reverse();
    const { code, stdout, stderr } = await new Started([...runtime.reverse(), FOLDER + name]).ended;
    assertEquals([code, stderr], [0, ""]);
    const [, lent, released] = stdout.match(/(\d+) loans lent, (\d+) released, 0 in flight/)!;
    assertEquals(released, lent);
    assertMatch(lent, /[1-9]/);
  });
}
