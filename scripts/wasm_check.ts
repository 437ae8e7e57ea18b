// Proves that wasm/artefact.ts comes from the crate beside it.
//
//   deno run -A scripts/wasm_check.ts [--toolchain=rustup|trixie] [--source-only]
//
// 1. The bytes are those that were recorded, and few enough.
// 2. The source is the one they were built from.
// 3. The source is built again. With the same versions of all tools the bytes must be the same; otherwise the tests
//    run on the rebuilt core, and what differs is printed.
import { ARTEFACT } from "../wasm/artefact.ts";
import { build, chooseToolchain, MAX_WASM_BYTES, sha256, sourceHash, type Tools } from "./wasm_toolchain.ts";
import { fileURLToPath } from "node:url";

function fail(message: string): never {
  console.error(`wasm:check: ${message}`);
  Deno.exit(1);
}

const committed = Uint8Array.fromBase64(ARTEFACT.base64);
if (sha256(committed) !== ARTEFACT.wasmSha256 || committed.length !== ARTEFACT.wasmBytes) {
  fail("the bytes in wasm/artefact.ts are not those that it records");
}
if (committed.length > MAX_WASM_BYTES) {
  fail(`the core has ${committed.length} bytes, at most ${MAX_WASM_BYTES} are allowed`);
}
const source = await sourceHash();
if (source !== ARTEFACT.sourceSha256) {
  fail(
    `the crate has changed (${source.slice(0, 12)}) since the artefact was built from ` +
      `${ARTEFACT.sourceSha256.slice(0, 12)}; run deno task wasm:build`,
  );
}
console.log(`wasm:check: source ${source.slice(0, 12)}, ${committed.length} bytes`);
if (Deno.args.includes("--source-only")) Deno.exit(0);

const { bytes, tools } = await build(await chooseToolchain(Deno.args));
const changed = (Object.keys(tools) as (keyof Tools)[]).filter((tool) => tools[tool] !== ARTEFACT.tools[tool]);
const same = sha256(bytes) === ARTEFACT.wasmSha256;
if (changed.length === 0) {
  if (!same) {
    fail(`the same tools built other bytes: ${sha256(bytes)}, not ${ARTEFACT.wasmSha256}\n${difference(bytes)}`);
  }
  console.log("wasm:check: rebuilt with the same tools, byte for byte the same");
  Deno.exit(0);
}
for (const tool of changed) console.log(`wasm:check: ${tool}: ${tools[tool]}, recorded ${ARTEFACT.tools[tool]}`);
console.log(same ? "wasm:check: byte for byte the same all the same" : difference(bytes));

const rebuilt = await Deno.makeTempFile({ suffix: ".wasm" });
try {
  await Deno.writeFile(rebuilt, bytes);
  const { success } = await new Deno.Command(Deno.execPath(), {
    args: ["test", "-A", fileURLToPath(new URL("../tests/wasm/", import.meta.url))],
    env: { RINGLET_CORE_WASM: rebuilt },
  }).spawn().status;
  if (!success) fail("the rebuilt core does not pass the tests of the committed one");
} finally {
  await Deno.remove(rebuilt);
}
console.log("wasm:check: the rebuilt core passes the same tests");

/** What is in one build and not in the other. */
function difference(rebuilt: Uint8Array<ArrayBuffer>): string {
  const exported = (wasm: Uint8Array<ArrayBuffer>) =>
    new Set(WebAssembly.Module.exports(new WebAssembly.Module(wasm)).map(({ kind, name }) => `${kind} ${name}`));
  const [then, now] = [exported(committed), exported(rebuilt)];
  let first = 0;
  while (first < committed.length && committed[first] === rebuilt[first]) first++;
  return [
    `wasm:check: ${rebuilt.length} bytes, recorded ${committed.length}; the first difference is at byte ${first}`,
    ...[...now.difference(then)].map((name) => `wasm:check: + ${name}`),
    ...[...then.difference(now)].map((name) => `wasm:check: - ${name}`),
  ].join("\n");
}
