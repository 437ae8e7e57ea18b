/**
 * What the parts of one `open()` share: the two memories, the engine, the sends in flight, and when the kernel is entered.
 *
 * @module
 */
import { setImmediate } from "node:timers";
import type { System } from "../ffi/system.ts";
import { type Core, layout } from "../wasm/mod.ts";
import type { Arena } from "./arena.ts";
import type { DatagramInbox } from "./datagram_inbox.ts";
import type { Endpoint } from "./endpoint.ts";
import type { Engine } from "./engine.ts";
import type { ErrorQueue } from "./error_queue.ts";
import { closedError } from "./errors.ts";
import { BatchSends } from "./batch_sends.ts";
import type { SendFailure, SendOwner } from "./promised_send.ts";
import { Waiters } from "./waiters.ts";
import type { ZeroCopyMode } from "./zerocopy_policy.ts";

const { EVENT, EVENT_BYTES, SEND } = layout;

/** The other tasks of the event loop get their turn at least this often. */
const TURN_MS = 1;

/** Settings of an `open()` that its sockets follow. */
export interface HubSettings {
  readonly maxSends: number;
  /** Segments that a train may have. */
  readonly maxSegments: number;
  readonly zeroCopy: ZeroCopyMode;
  readonly zeroCopyThresholdBytes: number;
}

/** See the module. */
export class Hub {
  readonly endpoints: Set<Endpoint> = new Set();
  /** Closed sockets whose loans the kernel still holds; their descriptors stay open. */
  readonly quarantine: Set<Endpoint> = new Set();
  readonly batch: BatchSends;
  /** Sends that wait for a free record: each is an attempt, which answers `undefined` while there is none. */
  readonly recordWaiters: Waiters<() => true | undefined, true> = new Waiters();
  /** Those who wait for something to reap. */
  readonly reapers: Waiters<void, true> = new Waiters();
  readonly #owners: (SendOwner | undefined)[] = [];
  /** Which of its owner's each send is. */
  readonly #places: Uint32Array;
  /** Sockets by their place in the core. */
  readonly sockets: (Endpoint | undefined)[] = [];
  /** Sockets whose end waits for their sends. */
  readonly ending: Set<Endpoint> = new Set();
  /** Sockets whose operations do not keep the process alive. */
  readonly unreferenced: Set<Endpoint> = new Set();
  #dirty: Endpoint[] = [];
  #resumed: Endpoint[] = [];
  #scheduled = false;
  #lastTurn = performance.now();
  /** Operations besides sends that keep the process alive. */
  #refs = 0;
  #ref = false;
  #unrefSoon = false;
  readonly #closed = new AbortController();
  engine!: Engine;
  /** How every engine receives datagrams. */
  inbox!: DatagramInbox;
  /** How every engine reads error queues. */
  errorQueue!: ErrorQueue;

  constructor(
    readonly system: System,
    readonly core: Core,
    readonly arena: Arena,
    readonly settings: HubSettings,
  ) {
    this.batch = new BatchSends(core, settings.maxSends);
    this.#places = new Uint32Array(settings.maxSends);
  }

  /** Aborted when the io closes: nothing new may come to it. */
  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  /** The io closes. */
  close(): void {
    this.#closed.abort(closedError("io"));
  }

  /** Puts a send that is in its socket's queue under an owner. */
  own(slot: number, owner: SendOwner, place: number): void {
    this.#owners[slot] = owner;
    this.#places[slot] = place;
  }

  /** Marks a socket whose queue has something for the kernel. */
  touch(endpoint: Endpoint): void {
    if (!this.#ref) this.#keepAlive();
    if (endpoint.dirty) return;
    endpoint.dirty = true;
    this.#dirty.push(endpoint);
  }

  /** Lets a socket go on with its queue, once all that is known now was told. */
  resume(endpoint: Endpoint): void {
    this.#resumed.push(endpoint);
  }

  /** Enters the kernel once this task is done, so that sends made together go together. */
  schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    const run = () => {
      this.#scheduled = false;
      this.flush();
    };
    if (this.turnIsDue()) this.#nextTurn(run);
    else queueMicrotask(run);
  }

