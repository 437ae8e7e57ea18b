/**
 * How things are compared: rounds of all contenders in turn, in one run, so that whatever else the machine does meets all of
 * them; the ratio of each round; the median of those and its interval.
 *
 * @module
 */
import { cpuUsage } from "node:process";

/** What a contender did in one round. */
export interface Round {
  bytes: number;
  seconds: number;
  /** Processor time of the whole process, the kernel's work for it included. */
  cpuSeconds: number;
}

/** A way to do the work: runs one round of it. */
export interface Contender {
  readonly name: string;
  round(): Promise<Round>;
  close?(): Promise<void> | void;
}

/** A comparison, as `--json` prints it. */
export interface Row {
  cell: string;
  ours: number;
  peer: number;
  peerName: string;
  /** `ours / peer`: the median of the rounds. */
  ratio: number;
  unit: string;
  /** 95% interval of the ratio. */
  low: number;
  high: number;
  /** What the ratio should be at least, or at most. */
  target?: number;
  bound?: Bound;
  met?: boolean;
}

/** Which side of the target is good. */
export type Bound = "at least" | "at most";

/** What a row compares: one number of each round. */
export interface Metric {
  readonly unit: string;
  of(round: Round): number;
}

/** Throughput. */
export const SPEED: Metric = { unit: "GB/s", of: ({ bytes, seconds }) => bytes / seconds / 1e9 };
/** Cost. */
export const CPU: Metric = { unit: "CPU s/GB", of: ({ bytes, cpuSeconds }) => cpuSeconds / bytes * 1e9 };

/** Rounds of every contender, by name: A B C, C B A, A B C, … after one round each that does not count. */
export async function compete(contenders: readonly Contender[], count: number): Promise<Map<string, Round[]>> {
  const results = new Map<string, Round[]>(contenders.map(({ name }) => [name, []]));
  for (const { round } of contenders) await round();
  for (let i = 0; i < count; i++) {
    for (const { name, round } of i % 2 === 0 ? contenders : contenders.toReversed()) results.get(name)!.push(await round());
  }
  for (const contender of contenders) await contender.close?.();
  return results;
}

/** Adds up the parts of a round that are on the clock. */
export class Clock {
  readonly #round: Round = { bytes: 0, seconds: 0, cpuSeconds: 0 };

  /** Runs `work`, which sends `bytes`. */
  async time(bytes: number, work: () => Promise<void>): Promise<void> {
    const cpu = cpuUsage();
    const start = performance.now();
    await work();
    this.#round.seconds += (performance.now() - start) / 1000;
    const { user, system } = cpuUsage(cpu);
    this.#round.cpuSeconds += (user + system) / 1e6;
    this.#round.bytes += bytes;
  }

  get round(): Round {
    return this.#round;
  }
}

/** The row of two contenders that ran in the same rounds. */
export function row(
  cell: string,
  unit: string,
  ours: readonly number[],
  [peerName, peer]: readonly [name: string, values: readonly number[]],
  [bound, target]: readonly [bound: Bound, target: number] | readonly [] = [],
): Row {
  const ratios = ours.map((value, i) => value / peer[i]).sort((a, b) => a - b);
  const ratio = median(ratios);
  const rank = intervalRank(ratios.length);
  return {
    cell,
    ours: median(ours),
    peer: median(peer),
    peerName,
    ratio,
    unit,
    low: ratios[rank],
    high: ratios[ratios.length - 1 - rank],
    ...(bound && { target, bound, met: bound === "at least" ? ratio >= target : ratio <= target }),
  };
}

/** The middle of `values`. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

/**
 * How many of `n` sorted values may be cut off at each end so that the rest still covers the median with 95%: each value is above or
 * below it like a coin.
 */
export function intervalRank(n: number): number {
  let probability = 0.5 ** n;
  let below = probability;
  let rank = 0;
  while (2 * (below + (probability *= (n - rank) / (rank + 1))) <= 0.05) {
    below += probability;
    rank += 1;
  }
  return rank;
}
