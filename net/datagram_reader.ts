/**
 * The receive calls of one UDP socket, in the order of the calls.
 *
 * @module
 */
import type { Datagram, ReceivedDatagram } from "./datagram.ts";
import { MAX_DATAGRAMS } from "./datagram_inbox.ts";
import type { Endpoint } from "./endpoint.ts";
import { RingletError } from "./errors.ts";
import type { Lease } from "./lease.ts";
import { either } from "./on_abort.ts";
import { checkReceive, type WaitOptions } from "./tcp.ts";
import { integer, notAborted, options as checkOptions, shown } from "./validate.ts";

/** Options of the loop over what comes in. */
export interface DatagramsOptions extends WaitOptions {
  /** How many datagrams one system call brings at most, 1 to 64. Default 32. */
  batch?: number;
  /**
   * Size in bytes of the lease that each datagram gets; a longer one is truncated. Default 65,536, which every datagram and every
   * train fits into. Take less (2048 for what fits an Ethernet frame) when many datagrams are held at once.
   */
  leaseBytes?: number;
}

const DATAGRAMS_OPTIONS = ["batch", "leaseBytes", "signal"] as const satisfies (keyof DatagramsOptions)[];
const BATCH = 32;
const LEASE_BYTES = 65_536;

/** The arena has no room for what may have come. */
const NO_ROOM = Symbol("no room");

/** See the module. */
export class DatagramReader {
  readonly #endpoint: Endpoint;
  /** Read by loops that were ended before they came to them: whoever receives next gets them. */
  readonly #kept: ReceivedDatagram[] = [];

  constructor(endpoint: Endpoint) {
    this.#endpoint = endpoint;
    endpoint.closing.stopped.addEventListener("abort", () => giveBack(this.#kept.splice(0)));
  }

  /** See `UdpSocket.recv`. */
  async recv(lease: Lease, options: WaitOptions): Promise<Datagram> {
    const endpoint = this.#endpoint;
    const { inbox } = endpoint.hub;
    return await this.#fill([lease], options, (leases) => {
      const kept = this.#takeKept(leases);
      if (kept === undefined) return inbox.tryReceive(endpoint, leases) === undefined ? undefined : inbox.tell(0);
      const { lease: _lease, ...datagram } = kept[0];
      return datagram;
    });
  }

  /** See `UdpSocket.recvMany`. */
  async recvMany(leases: readonly Lease[], options: WaitOptions): Promise<ReceivedDatagram[]> {
    if (!Array.isArray(leases)) {
      throw new RingletError("ERR_INVALID_ARG", `leases must be an array of leases: current value is ${shown(leases)}`);
    }
    integer("leases.length", leases.length, 1, MAX_DATAGRAMS);
    // A copy, for the program may change its array meanwhile.
    return await this.#fill(leases.slice(), options, (leases) => this.#takeKept(leases) ?? this.#read(leases));
  }

