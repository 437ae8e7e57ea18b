/**
 * The table of what is sent, who sends it, and which of them are compared.
 *
 * @module
 */
import { lastLevelCacheBytes } from "./cache.ts";
import type { Contest, Entrant, Pair } from "./contest.ts";
import {
  awaited,
  COPY_ENGINE,
  ERRQUEUE,
  FAN_OUT,
  promised,
  RUNTIMES,
  saying,
  SENDMMSG,
  TO_MANY,
  type Transport,
  WAYS,
  woken,
} from "./contenders.ts";
import { CPU, SPEED, type Target, TRIP } from "./measure.ts";

const ROTATION_BYTES = 2 * lastLevelCacheBytes();

/** Sends in flight at once where that is not the question. */
const DEPTH = 32;

/** Payload sizes, and the part of C's throughput that a promise for each send may leave. */
const SIZES: readonly (readonly [payloadBytes: number, promises: Target | undefined])[] = [
  [60_000, ["at least", 0.85]],
  [8_000, undefined],
  [1_400, ["at least", 0.6]],
];
const BATCH: Target = ["at least", 0.97];

/** Targets beside runtimes' sockets. */
type RuntimeTargets = Readonly<Record<string, { readonly speed?: Target; readonly cpu?: Target }>>;

/** What zero-copy is for: large datagrams, against the runtime's own copies. */
const LARGE_BYTES = 60_000;
const LARGE: RuntimeTargets = {
  [RUNTIMES.udp[0]]: { speed: ["at least", 3], cpu: ["at most", 0.35] },
};

/** What trains are for: datagrams of a usual size, as many as one send carries, against a call into the kernel for each. */
const SEGMENT_BYTES = 1_400;
const SEGMENTS = Math.floor(65_507 / SEGMENT_BYTES);
const TRAINS: RuntimeTargets = {
  [RUNTIMES.udp[0]]: { speed: ["at least", 40] },
  [RUNTIMES.udp[2]]: { speed: ["at least", 25] },
};

/** A datagram of live media, and how many want it. */
const FANNED_BYTES = 1_200;
const DESTINATIONS = 1_000;
const FANNED: { readonly c: Target; readonly node: Target } = { c: ["at least", 0.95], node: ["at least", 2.5] };

/** The most that ours ÷ C may differ from depth to depth, and from one number of sockets to another. */
const SPREAD: Target = ["at most", 1.15];
const DEPTHS = { quick: [1, 256], full: [1, 32, 256, 4096] };
const SOCKETS = { quick: [1, 100], full: [1, 100, 1000, 10_000] };
/** Sizes and ways whose scaling is looked at. Over loopback, which copies, a copy is the honest one. */
const SCALED: readonly (readonly [Transport, payloadBytes: number, way: typeof WAYS[number]])[] = [
  ["udp", 60_000, "fixed"],
  ["udp", 1_400, "fixed"],
  ["tcp", 8_000, "copy"],
];

/** Sizes of writes of the runtimes' users, what `auto` should reach beside their sockets, and how one awaited send does. */
const STREAMS: readonly (readonly [name: string, payloadBytes: number, Target])[] = [
  ["64 KiB", 64 << 10, ["at least", 1.2]],
  ["1 MiB", 1 << 20, ["at least", 0.9]],
];

const MESSAGE_BYTES = 64;

function payloadsOf(payloadBytes: number, atLeast = DEPTH): number {
  return Math.max(Math.ceil(ROTATION_BYTES / payloadBytes / DEPTH) * DEPTH, atLeast);
}

/** `name`s with the usual depth and a socket each. */
function usual(names: readonly string[]): Entrant[] {
  return names.map((name) => ({ label: name, name, depth: DEPTH, sockets: 1 }));
}

/** Everybody in `pairs`, once. */
function namesIn(pairs: readonly Pair[]): string[] {
  return [...new Set(pairs.flatMap(([ours, peer]) => [ours, peer]))];
}

function label(transport: string, payloadBytes: number): string {
  return `${transport.toUpperCase()} ${payloadBytes.toLocaleString("en")} B`;
}

/** Without their targets. */
function untargeted(pairs: readonly Pair[]): Pair[] {
  return pairs.map(([ours, peer, metric]) => [ours, peer, metric]);
}

/** What differs between contests of everybody, and what is wanted there. */
interface Everybody extends Pick<Contest, "label" | "transport" | "payloadBytes" | "segmentBytes" | "unsegmented"> {
  readonly batch?: Target;
  readonly promises?: Target;
  readonly runtimes?: RuntimeTargets;
  /** There are also those whose trains each say how they are cut. */
  readonly eachSays?: boolean;
}

