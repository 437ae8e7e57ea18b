import { assert, assertEquals } from "@std/assert";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { ARTEFACT } from "../../wasm/artefact.ts";

const crate = new URL("../../wasm/", import.meta.url);
const sha256 = (data: Uint8Array | string): string => createHash("sha256").update(data).digest("hex");

test("the artefact holds the bytes that it records, and not too many", () => {
  const bytes = Uint8Array.from(atob(ARTEFACT.base64), (char) => char.charCodeAt(0));
  assertEquals(bytes.length, ARTEFACT.wasmBytes);
  assert(bytes.length <= 65_536);
  assertEquals(sha256(bytes), ARTEFACT.wasmSha256);
});

test("the artefact was built from the crate beside it", () => {
  const files = ["Cargo.toml", "Cargo.lock"];
  for (const name of readdirSync(new URL("src/", crate))) files.push(`src/${name}`);
  const lines = files.sort().map((file) => `${sha256(readFileSync(new URL(file, crate)))}  ${file}\n`);
  assertEquals(sha256(lines.join("")), ARTEFACT.sourceSha256, "run deno task wasm:build");
});

test("the artefact imports a memory and defines none", () => {
  const bytes = Uint8Array.from(atob(ARTEFACT.base64), (char) => char.charCodeAt(0));
  const module = new WebAssembly.Module(bytes);
  assertEquals(WebAssembly.Module.imports(module).filter(({ kind }) => kind === "memory").length, 1);
  assertEquals(WebAssembly.Module.exports(module).filter(({ kind }) => kind === "memory"), []);
});
