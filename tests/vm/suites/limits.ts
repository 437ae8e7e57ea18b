/**
 * Guests with less: no capabilities, little lockable memory, io_uring switched off, little option memory. The engine is the right one for
 * the right reason, sends work, and nothing is lost. The settings are the kernel's, so this runs in guests only.
 */
import { assert, assertEquals } from "@std/assert";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import type { EngineName } from "../../../mod.ts";
import { childJson, patiently } from "../../support/child.ts";
import { NO_ENGINE } from "../../support/engines.ts";
import { testIf } from "../../support/skip.ts";
import { since } from "../since.ts";

const OPENS = new URL("../../net/programs/uring_memory.ts", import.meta.url);
const STALLS = new URL("../../net/programs/stalled_sends.ts", import.meta.url);
const MEBIBYTE = 2 ** 20;
const ARENA_BYTES = 4 * MEBIBYTE;
/** What {@linkcode STALLS} sends. */
const SENDS = 280;

const NO_GUEST = process.env.RINGLET_GUEST === undefined
  ? "changes settings of the kernel: only in guests of `deno task test:vm`"
  : undefined;
const SWITCH = "/proc/sys/kernel/io_uring_disabled";
const OPTMEM = "/proc/sys/net/core/optmem_max";
const NO_SWITCH = existsSync(SWITCH) ? undefined : "needs kernel.io_uring_disabled (Linux 6.6)";

const NO_MMAP = "the kernel does not take rings in the program's memory";
const FORBIDDEN = "io_uring is forbidden";
/** What `auto` says first, by what io_uring is. */
const reasons = {
  whole: since(6, 5) ? "io_uring with the whole arena registered" : NO_MMAP,
  nothing: since(6, 5) ? "io_uring with nothing of the arena registered" : NO_MMAP,
  forbidden: since(6, 5) ? FORBIDDEN : NO_MMAP,
};

/** The user of a service: no capabilities, and so much lockable memory. */
const user = (lockableBytes: number) => [
  "prlimit",
  `--memlock=${lockableBytes}:${lockableBytes}`,
  ...["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"],
];

interface Case {
  readonly name: string;
  readonly within: readonly string[];
  readonly reason: string;
  readonly missing?: string;
  /** kernel.io_uring_disabled. */
  readonly disabled?: number;
}

const CASES: readonly Case[] = [
  { name: "a user with 8 MiB of lockable memory", within: user(8 * MEBIBYTE), reason: reasons.whole },
  { name: "a user with 64 KiB of lockable memory", within: user(64 * 1024), reason: reasons.nothing },
  {
    name: "a user with io_uring_disabled=1",
    within: user(8 * MEBIBYTE),
    reason: reasons.forbidden,
    missing: NO_SWITCH,
    disabled: 1,
  },
  { name: "root with io_uring_disabled=1", within: [], reason: reasons.whole, missing: NO_SWITCH, disabled: 1 },
  { name: "root with io_uring_disabled=2", within: [], reason: reasons.forbidden, missing: NO_SWITCH, disabled: 2 },
];

/** Runs `body` while a setting of the kernel has another value. */
async function having(path: string, value: number | undefined, body: () => Promise<void>): Promise<void> {
  if (value === undefined) return await body();
  const before = readFileSync(path, "utf8");
  writeFileSync(path, `${value}`);
  try {
    await body();
  } finally {
    writeFileSync(path, before);
  }
}

interface Opened {
  engine: { name: string; reason: string };
  wrong: number;
  balanced: boolean;
}

for (const { name, within, reason, missing, disabled } of CASES) {
  testIf(NO_GUEST ?? missing, `the engine of ${name}`, () =>
    having(SWITCH, disabled, async () => {
      const args = [JSON.stringify({ arenaBytes: ARENA_BYTES }), "0"];
      const { engine, wrong, balanced } = await patiently(() => childJson<Opened>(OPENS, { args, within }));
      assert(engine.reason.startsWith(reason), engine.reason);
      assertEquals(engine.name, reason.startsWith("io_uring with") ? "uring" : "errqueue", engine.reason);
      assertEquals({ wrong, balanced }, { wrong: -1, balanced: true });
    }));
}

interface Stalled {
  refused: number;
  lent: number;
  released: number;
  accepted: number;
}

const SHORTAGES: readonly { name: string; within: readonly string[]; optmemBytes?: number }[] = [
  { name: "64 KiB of lockable memory", within: user(64 * 1024) },
  { name: "optmem_max 2000", within: [], optmemBytes: 2000 },
];

for (const engine of ["uring", "errqueue"] satisfies EngineName[]) {
  for (const { name, within, optmemBytes } of SHORTAGES) {
    testIf(
      NO_GUEST ?? NO_ENGINE[engine],
      `every send under ${name} [${engine}]`,
      () =>
        having(OPTMEM, optmemBytes, async () => {
          const outcome = await patiently(() => childJson<Stalled>(STALLS, { args: [engine], within }));
          if (engine === "errqueue") {
            assert(outcome.refused > 0, `the limit was never reached: ${JSON.stringify(outcome)}`);
          }
          assertEquals(outcome.accepted, SENDS);
          assertEquals(outcome.lent, outcome.released);
        }),
    );
  }
}