/** Ringlet beside C, each way and each path, and beside the runtimes' sockets. */
function everybody(wanted: Everybody, quick: boolean): Contest {
  const { batch, promises, runtimes: targets = {}, eachSays = false, ...rest } = wanted;
  const { transport, payloadBytes } = rest;
  const ways = quick ? ["copy", "fixed"] : WAYS;
  const runtimes = quick ? RUNTIMES[transport].slice(0, 1) : RUNTIMES[transport];
  const pairs: Pair[] = [];
  for (const way of ways) {
    pairs.push([`uring ${way}`, `C ${way}`, SPEED, batch]);
    pairs.push([promised(`uring ${way}`), `C ${way}`, SPEED, promises]);
  }
  const ours = transport === "udp" ? "uring fixed" : "uring copy";
  for (const runtime of runtimes) {
    pairs.push([ours, runtime, SPEED, targets[runtime]?.speed]);
    pairs.push([ours, runtime, CPU, targets[runtime]?.cpu]);
    pairs.push([promised(ours), runtime, SPEED]);
  }
  if (eachSays) { for (const way of ways) pairs.push([saying(`uring ${way}`), saying(`C ${way}`), SPEED, batch]); }
  return { ...rest, payloads: payloadsOf(payloadBytes), entrants: usual(namesIn(pairs)), matches: [{ pairs }] };
}

/** Datagrams, or writes of a stream. */
function* throughput(transport: Transport, quick: boolean): Generator<Contest> {
  for (const [payloadBytes, promises] of quick ? SIZES.slice(0, 1) : SIZES) {
    // Loopback copies; there is nothing to save there.
    const runtimes = transport === "udp" && payloadBytes === LARGE_BYTES ? LARGE : undefined;
    const all = { label: label(transport, payloadBytes), transport, payloadBytes, batch: BATCH, promises, runtimes };
    yield { ...everybody(all, quick), chartedAgainst: "C fixed" };
  }
}

/** Trains of datagrams, which the device takes whole, or the kernel cuts before it. */
function* trains(quick: boolean): Generator<Contest> {
  const train = {
    label: `UDP ${SEGMENTS} × ${SEGMENT_BYTES.toLocaleString("en")} B`,
    transport: "udp",
    payloadBytes: SEGMENTS * SEGMENT_BYTES,
    segmentBytes: SEGMENT_BYTES,
  } as const;
  yield everybody({ ...train, batch: BATCH, runtimes: TRAINS, eachSays: true }, quick);
  yield everybody({ ...train, label: `${train.label}, cut by the kernel`, unsegmented: true }, quick);
}

/** One small datagram to many. */
function fanOut(quick: boolean): Contest {
  const ours = ["uring copy", FAN_OUT];
  const runtimes = quick ? RUNTIMES.udp.slice(0, 1) : RUNTIMES.udp;
  const pairs = ours.flatMap((name): Pair[] => [
    [name, SENDMMSG, SPEED, FANNED.c],
    [name, TO_MANY, SPEED, FANNED.c],
    ...runtimes.map((runtime): Pair => [name, runtime, SPEED, runtime === RUNTIMES.udp[2] ? FANNED.node : undefined]),
  ]);
  const entrants = [...ours, SENDMMSG, TO_MANY, ...runtimes].map((name): Entrant => {
    return { label: name, name, depth: DESTINATIONS, sockets: 1 };
  });
  return {
    label: `UDP ${FANNED_BYTES.toLocaleString("en")} B to ${DESTINATIONS.toLocaleString("en")}`,
    transport: "udp",
    payloadBytes: FANNED_BYTES,
    payloads: DEPTH,
    destinations: DESTINATIONS,
    entrants,
    matches: [{ pairs }],
  };
}

