/**
 * Whether memory grows with the number of sends.
 *
 * @module
 */
import { deno, Lines } from "./child.ts";
import { type Row, row } from "./measure.ts";
import type { BenchOptions } from "./options.ts";

/** Memory may settle during so many sends. */
const SETTLING_SENDS = 100_000;
/** Compilers and allocators settle later than sends do. Eight bytes lost in each of ten million sends would double the memory. */
const FLAT = 1.2;
/** A young generation that does not grow as it likes. */
const FLAGS = "--v8-flags=--expose-gc,--max-semi-space-size=1";
const MEBIBYTE = 2 ** 20;

/** The rows of memory: of each engine that keeps books. */
export async function memory({ device, sends, quick }: BenchOptions): Promise<Row[]> {
  const rows: Row[] = [];
  for (const engine of quick ? ["uring"] : ["uring", "errqueue"]) {
    const args = [engine, device?.hostname ?? "", device?.port ?? 0, sends, SETTLING_SENDS].map(String);
    const program = new Lines(deno("memory_sends.ts", args, [FLAGS]));
    if (!await program.ready()) continue;
    const [settled, largest] = (await program.next()).split(" ").map(Number);
    await program.close();
    const name = `resident memory, ${sends / 1e6} million sends: ${engine}`;
    const peer = `after ${SETTLING_SENDS.toLocaleString("en")}`;
    rows.push(row(name, "MiB", [largest / MEBIBYTE], peer, [settled / MEBIBYTE], ["at most", FLAT]));
  }
  return rows;
}
