/**
 * One `open()` of a command, with everything its closing table tells.
 *
 * @module
 */
import process from "node:process";
import { type Io, type Lease, open, type Receipt } from "../mod.ts";
import { CommandError } from "./failure.ts";
import type { OptionValues } from "./options.ts";
import { Outbox } from "./outbox.ts";

/** What one side of a transfer did. */
export interface Leg {
  engine: string;
  reason: string;
  /** Bytes of files that went out or came in. */
  bytes: number;
  sends: number;
  /** Loans begun and ended, and those that have not. */
  lent: number;
  released: number;
  inFlight: number;
  /** Sends that the kernel copied, and those that it read in place. */
  copied: number;
  notCopied: number;
  /** The most loans, and bytes lent, there were at once. */
  maxInFlight: number;
  maxInFlightBytes: number;
  seconds: number;
  /** Processor time of this process for each 10⁹ bytes, hashing and files included; null when there were no bytes. */
  cpuSecondsPerGB: number | null;
}

/** The hashes of both ends, as far as they are known. */
export interface Hashes {
  sha256Sent: string | null;
  sha256Received: string | null;
}

/** What a {@linkcode Run} takes of the options. */
export type RunOptions = Pick<OptionValues, "engine" | "arena" | "zero-copy">;

/** See the module. */
export class Run {
  readonly io: Io;
  /** Bytes of files that went out or came in so far. */
  bytes = 0;
  readonly #outboxes: Outbox[] = [];
  #seconds = 0;
  #cpuSeconds = 0;

  private constructor(io: Io) {
    this.io = io;
  }

  /** Opens an arena and an engine. */
  static async open({ engine, arena, "zero-copy": zeroCopy }: RunOptions): Promise<Run> {
    return new Run(await open({ engine, arenaBytes: arena, zeroCopy }));
  }

  /** Starts the clock, which stops when the answer is disposed of. */
  clock(): Disposable {
    const startedMs = performance.now();
    const startedCpu = process.cpuUsage();
    return {
      [Symbol.dispose]: () => {
        const { user, system } = process.cpuUsage(startedCpu);
        this.#cpuSeconds = (user + system) / 1e6;
        this.#seconds = (performance.now() - startedMs) / 1000;
      },
    };
  }

  /** An outbox whose sends this run counts. */
  outbox(
    post: (lease: Lease) => Promise<Receipt>,
    signal: AbortSignal,
    onAccepted: (bytes: number) => void = () => {},
  ): Outbox {
    const outbox = new Outbox(this.io, post, signal, onAccepted);
    this.#outboxes.push(outbox);
    return outbox;
  }

  /** Does `work` and closes, at once if it fails; answers the failure. */
  async during(work: () => Promise<void>): Promise<unknown> {
    try {
      await work();
      await this.io.close();
      await this.#settled();
      const { lent, released, inFlight } = this.io.stats();
      if (lent === released && inFlight === 0) return undefined;
      return new CommandError("differs", `${lent} loans were lent, ${released} came back, ${inFlight} are in flight`);
    } catch (error) {
      await this.io.close({ deadlineMs: 0 });
      await this.#settled().catch(() => {}); // `error` is what stopped them
      return error ?? new CommandError("failed", "Failed without a reason");
    }
  }

  async #settled(): Promise<void> {
    for (const outbox of this.#outboxes) await outbox.settled();
  }

  /** What was done until {@linkcode during} ended. */
  leg(): Leg {
    const { sends, lent, released, inFlight, maxInFlight, maxInFlightBytes } = this.io.stats();
    const sum = (of: (outbox: Outbox) => number) => this.#outboxes.reduce((total, outbox) => total + of(outbox), 0);
    return {
      engine: this.io.engine.name,
      reason: this.io.engine.reason,
      bytes: this.bytes,
      sends,
      lent,
      released,
      inFlight,
      copied: sum((outbox) => outbox.copied),
      notCopied: sum((outbox) => outbox.notCopied),
      maxInFlight,
      maxInFlightBytes,
      seconds: rounded(this.#seconds),
      cpuSecondsPerGB: this.bytes === 0 ? null : rounded(this.#cpuSeconds / (this.bytes / 1e9)),
    };
  }
}

/** To four digits after the point. */
function rounded(value: number): number {
  return Math.round(value * 1e4) / 1e4;
}
