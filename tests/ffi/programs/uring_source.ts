/** Where io_uring's calls come from under the permissions of this process, and whether a ring works with them. */
import { C } from "../../../ffi/abi.ts";
import { openSystem } from "../../../ffi/system.ts";
import { SmallRing } from "../small_ring.ts";

const system = openSystem();
const uring = system.uring();
using ring = new SmallRing(system, uring);
ring.push(C.IORING_OP_NOP, 1n);
console.log(JSON.stringify({ source: uring.source, submitted: ring.enter(1, 1), completions: ring.reap().length }));
