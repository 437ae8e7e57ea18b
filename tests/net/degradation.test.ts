/**
 * Where io_uring is forbidden, hidden or half there: `open()` gets the next best engine, says why, and sends. In child processes under
 * a real seccomp filter.
 */
import { assert, assertEquals } from "@std/assert";
import { C } from "../../ffi/abi.ts";
import { childJson } from "../support/child.ts";
import { NO_RING } from "../support/ring.ts";
import { forbidding, NO_SECCOMP } from "../support/seccomp.ts";
import type { Rule } from "../support/seccomp_filter.ts";
import { testIf } from "../support/skip.ts";

const PROGRAM = new URL("./programs/degraded.ts", import.meta.url);
const { IORING_REGISTER_BUFFERS: BUFFERS, IORING_REGISTER_PROBE: PROBE } = C;

interface Outcome {
  name: string;
  reason: string;
  uring: boolean;
  registeredBytes: number;
  insisted: string;
  wrong: number;
  bytes: number;
}

async function outcome(...rules: Rule[]): Promise<Outcome> {
  const result = await childJson<Outcome>(PROGRAM, { within: forbidding(...rules) });
  assertEquals([result.wrong, result.bytes], [-1, 60_000]);
  return result;
}

const WITHOUT_RING: [why: string, rules: Rule[], says: string][] = [
  ["forbidden, as by Docker", ["setup EPERM", "enter EPERM", "register EPERM"], "io_uring is forbidden"],
  ["hidden", ["setup ENOSYS"], "the kernel has no io_uring, or a seccomp filter hides it"],
  ["without NO_MMAP", ["setup EINVAL"], "IORING_SETUP_NO_MMAP, Linux 6.5"],
  ["out of lockable memory", ["setup ENOMEM"], "RLIMIT_MEMLOCK leaves no room for a ring"],
  ["refused for a reason that nobody knows", ["setup EBUSY"], "io_uring_setup: EBUSY"],
  ["a ring that cannot be asked what it can do", [`register ${PROBE} EPERM`], "io_uring_register: EPERM"],
  ["a ring that nothing can be registered with", ["register EPERM"], "io_uring_register: EPERM"],
  ["a ring that cannot be entered", ["enter EPERM"], "io_uring_enter: EPERM"],
  ["a ring whose entering is hidden", ["enter ENOSYS"], "io_uring_enter: ENOSYS"],
];

for (const [why, rules, says] of WITHOUT_RING) {
  testIf(NO_RING ?? NO_SECCOMP, `io_uring is ${why}: the next engine, and why`, async () => {
    const { name, reason, uring, insisted } = await outcome(...rules);
    assertEquals([name, uring], ["errqueue", false]);
    assert(reason.includes(says) && reason.endsWith("; TCP and UDP take SO_ZEROCOPY"), reason);
    assert(insisted.startsWith('ERR_UNSUPPORTED: Cannot open with engine "uring": '), insisted);
    assert(insisted.includes(says) && insisted.includes('engine "auto" or "copy"'), insisted);
  });
}

for (const errno of ["EPERM", "ENOMEM", "EINVAL"] as const) {
  testIf(NO_RING ?? NO_SECCOMP, `memory cannot be registered (${errno}): a ring without, and it sends`, async () => {
    const { name, reason, insisted, registeredBytes } = await outcome(`register ${BUFFERS} ${errno}`);
    assertEquals([name, registeredBytes, insisted], ["uring", 0, "opened"]);
    assertEquals(reason, "io_uring with nothing of the arena registered");
  });
}

testIf(NO_RING ?? NO_SECCOMP, "control: under a filter that forbids nothing of it there is a ring", async () => {
  const { name, reason, insisted } = await outcome(`register ${C.IORING_REGISTER_SYNC_CANCEL} EPERM`);
  assertEquals([name, reason, insisted], ["uring", "io_uring with the whole arena registered", "opened"]);
});
