/**
 * What C reaches on the same device, for information: compiled where there is a compiler.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Contender } from "./measure.ts";
import { BATCH, type Rotation } from "./payloads.ts";

const SOURCE = fileURLToPath(new URL("udp_copy_zc.c", import.meta.url));

/** C with and without MSG_ZEROCOPY; nothing where C cannot be compiled. */
export async function ceiling(to: { hostname: string; port: number }, rotation: Rotation): Promise<Contender[]> {
  const folder = await mkdtemp(join(tmpdir(), "ringlet-bench-"));
  const program = join(folder, "udp_copy_zc");
  try {
    const compiler = spawn("gcc", ["-O2", "-o", program, SOURCE], { stdio: "inherit" });
    const [code] = await once(compiler, "exit");
    if (code !== 0) throw new Error(`gcc ended with ${code}`);
  } catch (error) {
    console.error(`SKIP the C ceiling: ${(error as Error).message}`);
    await rm(folder, { recursive: true });
    return [];
  }
  const { bytes, count, writing, roundBytes } = rotation;
  const args = [to.hostname, to.port, bytes, BATCH, count].map(String);
  const child = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const round = async (mode: string) => {
    child.stdin.write(`${mode} ${writing} ${roundBytes}\n`);
    const { value, done } = await answers.next();
    if (done) throw new Error("the C program ended");
    const [bytes, seconds, cpuSeconds] = value.split(" ").map(Number);
    return { bytes, seconds, cpuSeconds };
  };
  const close = async () => {
    child.stdin.end();
    await once(child, "exit");
    await rm(folder, { recursive: true });
  };
  return [
    { name: "C copy", round: () => round("copy") },
    { name: "C zero-copy", round: () => round("zerocopy"), close },
  ];
}
