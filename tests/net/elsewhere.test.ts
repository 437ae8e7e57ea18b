/**
 * Where `open()` cannot work it says what is needed, instead of failing somewhere inside. The runtime's own account of itself is
 * replaced; nothing in this file opens a system that works, for one that was opened is kept.
 */
import { assert } from "@std/assert";
import { open } from "../../mod.ts";
import { fails } from "../support/failures.ts";
import { testIf } from "../support/skip.ts";

const NO_DENO = "Deno" in globalThis ? undefined : "the adapter is Deno's";

/** What `open()` complains about where the runtime is `deno`. */
async function complaint(deno: unknown): Promise<string> {
  const original = Object.getOwnPropertyDescriptor(globalThis, "Deno")!;
  Object.defineProperty(globalThis, "Deno", { value: deno, configurable: true });
  const opening = open().finally(() => Object.defineProperty(globalThis, "Deno", original));
  const { message, advice } = await fails("ERR_UNSUPPORTED", () => opening);
  return `${message} (${advice})`;
}

const ELSEWHERE: [os: string, arch: string, says: string][] = [
  ["darwin", "aarch64", "Linux is needed, this is darwin"],
  ["windows", "x86_64", "Linux is needed, this is windows"],
  ["linux", "riscv64", "x86-64 or aarch64 is needed, this is riscv64"],
];

for (const [os, arch, says] of ELSEWHERE) {
  testIf(NO_DENO, `on ${os} and ${arch}, open says what is needed`, async () => {
    // deno-lint-ignore no-explicit-any -- the runtime's object, whatever it has
    const said = await complaint({ ...(globalThis as any).Deno, build: { os, arch } });
    for (const part of ["Cannot open", says, '"./core" works everywhere', "Linux"]) {
      assert(said.includes(part), said);
    }
  });
}

testIf(NO_DENO, "on a runtime without an adapter, open says so", async () => {
  const said = await complaint(undefined);
  assert(said.includes("this runtime has no adapter yet") && said.includes('"./core" works everywhere'), said);
});