  /** Whether promises alone have kept the event loop busy for long. */
  turnIsDue(): boolean {
    return performance.now() - this.#lastTurn > TURN_MS;
  }

  /** `value`, after the other tasks of the event loop had their turn if that is due. */
  inTurn<T>(value: T): Promise<T> {
    if (!this.turnIsDue()) return Promise.resolve(value);
    return new Promise((resolve) => this.#nextTurn(() => resolve(value)));
  }

  #nextTurn(run: () => void): void {
    setImmediate(() => {
      this.turned();
      run();
    });
  }

  /** The event loop came round. */
  turned(): void {
    this.#lastTurn = performance.now();
  }

  /** Hands the kernel what is queued. Answers how many sockets had something. */
  flush(): number {
    const dirty = this.#dirty;
    this.#dirty = [];
    for (const endpoint of dirty) {
      endpoint.dirty = false;
      this.engine.submit(endpoint);
    }
    this.engine.commit();
    this.dispatch();
    return dirty.length;
  }

  /** Tells the owners what the core has learnt, and serves those who wait for what became free. */
  dispatch(): void {
    const { raw, u32, out } = this.core;
    do {
      for (let n = raw.events_ready(); n > 0; n = raw.events_ready()) {
        let at = u32[out] >>> 2;
        for (let i = 0; i < n; i++, at += EVENT_BYTES / 4) {
          this.#tell(u32[at], u32[at + 1], u32[at + 2], u32[at + 3]);
        }
        raw.events_take(n);
      }
      const resumed = this.#resumed;
      this.#resumed = [];
      for (const endpoint of resumed) this.engine.submit(endpoint);
    } while (this.engine.commit());
    this.serve();
    if (this.reapers.size > 0) this.reapers.serve(() => this.batch.ready || undefined);
    if (this.#ref) this.#keepAlive();
    for (const endpoint of this.ending) endpoint.closing.sendsEnded();
  }

  #tell(kind: number, slot: number, generation: number, value: number): void {
    if (kind === EVENT.ACCEPTED) this.#owners[slot]!.accepted(this.#places[slot]);
    else if (kind === EVENT.RELEASED) this.#disown(slot)!.released(value !== 0);
    else this.engine.event(kind, slot, generation, value);
  }

  /** The socket of a send that has not ended. */
  endpointOfSend(slot: number): Endpoint {
    return this.sockets[this.sendField(slot, SEND.SOCKET)]!;
  }

  /** A field of a send's record, by its offset in bytes. */
  sendField(slot: number, offset: number): number {
    const { u32, regions } = this.core;
    return u32[(regions.SENDS + slot * SEND.BYTES + offset) / 4];
  }

  #disown(slot: number): SendOwner | undefined {
    const owner = this.#owners[slot];
    this.#owners[slot] = undefined;
    return owner;
  }

  /** Tells the owner of a send why it failed; those of the batch calls have none. It is over if nothing was accepted. */
  failed(slot: number, failure: SendFailure, bytesAccepted: number, whole: boolean): void {
    if (whole) this.#disown(slot)?.refused(failure, this.#places[slot]);
    else this.#owners[slot]?.failed(failure, bytesAccepted, this.#places[slot]);
  }

  /** Memory or records may have become free. */
  serve(): void {
    this.arena.serve();
    if (this.recordWaiters.size > 0) this.recordWaiters.serve((attempt) => attempt());
  }

  // Work that keeps the process alive

  /** Counts operations besides sends; those the core counts. */
  addRefs(n: number): void {
    this.#refs += n;
    this.#keepAlive();
  }

  #keepAlive(): void {
    if (this.#pending() === this.#ref) return;
    if (this.#ref) {
      // Mostly the next operation follows at once.
      if (!this.#unrefSoon) setImmediate(() => this.#unref());
      this.#unrefSoon = true;
    } else {
      this.#ref = true;
      this.engine.setRef(true);
    }
  }

  #pending(): boolean {
    let pending = this.#refs + this.core.u32[this.core.regions.SENDS_OUT / 4];
    for (const endpoint of this.unreferenced) pending -= endpoint.inFlight;
    return pending > 0;
  }

  #unref(): void {
    this.#unrefSoon = false;
    if (this.#pending()) return;
    this.#ref = false;
    this.engine.setRef(false);
  }
}
