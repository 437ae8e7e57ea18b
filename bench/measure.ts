/**
 * How things are compared: rounds of all contenders in turn, in one run, so that whatever else the machine does meets all of
 * them; the ratio of each round; the median of those ratios and its interval.
 *
 * @module
 */

/** What a contender did in one round. */
export interface Round {
  bytes: number;
  seconds: number;
  /** Processor time of its process, the kernel's work for it included. */
  cpuSeconds: number;
}

/** A way to do the work that a cell asks for. */
export interface Contender<Cell> {
  /** Does it once, for as long as a round lasts. */
  round(cell: Cell): Promise<Round>;
  close(): Promise<void>;
}

/** A comparison, as `--json` prints it. */
export interface Row {
  cell: string;
  ours: number;
  peer: number;
  peerName: string;
  /** The median of the rounds' ratios. */
  ratio: number;
  unit: string;
  /** 95% interval of the ratio. */
  low?: number;
  high?: number;
  /** What the ratio should be at least, or at most. */
  target?: number;
  bound?: Bound;
  met?: boolean;
  /** For the chart only: not one of the comparisons that the tables show. */
  chart?: boolean;
}

/** Which side of a target is good. */
export type Bound = "at least" | "at most";

/** A target of a ratio. */
export type Target = readonly [bound: Bound, ratio: number];

/** A number of each round. */
export interface Metric {
  readonly unit: string;
  of(round: Round): number;
}

/** Throughput. */
export const SPEED: Metric = { unit: "GB/s", of: ({ bytes, seconds }) => bytes / seconds / 1e9 };
/** Cost. */
export const CPU: Metric = { unit: "CPU s/GB", of: ({ bytes, cpuSeconds }) => cpuSeconds / bytes * 1e9 };

/** Time of one round trip. */
export const TRIP: Metric = { unit: "µs", of: ({ seconds }) => seconds * 1e6 };

/** Rounds of every contender, by name: A B C, C B A, A B C, … after rounds that do not count. */
export async function compete<Cell>(
  contenders: ReadonlyMap<string, Contender<Cell>>,
  cell: Cell,
  { rounds, warmUps }: { rounds: number; warmUps: number },
): Promise<Map<string, Round[]>> {
  const results = new Map<string, Round[]>();
  for (let i = -warmUps; i < rounds; i++) {
    const order = [...contenders];
    for (const [name, contender] of i % 2 === 0 ? order : order.reverse()) {
      const round = await contender.round(cell);
      if (i === 0) results.set(name, []);
      if (i >= 0) results.get(name)!.push(round);
    }
  }
  return results;
}

/** The row of two contenders that ran in the same rounds: one number of each round for each. */
export function row(
  cell: string,
  unit: string,
  ours: readonly number[],
  peerName: string,
  peer: readonly number[],
  target?: Target,
): Row {
  const ratios = ours.map((value, i) => value / peer[i]).sort((a, b) => a - b);
  const ratio = median(ratios);
  const rank = intervalRank(ratios.length);
  const numbers = { ratio, unit, low: ratios[rank], high: ratios[ratios.length - 1 - rank] };
  const result = { cell, ours: median(ours), peer: median(peer), peerName, ...numbers };
  return target === undefined ? result : judged(result, target);
}

/** A row with its target, and whether it met it. */
export function judged(row: Row, [bound, target]: Target): Row {
  return { ...row, target, bound, met: bound === "at least" ? row.ratio >= target : row.ratio <= target };
}

/** The middle of `values`. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

/**
 * How many of `n` sorted values may be cut off at each end so that the rest covers the median with 95% at least: every value lies
 * above or below it like a coin.
 */
export function intervalRank(n: number): number {
  let rank = 0;
  let probability = 0.5 ** n;
  for (let below = probability; 2 * below <= 0.05; rank++) {
    probability *= (n - rank) / (rank + 1);
    below += probability;
  }
  return Math.max(rank - 1, 0);
}