  /** Lends leases to `attempt` until it answers. */
  async #fill<R>(
    leases: readonly Lease[],
    options: WaitOptions,
    attempt: (leases: readonly Lease[]) => R | undefined,
  ): Promise<R> {
    const endpoint = this.#endpoint;
    checkReceive(endpoint, leases, options);
    const { arena, engine } = endpoint.hub;
    return await endpoint.pending(async () => {
      let lent = 0;
      try {
        for (; lent < leases.length; lent++) arena.lend(leases[lent]);
        return await engine.attempt(endpoint, () => attempt(leases), options.signal);
      } finally {
        while (lent > 0) arena.handBack(leases[--lent]);
      }
    });
  }

  /** Reads from the kernel into the first of `leases`; `undefined` when there is nothing. */
  #read(leases: readonly Lease[]): ReceivedDatagram[] | undefined {
    const { inbox } = this.#endpoint.hub;
    const count = inbox.tryReceive(this.#endpoint, leases);
    if (count === undefined) return undefined;
    const datagrams = new Array<ReceivedDatagram>(count);
    for (let i = 0; i < count; i++) datagrams[i] = inbox.tellWith(leases[i], i);
    return datagrams;
  }

  /** Moves what a loop had read into the first of `leases`; `undefined` when there is nothing. */
  #takeKept(leases: readonly Lease[]): ReceivedDatagram[] | undefined {
    if (this.#kept.length === 0) return undefined;
    const kept = this.#kept.splice(0, leases.length);
    const moved = kept.map((datagram, i) => {
      const [from, lease] = [datagram.lease, leases[i]];
      const bytes = Math.min(datagram.bytes, lease.byteLength);
      lease.arena.bytes.copyWithin(lease.offset, from.offset, from.offset + bytes);
      return { ...datagram, lease, bytes, truncated: datagram.truncated || bytes < datagram.bytes };
    });
    giveBack(kept);
    return moved;
  }

  /** See `UdpSocket.datagrams`. */
  datagrams(options: DatagramsOptions): AsyncIterableIterator<ReceivedDatagram> {
    const endpoint = this.#endpoint;
    const { batch = BATCH, signal } = checkOptions("options", options, DATAGRAMS_OPTIONS);
    const arenaBytes = endpoint.hub.arena.bytes.length;
    const leaseBytes = options.leaseBytes ?? Math.min(LEASE_BYTES, arenaBytes);
    integer("batch", batch, 1, MAX_DATAGRAMS);
    integer("leaseBytes", leaseBytes, 1, arenaBytes);
    notAborted(signal);
    endpoint.requireOpen();
    const { stopped } = endpoint.closing;
    return this.#loop(batch, leaseBytes, either(signal, stopped));
  }

  async *#loop(batch: number, leaseBytes: number, ended: AbortSignal): AsyncIterableIterator<ReceivedDatagram> {
    let wanted = 1;
    while (!ended.aborted) {
      let datagrams: ReceivedDatagram[];
      try {
        datagrams = await this.#endpoint.pending(() => this.#next(wanted, leaseBytes, ended));
      } catch (error) {
        if (ended.aborted) return;
        throw error;
      }
      // As many leases as may be needed, and not many more: those that are not go back.
      wanted = Math.min(datagrams.length * 2, batch);
      let at = 0;
      try {
        while (at < datagrams.length && !ended.aborted) yield datagrams[at++];
      } finally {
        if (at < datagrams.length) this.#keep(datagrams.slice(at));
      }
    }
  }

  /** What comes next, in leases of its own. They are taken when there may be something, so that idle loops hold none. */
  async #next(wanted: number, leaseBytes: number, ended: AbortSignal): Promise<ReceivedDatagram[]> {
    const endpoint = this.#endpoint;
    const { arena, engine } = endpoint.hub;
    let room: Lease | undefined;
    const attempt = () => {
      if (this.#kept.length > 0) return this.#kept.splice(0);
      const first = room ?? arena.tryLease(leaseBytes);
      room = undefined;
      if (first === undefined) return NO_ROOM;
      const leases = [first];
      for (let next; leases.length < wanted && (next = arena.tryLease(leaseBytes)) !== undefined;) leases.push(next);
      let datagrams: ReceivedDatagram[] | undefined;
      try {
        return datagrams = this.#read(leases);
      } finally {
        for (let i = datagrams?.length ?? 0; i < leases.length; i++) leases[i].release();
      }
    };
    try {
      for (;;) {
        const found = await engine.attempt(endpoint, attempt, ended);
        if (found !== NO_ROOM) return found;
        room = await arena.lease(leaseBytes, { signal: ended });
      }
    } finally {
      room?.release();
    }
  }

  /** Nothing that was read is lost, as long as the socket is open. */
  #keep(datagrams: ReceivedDatagram[]): void {
    if (this.#endpoint.closing.begun) return giveBack(datagrams);
    this.#kept.push(...datagrams);
    this.#endpoint.readers.serve((attempt) => attempt());
  }
}

function giveBack(datagrams: readonly ReceivedDatagram[]): void {
  for (const { lease } of datagrams) lease.release();
}
