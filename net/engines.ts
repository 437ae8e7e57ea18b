/**
 * Which engine an `open()` gets: the best that works, tried for real.
 *
 * @module
 */
import { C } from "../ffi/abi.ts";
import type { System } from "../ffi/system.ts";
import { DatagramInbox } from "./datagram_inbox.ts";
import type { EngineName } from "./engine.ts";
import { ErrorQueue } from "./error_queue.ts";
import { RingletError } from "./errors.ts";
import type { Hub } from "./hub.ts";
import type { Capabilities, EngineChoice } from "./io.ts";
import { type Memories, ScratchSpace } from "./message.ts";
import { setOption } from "./options.ts";
import { ReadinessEngine } from "./readiness.ts";
import { NoRing, type RingLimits } from "./ring.ts";
import { tryTrains } from "./trains.ts";
import { UringEngine } from "./uring.ts";

/** The engines, best first. */
export const ENGINES = ["uring", "errqueue", "copy"] as const satisfies readonly EngineName[];

/** What the kernel's sockets can do. */
type SocketPowers = Pick<Capabilities, "zeroCopyTcp" | "zeroCopyUdp" | "udpSegments">;

/** What a ring can do, and what is registered with it; nothing where there is none. */
type RingPowers = Omit<Capabilities, keyof SocketPowers>;

/** A hub whose engine works. */
export interface Started extends RingPowers {
  readonly hub: Hub;
  readonly engine: EngineChoice;
}

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
  return {
    zeroCopyTcp: takesZeroCopy(C.SOCK_STREAM),
    zeroCopyUdp: takesZeroCopy(C.SOCK_DGRAM),
    udpSegments: tryTrains(system),
  };
}

/**
 * Starts the engine that is wanted, or the best that works.
 *
 * @param makeHub Makes a hub with the tables that an engine needs.
 * @throws {RingletError} `ERR_UNSUPPORTED` when the one that is insisted on does not work.
 */
export function startEngine(
  makeHub: (engine: EngineName) => Hub,
  wanted: "auto" | EngineName,
  powers: SocketPowers,
  limits: RingLimits & Required<Pick<RingLimits, "entries" | "registeredBytes">>,
): Started {
  const reasons: string[] = wanted === "auto" ? [] : ["asked for"];
  for (const name of wanted === "auto" ? ENGINES : [wanted]) {
    const missing = name === "errqueue" ? missingZeroCopy(powers) : undefined;
    if (missing !== undefined) {
      reasons.push(missing);
      continue;
    }
    const hub = makeHub(name);
    const memories = memoriesOf(hub);
    hub.inbox = new DatagramInbox(hub, memories.scratch, memories.arena);
    hub.errorQueue = new ErrorQueue(hub, memories.scratch, memories.arena);
    if (name !== "uring") {
      hub.engine = new ReadinessEngine(hub, name, memories);
      if (name === "errqueue") reasons.push(takesZeroCopy(powers));
      return { ...NO_RING, hub, engine: { name, reason: reasons.join("; ") } };
    }
    try {
      const engine = new UringEngine(hub, memories, limits);
      hub.engine = engine;
      const { registeredBytes, gathersRegistered } = engine.ring;
      reasons.push(registered(registeredBytes, hub.arena.bytes.length));
      return { uring: true, registeredBytes, gathersRegistered, hub, engine: { name, reason: reasons.join("; ") } };
    } catch (error) {
      if (!(error instanceof NoRing)) throw error;
      reasons.push(error.message);
    }
  }
  throw new RingletError("ERR_UNSUPPORTED", `Cannot open with engine "${wanted}": ${reasons.slice(1).join("; ")}`, {
    advice: 'use engine "auto" or "copy"',
  });
}

function missingZeroCopy({ zeroCopyTcp, zeroCopyUdp }: SocketPowers): string | undefined {
  if (zeroCopyTcp || zeroCopyUdp) return undefined;
  return "the kernel takes SO_ZEROCOPY neither on TCP (Linux 4.14) nor on UDP (Linux 5.0)";
}

function takesZeroCopy({ zeroCopyTcp, zeroCopyUdp }: SocketPowers): string {
  return `${zeroCopyTcp && zeroCopyUdp ? "TCP and UDP take" : zeroCopyTcp ? "TCP takes" : "UDP takes"} SO_ZEROCOPY`;
}

function registered(bytes: number, arenaBytes: number): string {
  if (bytes === arenaBytes) return "io_uring with the whole arena registered";
  const mebibytes = (n: number) => `${Math.round(n / 2 ** 20)} MiB`;
  const part = bytes === 0 ? "nothing" : `${mebibytes(bytes)} of ${mebibytes(arenaBytes)}`;
  return `io_uring with ${part} of the arena registered`;
}

/** Where the hub's two memories are; from now on the core writes their addresses into messages. */
function memoriesOf({ system, core, arena }: Hub): Memories {
  const base = system.runtime.addressOf(core.u8);
  const arenaBase = system.runtime.addressOf(arena.bytes);
  const halves = (address: bigint) => [Number(address & 0xffffffffn) | 0, Number(address >> 32n) | 0] as const;
  core.raw.core_bases(...halves(base), ...halves(arenaBase));
  return { core: base, arena: arenaBase, scratch: new ScratchSpace(core.u8, core.regions.SCRATCH, base) };
}
