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

/** A checked datagram of many. */
export type Outgoing =
  & { readonly data: SendData | readonly SendData[] }
  & ({ readonly part: Part; readonly header: Header | undefined } | { readonly send: () => Promise<Receipt> });

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
    const places = this.#placesOf(batch);
    const repeated = [...places].filter(([, places]) => places.length > 1);
    const consumed = repeated.filter(([lease]) => arena.unconsumed(lease));
    // Until all their sends have begun.
    const endPledge = arena.pledge(repeated.map(([lease]) => lease));
    const many = new Many(this.#endpoint, batch.length, signal);
    let next = 0;
    const begin = (): true | undefined => {
      for (; next < batch.length; next++) if (!this.#start(many, next, batch[next], signal)) return undefined;
      return true;
    };
    let begun: Promise<void> | undefined;
    if (recordWaiters.size === 0 && begin()) {
      endPledge();
    } else {
      const waiting = [...places].filter(([, places]) => places.length === 1 && places[0] >= next);
      const endWait = arena.pledge(waiting.map(([lease]) => lease));
      begun = sends.awaitRecord(begin, signal).catch((reason) => {
        for (; next < batch.length; next++) many.failed(next, reason);
      }).then(() => {
        endPledge();
        endWait();
      });
    }
    const receipt = begun === undefined ? many.receipt : begun.then(() => many.receipt);
    return consumed.length === 0 ? receipt : receipt.then((receipt) => this.#consume(consumed, receipt));
  }

  /** Starts one send; `false` when no record is free. */
  #start(many: Many, i: number, outgoing: Outgoing, signal: AbortSignal | undefined): boolean {
    try {
      if ("send" in outgoing) {
        many.follow(i, outgoing.send());
      } else if (this.#turns.busy) {
        const { part: { lease, offset, byteLength }, header } = outgoing;
        many.follow(i, this.#turns.send(lease, header, { offset, byteLength, signal }));
      } else {
        const { part, header } = outgoing;
        const owner = new OneOfMany(many, i, part.byteLength);
        return this.#endpoint.sends.tryNow(part, header, signal, owner) === true;
      }
    } catch (error) {
      many.failed(i, error);
    }
    return true;
  }

  /** Where in the batch each lease is. */
  #placesOf(batch: readonly Outgoing[]): Map<Lease, number[]> {
    const { arena } = this.#endpoint.hub;
    const places = new Map<Lease, number[]>();
    for (const [i, { data }] of batch.entries()) {
      for (const lease of leasesIn(data)) {
        const known = places.get(lease);
        if (known !== undefined) known.push(i);
        else if (arena.claimed(lease)) places.set(lease, [i]);
        else throw lease.notHeld("send");
      }
    }
    return places;
  }

  /** The first send of a lease has its own claim. Where that one was refused and gave it back, the others still have consumed it. */
  #consume(consumed: readonly (readonly [Lease, number[]])[], receipt: BatchReceipt): BatchReceipt {
    const { arena } = this.#endpoint.hub;
    for (const [lease, places] of consumed) {
      const taken = places.some((i) => receipt.bytes[i] > 0 || !receipt.errors.has(i));
      if (taken && arena.unconsumed(lease)) lease.release();
    }
    return receipt;
  }
}

function leasesIn(data: SendData | readonly SendData[]): readonly Lease[] {
  if (data instanceof Lease) return [data];
  return Array.isArray(data) ? data.filter((part) => part instanceof Lease) : [];
}

/** The datagrams of one call. */
class Many {
  readonly #endpoint: Endpoint;
  readonly #signal: AbortSignal | undefined;
  readonly #bytes: Uint32Array;
  readonly #errors = new Map<number, unknown>();
  readonly #answered = Promise.withResolvers<BatchReceipt>();
  readonly #released = Promise.withResolvers<Release>();
  /** Sends that can be given up, by their place. */
  readonly #queued = new Map<number, Handle>();
  readonly #stopListening: (() => void) | undefined;
  #accepted = 0;
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
      this.accepted(i, bytes);
    }, (error) => {
      const part = error instanceof RingletError ? error.released as Promise<Release> | undefined : undefined;
      part?.then(({ copied }) => this.released(copied));
      this.failed(i, error, part && error.bytesAccepted);
    });
  }

  queued(i: number, id: Handle): void {
    this.#queued.set(i, id);
  }

  #giveUp(): void {
    this.#endpoint.sends.giveUp([...this.#queued.values()], this.#signal!.reason);
  }

  accepted(i: number, bytes: number): void {
    this.#accepted += 1;
    this.#bytes[i] = bytes;
    this.#unreleased += 1;
    this.#end(i);
  }

  /** @param bytesAccepted Given when a part was accepted, whose release follows. */
  failed(i: number, error: unknown, bytesAccepted?: number): void {
    this.#errors.set(i, error);
    if (bytesAccepted !== undefined) {
      this.#bytes[i] = bytesAccepted;
      this.#unreleased += 1;
    }
    this.#end(i);
  }

  /** The kernel gave up a send, or refused it. */
  refused(i: number, bytes: number, failure: SendFailure, bytesAccepted?: number): void {
    const part = bytesAccepted === undefined ? undefined : { bytes: bytesAccepted, released: this.#released.promise };
    this.failed(i, sendError(this.#endpoint, bytes, failure, this.#signal, part), bytesAccepted);
  }

  #end(i: number): void {
    if (this.#signal !== undefined) this.#queued.delete(i);
    this.#unanswered -= 1;
    if (this.#unanswered === 0) this.#finish();
  }

  #finish(): void {
    this.#stopListening?.();
    const [accepted, bytes, errors] = [this.#accepted, this.#bytes, this.#errors];
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

/** The owner of one send of many. */
class OneOfMany implements SendOwner {
  readonly #many: Many;
  readonly #place: number;
  readonly #bytes: number;

  constructor(many: Many, place: number, bytes: number) {
    this.#many = many;
    this.#place = place;
    this.#bytes = bytes;
  }

  abortWith(_signal: AbortSignal, id: Handle): void {
    this.#many.queued(this.#place, id);
  }

  accepted(): void {
    this.#many.accepted(this.#place, this.#bytes);
  }

  released(copied: boolean): void {
    this.#many.released(copied);
  }

  refused(failure: SendFailure): void {
    this.#many.refused(this.#place, this.#bytes, failure);
  }

  failed(failure: SendFailure, bytesAccepted: number): void {
    this.#many.refused(this.#place, this.#bytes, failure, bytesAccepted);
  }
}