/** The engines without io_uring, and payloads that are written on the clock or stay in the cache. */
function engines(quick: boolean): Contest {
  const [own, onDeno, onNode] = RUNTIMES.udp;
  const pairs: Pair[] = [
    [ERRQUEUE, own, SPEED, ["at least", 2]],
    [ERRQUEUE, onDeno, SPEED, ["at least", 1.5]],
    [ERRQUEUE, onNode, SPEED, ["at least", 1.5]],
    [ERRQUEUE, COPY_ENGINE, SPEED, ["at least", 1.5]],
    [ERRQUEUE, COPY_ENGINE, CPU, ["at most", 1]],
    [promised(ERRQUEUE), own, SPEED],
    [promised(ERRQUEUE), COPY_ENGINE, CPU],
    ["uring fixed", ERRQUEUE, SPEED],
    ["uring fixed", COPY_ENGINE, SPEED],
    ["C fixed", "C copy", SPEED],
  ];
  return {
    label: label("udp", LARGE_BYTES),
    transport: "udp",
    payloadBytes: LARGE_BYTES,
    payloads: payloadsOf(LARGE_BYTES),
    entrants: usual(namesIn(pairs).filter((name) => !quick || name !== onDeno)),
    matches: [
      { pairs },
      { suffix: ", writing timed", writing: "within", pairs: untargeted(pairs) },
      { suffix: ", hot cache", payloads: DEPTH, pairs: untargeted(pairs) },
    ].slice(0, quick ? 1 : undefined) as Contest["matches"],
  };
}

/** Writes of streams as the runtimes' users know them. */
function* streams(quick: boolean): Generator<Contest> {
  for (const [name, payloadBytes, target] of quick ? STREAMS.slice(0, 1) : STREAMS) {
    const pairs = RUNTIMES.tcp.flatMap((runtime): Pair[] => [
      [promised("auto"), runtime, SPEED, target],
      [promised("auto"), runtime, CPU],
      ["auto", runtime, SPEED],
      [awaited("auto"), runtime, SPEED],
    ]);
    yield {
      label: `TCP ${name}`,
      transport: "tcp",
      payloadBytes,
      payloads: payloadsOf(payloadBytes),
      entrants: usual(["auto", promised("auto"), awaited("auto"), ...RUNTIMES.tcp]),
      matches: [{ pairs }],
    };
  }
}

/** Ours ÷ C at several values of one number, all of them in the same rounds. */
function* scaling(what: "depth" | "sockets", quick: boolean): Generator<Contest> {
  const all = what === "depth" ? DEPTHS : SOCKETS;
  const values = quick ? all.quick : all.full;
  for (const [transport, payloadBytes, way] of quick ? SCALED.slice(0, 1) : SCALED) {
    const entrants: Entrant[] = [];
    const pairs: Pair[] = [];
    for (const value of values) {
      const [ours, c] = [`uring ${way}`, `C ${way}`].map((name) => {
        const label = `${name}, ${what} ${value.toLocaleString("en")}`;
        entrants.push({ depth: DEPTH, sockets: 1, label, name, [what]: value });
        return label;
      });
      pairs.push([ours, c, SPEED]);
    }
    yield {
      label: label(transport, payloadBytes),
      transport,
      payloadBytes,
      payloads: payloadsOf(payloadBytes, Math.max(...values)),
      entrants,
      matches: [{ pairs }],
      spread: [`${what} ${values[0]} to ${values[values.length - 1].toLocaleString("en")}, uring ${way} ÷ C`, SPREAD],
    };
  }
}

/** A small message to an echo and back. */
function trips(): Contest {
  return {
    label: `TCP round trip, ${MESSAGE_BYTES} B`,
    transport: "tcp",
    payloadBytes: MESSAGE_BYTES,
    payloads: 1,
    trips: true,
    entrants: usual(["auto", ...RUNTIMES.tcp]),
    matches: [{
      pairs: RUNTIMES.tcp.map((runtime, i): Pair => ["auto", runtime, TRIP, i === 0 ? ["at most", 1] : undefined]),
    }],
  };
}

/** How long a process that sleeps takes to have a datagram that arrives. */
function wakeUps(): Contest {
  const [own] = RUNTIMES.udp;
  const pairs = ["auto", ERRQUEUE].map((name): Pair => [woken(name), woken(own), TRIP]);
  return {
    label: `UDP wake-up, ${MESSAGE_BYTES} B`,
    transport: "tcp",
    payloadBytes: MESSAGE_BYTES,
    payloads: 1,
    trips: true,
    entrants: usual([woken("auto"), woken(ERRQUEUE), woken(own)]),
    matches: [{ pairs }],
  };
}

/** The contests, by the part of the benchmark they belong to. */
export const CELLS: Record<string, (quick: boolean) => Contest[]> = {
  udp: (quick) => [...throughput("udp", quick)],
  "udp-trains": (quick) => [...trains(quick)],
  "udp-fan-out": (quick) => [fanOut(quick)],
  engines: (quick) => [engines(quick)],
  tcp: (quick) => [...throughput("tcp", quick)],
  streams: (quick) => [...streams(quick)],
  depth: (quick) => [...scaling("depth", quick)],
  sockets: (quick) => [...scaling("sockets", quick)],
  trip: () => [trips(), wakeUps()],
};
