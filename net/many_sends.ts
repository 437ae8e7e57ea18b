/**
 * Many datagrams at once: one entry into the kernel, one promise, and what became of each.
 *
 * @module
 */
import type { Handle } from "../wasm/mod.ts";
import type { Endpoint } from "./endpoint.ts";
import { RingletError } from "./errors.ts";
import { Lease } from "./lease.ts";
import { onAbort } from "./on_abort.ts";
import { sendError, type SendFailure, type SendOwner } from "./promised_send.ts";
import { type Receipt, type Release, release } from "./receipt.ts";
import type { Header, Part } from "./send_queue.ts";
import type { SendData, SendTurns } from "./send_turns.ts";

/** What became of many datagrams. */
export interface BatchReceipt {
  /** How many of them the kernel accepted whole. */
  readonly accepted: number;
  /** Bytes that it accepted of each, in the order of the batch. */
  readonly bytes: Uint32Array;
  /** Why the others failed, by their place in the batch; their leases are the program's again, unless a part was accepted. */
  readonly errors: ReadonlyMap<number, unknown>;
  /** Resolves when the kernel has let go of all that it accepted; `copied` when it copied any of it. Never rejects. */
  readonly released: Promise<Release>;
}

/** A checked datagram of many: a part of a lease that goes where it is known to go, or what somebody else sends. */
export type Outgoing =
  & { readonly data: SendData | readonly SendData[] }
  & (
    | { readonly part: Part; readonly header: Header | undefined }
    | { readonly part: undefined; readonly send: (use: Use) => Promise<Receipt> }
  );

/** Runs what uses the leases of the batch, which are pledged to its sends, later than in the call of `send`. */
export type Use = <T>(send: () => T) => T;

/** Where a lease is in a batch. */
interface Uses {
  readonly first: number;
  count: number;
}

/** See the module. */
export class ManySends {
  readonly #endpoint: Endpoint;
  readonly #turns: SendTurns;

  constructor(endpoint: Endpoint, turns: SendTurns) {
    this.#endpoint = endpoint;
    this.#turns = turns;
  }

  /** Sends all of `batch`; what finds no record free goes on, all of it in one turn, when there are some. */
  send(batch: readonly Outgoing[], signal: AbortSignal | undefined): Promise<BatchReceipt> {
    const { sends, hub: { arena, recordWaiters } } = this.#endpoint;
    const uses = [...this.#usesOf(batch)];
    const leasesOf = (uses: readonly (readonly [Lease, Uses])[]) => uses.map(([lease]) => lease);
    // What goes out several times stays here until it is known what became of each; what goes once, until it has begun.
    const repeated = leasesOf(uses.filter(([, { count }]) => count > 1));
    const consumed = repeated.filter((lease) => arena.unconsumed(lease));
    const endPledge = arena.pledge(repeated);
    let pledged = repeated;
    const use: Use = (send) => arena.redeem(pledged, send);
    const many = new Many(this.#endpoint, batch.length, signal);
    let next = 0;
    const begin = (): true | undefined => {
      for (; next < batch.length; next++) if (!this.#start(many, next, batch[next], use, signal)) return undefined;
      return true;
    };
    let begun: Promise<void> | undefined;
    if (recordWaiters.size > 0 || !use(begin)) {
      const waiting = leasesOf(uses.filter(([, { count, first }]) => count === 1 && first >= next));
      const endWait = arena.pledge(waiting);
      pledged = [...repeated, ...waiting];
      begun = sends.awaitRecord(() => use(begin), signal).catch((reason) => {
        for (; next < batch.length; next++) many.fail(next, reason);
      }).then(() => {
        pledged = repeated;
        endWait();
      });
    }
    const answered = begun === undefined ? many.receipt : begun.then(() => many.receipt);
    if (repeated.length === 0) return answered;
    return answered.then((receipt) => {
      endPledge();
      this.#consume(consumed, batch, receipt);
      return receipt;
    });
  }

  /** Starts one send; `false` when no record is free. */
  #start(many: Many, i: number, outgoing: Outgoing, use: Use, signal: AbortSignal | undefined): boolean {
    try {
      if (outgoing.part === undefined) {
        many.follow(i, outgoing.send(use));
      } else if (this.#turns.busy) {
        const { part: { lease, offset, byteLength }, header } = outgoing;
        many.follow(i, this.#turns.send(lease, header, { offset, byteLength, signal }));
      } else {
        const { part, header } = outgoing;
        many.expect(i, part.byteLength);
        return this.#endpoint.sends.tryNow(part, header, signal, many, i) === true;
      }
    } catch (error) {
      many.fail(i, error);
    }
    return true;
  }

  /** Where in the batch each lease is. */
  #usesOf(batch: readonly Outgoing[]): Map<Lease, Uses> {
    const { arena } = this.#endpoint.hub;
    const found = new Map<Lease, Uses>();
    let last: Lease | undefined, uses: Uses | undefined; // mostly the same lease again
    for (let i = 0; i < batch.length; i++) {
      for (const lease of leasesIn(batch[i].data)) {
        if (lease !== last) [last, uses] = [lease, found.get(lease)];
        if (uses === undefined) {
          if (!arena.claimed(lease)) throw lease.notHeld("send");
          found.set(lease, uses = { first: i, count: 0 });
        }
        uses.count += 1;
      }
    }
    return found;
  }

  /** The first send of a lease has its own claim. Where that one was refused and gave it back, the others still have consumed it. */
  #consume(consumed: readonly Lease[], batch: readonly Outgoing[], receipt: BatchReceipt): void {
    const { arena } = this.#endpoint.hub;
    const taken = (i: number) => receipt.bytes[i] > 0 || !receipt.errors.has(i);
    for (const lease of consumed) {
      const went = batch.some(({ data }, i) => taken(i) && leasesIn(data).includes(lease));
      if (went) arena.consume(lease);
    }
  }
}

function leasesIn(data: SendData | readonly SendData[]): readonly Lease[] {
  if (data instanceof Lease) return [data];
  return Array.isArray(data) ? data.filter((part) => part instanceof Lease) : [];
}

/** The datagrams of one call, each at its place in the batch. */
class Many implements SendOwner {
  readonly #endpoint: Endpoint;
  readonly #signal: AbortSignal | undefined;
  /** Of each what the kernel accepted; until that is known, what it would have to. */
  readonly #bytes: Uint32Array;
  readonly #errors = new Map<number, unknown>();
  readonly #answered = Promise.withResolvers<BatchReceipt>();
  readonly #released = Promise.withResolvers<Release>();
  /** Sends that can be given up, by their place. */
  readonly #queued = new Map<number, Handle>();
  readonly #stopListening: (() => void) | undefined;
  #unanswered: number;
  #unreleased = 0;
  #copied = false;

