/**
 * The core in another runtime: bundled as for a browser, and run by Node.
 */
import { assert, assertEquals } from "@std/assert";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { lacks, testIf } from "../support/skip.ts";

const source = (name: string) => fileURLToPath(new URL(`../../wasm/${name}`, import.meta.url));
const NO_BUNDLER = process.versions.deno === undefined
  ? "needs `deno bundle`"
  : lacks("needs `deno bundle`", process.execPath, "bundle", source("handle.ts"));
const NO_NODE = lacks("needs node", "node", "--version");

const PROGRAM = `
import { CoreError, createCore } from "./core.js";
if (typeof Deno !== "undefined") throw new Error("this is Deno");
const core = createCore({ arenaBytes: 1 << 20 });
const socket = core.socket({ kind: "datagram" });
const events = [];
for (const copied of [false, true]) {
  const send = core.lend(socket, core.take(1400));
  const { id } = core.accept(send, 1400);
  core.complete(socket, id, id, copied);
  core.drain((event, which, value) => events.push([event, which === send, value]));
}
let code;
try {
  createCore({ arenaBytes: 1 });
} catch (error) {
  code = error instanceof CoreError && error.code;
}
const { lent, released, inFlight } = core.stats();
console.log(JSON.stringify({ events, code, next: core.seq.next(4294967295), lent, released, inFlight }));
`;

testIf(NO_BUNDLER ?? NO_NODE, "the core works without Deno, bundled for browsers", () => {
  const folder = mkdtempSync(join(tmpdir(), "ringlet-"));
  try {
    const output = join(folder, "core.js");
    const args = ["bundle", "--platform", "browser", "--output", output, source("mod.ts")];
    const bundled = spawnSync(process.execPath, args, { encoding: "utf8" });
    assertEquals(bundled.status, 0, bundled.stderr);
    const code = readFileSync(output, "utf8");
    assert(!/\bDeno\b|["']node:/.test(code), "it names a runtime");
    writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
    writeFileSync(join(folder, "program.js"), PROGRAM);
    const { status, stdout, stderr } = spawnSync("node", [join(folder, "program.js")], { encoding: "utf8" });
    assertEquals(status, 0, stderr);
    assertEquals(JSON.parse(stdout), {
      events: [["accepted", true, 1400], ["released", true, 0], ["accepted", true, 1400], ["released", true, 1]],
      code: "ERR_OUT_OF_RANGE",
      next: 0,
      lent: 2,
      released: 2,
      inFlight: 0,
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
});
