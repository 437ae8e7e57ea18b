/**
 * Contests: contenders that send the same payloads in turn, and the pairs of them that become rows.
 *
 * @module
 */
import { contender, deno, type Destination, type Job, Lines, type Task } from "./child.ts";
import { sendersOf, type Transport, travellers } from "./contenders.ts";
import { compete, type Contender, judged, type Metric, type Row, row, SPEED, type Target } from "./measure.ts";
import { addUnsegmented } from "./namespace.ts";
import type { BenchOptions } from "./options.ts";

/** One who takes part: a contender and how it is set up. */
export interface Entrant {
  /** Its name in this contest. */
  readonly label: string;
  /** Its name among all contenders. */
  readonly name: string;
  readonly depth: number;
  readonly sockets: number;
}

/** Two entrants, by label, and what of them is compared. */
export type Pair = readonly [ours: string, peer: string, metric: Metric, target?: Target];

/** Rounds of one kind, and what they tell; pairs with an entrant that is not there are left out. */
export interface Match {
  readonly suffix?: string;
  /** Payloads are written off the clock, unless this says otherwise. */
  readonly writing?: Task["writing"];
  /** So many payloads take turns, instead of all. */
  readonly payloads?: number;
  readonly pairs: readonly Pair[];
}

/** See the module. */
export interface Contest {
  readonly label: string;
  readonly transport: Transport;
  readonly payloadBytes: number;
  readonly payloads: number;
  /** Payloads are trains of datagrams of so many bytes. */
  readonly segmentBytes?: number;
  /** Each payload goes to so many ports. */
  readonly destinations?: number;
  /** The device takes no trains. */
  readonly unsegmented?: boolean;
  /** Messages go to an echo, one at a time. */
  readonly trips?: boolean;
  readonly entrants: readonly Entrant[];
  readonly matches: readonly Match[];
  /** Whom the chart shows all others beside. */
  readonly chartedAgainst?: string;
  /** A row that tells how much the pairs' ratios differ. */
  readonly spread?: readonly [name: string, Target];
}

/** Starts the entrants and runs the matches one after another. */
export async function run(contest: Contest, options: BenchOptions): Promise<Row[]> {
  const { label, transport, trips } = contest;
  const device = contest.unsegmented && options.device !== undefined ? addUnsegmented() : options.device;
  if (transport === "udp" && device === undefined) return [];
  const commands = trips ? await travellers() : await sendersOf(transport, options.ceiling);
  const contenders = new Map<string, Contender<Task>>();
  const rows: Row[] = [];
  try {
    for (const entrant of contest.entrants) {
      const command = commands.get(entrant.name);
      const job: Job = { ...contest, depth: entrant.depth, sockets: entrant.sockets };
      const started = command &&
        (transport === "udp"
          ? await contender(command, device!, job)
          : await withReceiver(job, trips, (to) => contender(command, to, job)));
      if (started !== undefined) contenders.set(entrant.label, started);
    }
    for (const [i, match] of contest.matches.entries()) {
      const { suffix = "", writing = "before", payloads = contest.payloads } = match;
      const warmUps = i === 0 ? options.warmUps : 1;
      const results = await compete(contenders, { ...options, writing, payloads }, { ...options, warmUps });
      const compare = (ours: string, peer: string, metric: Metric, target?: Target): Row | undefined => {
        const [mine, theirs] = [results.get(ours), results.get(peer)];
        if (mine === undefined || theirs === undefined) return undefined;
        const cell = `${label}${suffix}: ${ours}`;
        return row(cell, metric.unit, mine.map(metric.of), peer, theirs.map(metric.of), target);
      };
      const compared = match.pairs.map((pair) => compare(...pair)).filter((row) => row !== undefined);
      rows.push(...compared);
      if (contest.spread !== undefined && compared.length > 1) rows.push(spread(label, compared, contest.spread));
      const { chartedAgainst } = contest;
      if (chartedAgainst === undefined) continue;
      const charted = [...contenders.keys()].map((name) => compare(name, chartedAgainst, SPEED));
      rows.push(...charted.filter((row) => row !== undefined).map((row) => ({ ...row, chart: true })));
    }
  } finally {
    for (const contender of contenders.values()) await contender.close();
  }
  return rows;
}

/** Starts a contender with a receiver of its own, which ends with it. */
async function withReceiver(
  { payloadBytes, payloads }: Job,
  trips: boolean | undefined,
  start: (to: Destination) => Promise<Contender<Task> | undefined>,
): Promise<Contender<Task> | undefined> {
  const sizes = trips ? [payloadBytes, payloadBytes] : [payloads * payloadBytes, 1];
  const sink = new Lines(deno("sink.ts", sizes.map(String)));
  const started = await start({ hostname: "127.0.0.1", port: Number(await sink.next()) });
  if (started === undefined) return void await sink.close();
  return {
    round: (task) => started.round(task),
    close: async () => {
      await started.close();
      await sink.close();
    },
  };
}

/** The largest of the ratios beside the smallest. */
function spread(label: string, rows: readonly Row[], [name, target]: readonly [string, Target]): Row {
  const ratios = rows.map(({ ratio }) => ratio).sort((a, b) => a - b);
  const [ours, peer] = [ratios[ratios.length - 1], ratios[0]];
  const cell = `${label}: largest of ${name}`;
  return judged({ cell, ours, peer, peerName: "smallest", ratio: ours / peer, unit: "" }, target);
}