  constructor(endpoint: Endpoint, count: number, signal: AbortSignal | undefined) {
    this.#endpoint = endpoint;
    this.#signal = signal;
    this.#bytes = new Uint32Array(count);
    this.#unanswered = count;
    this.#stopListening = signal && onAbort(signal, () => this.#giveUp());
    if (count === 0) this.#finish();
  }

  /** Resolves when it is known what became of all. */
  get receipt(): Promise<BatchReceipt> {
    return this.#answered.promise;
  }

  /** Takes what becomes of a send with a promise of its own. */
  follow(i: number, sent: Promise<Receipt>): void {
    sent.then(({ bytes, released }) => {
      released.then(({ copied }) => this.released(copied));
      this.expect(i, bytes);
      this.accepted(i);
    }, (error) => {
      const part = error instanceof RingletError ? error.released as Promise<Release> | undefined : undefined;
      part?.then(({ copied }) => this.released(copied));
      this.fail(i, error, part && error.bytesAccepted);
    });
  }

  /** One begins. */
  expect(i: number, bytes: number): void {
    this.#bytes[i] = bytes;
  }

  abortWith(_signal: AbortSignal, id: Handle, i: number): void {
    this.#queued.set(i, id);
  }

  #giveUp(): void {
    this.#endpoint.sends.giveUp([...this.#queued.values()], this.#signal!.reason);
  }

  accepted(i: number): void {
    this.#unreleased += 1;
    this.#end(i);
  }

  /** @param bytesAccepted Given when a part was accepted, whose release follows. */
  fail(i: number, error: unknown, bytesAccepted?: number): void {
    this.#errors.set(i, error);
    this.#bytes[i] = bytesAccepted ?? 0;
    if (bytesAccepted !== undefined) this.#unreleased += 1;
    this.#end(i);
  }

  refused(failure: SendFailure, i: number): void {
    this.fail(i, sendError(this.#endpoint, this.#bytes[i], failure, this.#signal));
  }

  failed(failure: SendFailure, bytesAccepted: number, i: number): void {
    const part = { bytes: bytesAccepted, released: this.#released.promise };
    this.fail(i, sendError(this.#endpoint, this.#bytes[i], failure, this.#signal, part), bytesAccepted);
  }

  #end(i: number): void {
    if (this.#signal !== undefined) this.#queued.delete(i);
    this.#unanswered -= 1;
    if (this.#unanswered === 0) this.#finish();
  }

  #finish(): void {
    this.#stopListening?.();
    const [bytes, errors] = [this.#bytes, this.#errors];
    const accepted = bytes.length - errors.size;
    this.#answered.resolve({ accepted, bytes, errors, released: this.#released.promise });
    this.#release();
  }

  released(copied: boolean): void {
    this.#copied ||= copied;
    this.#unreleased -= 1;
    this.#release();
  }

  #release(): void {
    if (this.#unanswered + this.#unreleased === 0) this.#released.resolve(release(this.#copied));
  }
}
