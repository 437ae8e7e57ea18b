/**
 * One guest: a kernel in qemu, watched from its start to its end.
 */
import type { Kernel } from "./kernels.ts";
import { cacheFolder } from "./host.ts";
import { TextLineStream } from "./lines.ts";
import { PROJECT } from "./project.ts";
import { parseRow, type Row } from "./rows.ts";

const MEMORY_MEBIBYTES = 3072;
/**
 * One processor, emulated by one thread: two of them race where real ones do not (a kernel that patches its own code dies of the
 * breakpoint that another processor still sees), and cost a third more. An old model, because nothing newer is emulated quickly.
 */
const PROCESSOR = ["-accel", "tcg,thread=single,tb-size=512", "-cpu", "Nehalem", "-smp", "1"];
/** Emulated, a test takes so many times as long as it would take otherwise. */
const SLOWNESS = 5;
/** What a kernel says when it has found something wrong with itself. */
const TROUBLE =
  /Kernel panic|\bOops\b|\bBUG:|\bWARNING:|general protection fault|soft lockup|hung task|Unable to handle/;
/** Warnings of the kernel's start that tell about the emulated processor only. */
const HARMLESS = /mtrr|MTRR|x2apic|TSC/;

/** How a run ended. */
export interface Run {
  readonly rows: Row[];
  /** What was wrong with the run itself. */
  readonly troubles: string[];
  /** What the guest printed. */
  readonly log?: string;
  readonly seconds: number;
  /** It was stopped because the time for all kernels was over. */
  readonly stopped?: boolean;
}

/** Boots a kernel, runs the suites in it, and answers what it told. */
export async function runGuest(
  kernel: Kernel,
  archives: readonly string[],
  { only, deadlineMs, leftMs }: { only: string | undefined; deadlineMs: number; leftMs: number },
): Promise<Run> {
  const started = performance.now();
  const folder = await cacheFolder("runs", kernel.release);
  const log = `${folder}/console.log`;
  const initrd = `${folder}/initrd`;
  await Deno.writeFile(initrd, new Uint8Array());
  for (const archive of archives) await append(archive, initrd);
  const words = [
    "console=ttyS0",
    "panic=-1",
    "loglevel=5",
    "mitigations=off", // which nobody can attack here, and which emulation makes expensive
    `ringlet.PROJECT=${PROJECT}`,
    `ringlet.SLOWNESS=${SLOWNESS}`,
  ];
  if (only !== undefined) words.push(`ringlet.ONLY=${only}`);
  const child = new Deno.Command("qemu-system-x86_64", {
    args: [
      ...PROCESSOR,
      ...["-m", `${MEMORY_MEBIBYTES}`],
      ...["-display", "none", "-monitor", "none", "-no-reboot", "-net", "none"],
      ...["-kernel", kernel.image, "-initrd", initrd, "-append", words.join(" ")],
      ...["-serial", `file:${log}`, "-serial", "stdio"],
    ],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const errors = new Response(child.stderr).text();
  const troubles: string[] = [];
  let late = false;
  const guard = setTimeout(() => {
    late = true;
    child.kill("SIGKILL");
  }, Math.min(deadlineMs, leftMs));
  const rows: Row[] = [];
  for await (const line of child.stdout.pipeThrough(new TextDecoderStream()).pipeThrough(new TextLineStream())) {
    const row = parseRow(line, (text) => troubles.push(`a row that is none: ${text.slice(0, 200)}`));
    if (row !== undefined) rows.push(row);
  }
  const { success, code, signal } = await child.status;
  clearTimeout(guard);
  const stopped = late && leftMs < deadlineMs;
  if (late && !stopped) troubles.push(`did not end within ${deadlineMs / 1000} s`);
  await Deno.remove(initrd);
  if (!success && signal === null) troubles.push(`qemu ended with ${code}: ${(await errors).trim()}`);
  if (!stopped && rows.at(-1)?.kind !== "end") troubles.push("the run did not come to its end");
  const console = await Deno.readTextFile(log).catch(() => "");
  for (const line of console.split(/\r?\n/)) {
    if (/^\[ *\d+\.\d+\]/.test(line) && TROUBLE.test(line) && !HARMLESS.test(line)) troubles.push(line);
  }
  return { rows, troubles, log, seconds: (performance.now() - started) / 1000, stopped };
}

/** Appends a file to another. */
async function append(from: string, to: string): Promise<void> {
  const [source, target] = [await Deno.open(from), await Deno.open(to, { append: true })];
  await source.readable.pipeTo(target.writable);
}
