/**
 * Which engine an `open()` gets: the best that works, tried for real.
 *
 * @module
 */
import { C } from "../ffi/abi.ts";
import type { System } from "../ffi/system.ts";
import type { Engine, EngineName } from "./engine.ts";
import { RingletError } from "./errors.ts";
import type { Hub } from "./hub.ts";
import type { Capabilities, EngineChoice } from "./io.ts";
import { type Memories, ScratchSpace } from "./message.ts";
import { setOption } from "./options.ts";
import { ReadinessEngine } from "./readiness.ts";
import { NoRing, type RingLimits } from "./ring.ts";
import { UringEngine } from "./uring.ts";

/** The engines, best first. */
export const ENGINES = ["uring", "errqueue", "copy"] as const satisfies readonly EngineName[];

/** What the kernel's sockets can do. */
type SocketPowers = Pick<Capabilities, "zeroCopyTcp" | "zeroCopyUdp">;

/** What a ring can do, and what is registered with it; nothing where there is none. */
type RingPowers = Omit<Capabilities, keyof SocketPowers>;

const NO_RING: RingPowers = { uring: false, registeredBytes: 0, gathersRegistered: false };

/** Tries what the engines need, on sockets of its own. */
export function tryOut(system: System): SocketPowers {
  const takesZeroCopy = (type: number): boolean => {
    const fd = system.libc.call.socket(C.AF_INET, type | C.SOCK_CLOEXEC, 0);
    if (fd < 0) return false;
    const errno = setOption(system, fd, C.SOL_SOCKET, C.SO_ZEROCOPY, 1);
    system.libc.call.close(fd);
    return errno === 0;
  };
  return { zeroCopyTcp: takesZeroCopy(C.SOCK_STREAM), zeroCopyUdp: takesZeroCopy(C.SOCK_DGRAM) };
}

/**
 * Starts the engine that is wanted, or the best that works, for a hub whose core has room for `ringEntries`.
 *
 * @throws {RingletError} `ERR_UNSUPPORTED` when the one that is insisted on does not work.
 */
export function startEngine(
  hub: Hub,
  wanted: "auto" | EngineName,
  powers: SocketPowers,
  ringEntries: number,
  limits: RingLimits,
): RingPowers & { engine: EngineChoice } {
  const memories = memoriesOf(hub);
  const reasons: string[] = [];
  for (const name of wanted === "auto" ? ENGINES : [wanted]) {
    const result = tryEngine(name, hub, memories, powers, ringEntries, limits);
    if (typeof result === "string") {
      reasons.push(result);
      continue;
    }
    const { engine, why, ...ring } = result;
    hub.engine = engine;
    if (wanted !== "auto") reasons.push("asked for");
    return { ...ring, engine: { name, reason: [...reasons, why].filter((text) => text !== "").join("; ") } };
  }
  throw new RingletError("ERR_UNSUPPORTED", `Cannot open with engine "${wanted}": ${reasons.join("; ")}`, {
    advice: 'use engine "auto" or "copy"',
  });
}

/** The engine and why it is a good one, or why there is none. */
function tryEngine(
  name: EngineName,
  hub: Hub,
  memories: Memories,
  { zeroCopyTcp, zeroCopyUdp }: SocketPowers,
  ringEntries: number,
  limits: RingLimits,
): string | RingPowers & { engine: Engine; why: string } {
  if (name === "uring") {
    try {
      const engine = new UringEngine(hub, memories, ringEntries, limits);
      const { registeredBytes, gathersRegistered } = engine.ring;
      const why = registered(registeredBytes, hub.arena.bytes.length);
      return { engine, why, uring: true, registeredBytes, gathersRegistered };
    } catch (error) {
      if (error instanceof NoRing) return error.message;
      throw error;
    }
  }
  if (name === "copy") return { ...NO_RING, engine: new ReadinessEngine(hub, name, memories), why: "" };
  if (!zeroCopyTcp && !zeroCopyUdp) {
    return "the kernel takes SO_ZEROCOPY neither on TCP (Linux 4.14) nor on UDP (Linux 5.0)";
  }
  const takes = zeroCopyTcp && zeroCopyUdp ? "TCP and UDP take" : zeroCopyTcp ? "TCP takes" : "UDP takes";
  return { ...NO_RING, engine: new ReadinessEngine(hub, name, memories), why: `${takes} SO_ZEROCOPY` };
}

function registered(bytes: number, arenaBytes: number): string {
  if (bytes === arenaBytes) return "io_uring with the whole arena registered";
  const mebibytes = (n: number) => `${Math.round(n / 2 ** 20)} MiB`;
  const part = bytes === 0 ? "nothing" : `${mebibytes(bytes)} of ${mebibytes(arenaBytes)}`;
  return `io_uring with ${part} of the arena registered (RLIMIT_MEMLOCK)`;
}

/** Where the hub's two memories are; from now on the core writes their addresses into messages. */
function memoriesOf({ system, core, arena }: Hub): Memories {
  const base = system.runtime.addressOf(core.u8);
  const arenaBase = system.runtime.addressOf(arena.bytes);
  const halves = (address: bigint) => [Number(address & 0xffffffffn) | 0, Number(address >> 32n) | 0] as const;
  core.raw.core_bases(...halves(base), ...halves(arenaBase));
  return { core: base, arena: arenaBase, scratch: new ScratchSpace(core.u8, core.regions.SCRATCH, base) };
}
