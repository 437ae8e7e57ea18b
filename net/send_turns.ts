/**
 * Sends of whatever users pass in, in the order of the calls: leases go straight to the endpoint; bytes are copied into leases
 * first, which may have to wait for room.
 *
 * @module
 */
import type { Endpoint } from "./endpoint.ts";
import { RingletError } from "./errors.ts";
import { Lease } from "./lease.ts";
import { either } from "./on_abort.ts";
import { type Receipt, type Release, release } from "./receipt.ts";
import type { Header, Part } from "./send_queue.ts";
import { integer, NO_OPTIONS, notAborted } from "./validate.ts";
import { unlessAborted, Waiters } from "./waiters.ts";

/** What can be sent: a lease, which the send consumes, or bytes, which are copied into one. */
export type SendData = Lease | Uint8Array;

/** Options of every send. */
export interface SendOptions {
  /** Start of the range of a single lease to send, in bytes. Default 0. */
  offset?: number;
  /** Length of that range. Default: to the end. */
  byteLength?: number;
  /** Gives the send up while it is queued. */
  signal?: AbortSignal;
}

/** Names of the options of sends without promises. */
export const TRY_SEND_OPTIONS = ["offset", "byteLength"] as const satisfies (keyof SendOptions)[];
/** Names of {@linkcode SendOptions}. */
export const SEND_OPTIONS = [...TRY_SEND_OPTIONS, "signal"] as const satisfies (keyof SendOptions)[];

/** Bytes copied into one lease at most. */
const MAX_CHUNK_BYTES = 256 * 1024;
/** Parts of one send at most: the core's records have room for so many. */
const MAX_PARTS = 16;

/** The send calls of one socket. */
export class SendTurns {
  readonly #endpoint: Endpoint;
  readonly #maxBytes: number;
  /** Copies in leases of our own may take so much of the arena for one socket. */
  readonly #maxCopiedBytes: number;
  readonly #room = new Waiters<number, true>();
  #copiedBytes = 0;
  #last: Promise<unknown> = Promise.resolve();

  /** @param maxBytes The most that one send carries. */
  constructor(endpoint: Endpoint, maxCopiedBytes: number, maxBytes: number) {
    this.#endpoint = endpoint;
    this.#maxBytes = maxBytes;
    this.#maxCopiedBytes = maxCopiedBytes;
  }

  /** Whether sends wait for their turn, so that nothing may overtake them. */
  get busy(): boolean {
    return this.#endpoint.sends.turns > 0;
  }

  /** Sends `data`, at once if nothing waits and nothing has to be copied. */
  send(data: SendData | readonly SendData[], header: Header | undefined, options: SendOptions): Promise<Receipt> {
    try {
      const { signal } = options;
      this.#endpoint.closing.requireWritable();
      notAborted(signal);
      if (data instanceof Lease) {
        const part = this.range(data, options);
        if (!this.busy) return this.#endpoint.sends.send(part, header, signal);
        const send = this.#endpoint.sends.sendLater(part, header, signal);
        return this.#inTurn((sends) => void sends.push(send.start()), signal, send.drop);
      }
      const parts = this.#parts(data, options);
      const [only] = parts;
      if (this.#endpoint.stream && parts.length === 1 && only instanceof Uint8Array) {
        return this.#inTurn((sends) => this.#queueChunks(only, signal, sends), signal);
      }
      const endPledge = this.busy ? this.#pledge(parts) : undefined;
      return this.#inTurn((sends) => this.#queueParts(parts, header, signal, sends, endPledge), signal, endPledge);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Refuses what {@linkcode send} would, before anybody waits for an address. */
  check(data: SendData | readonly SendData[], options: SendOptions): void {
    if (data instanceof Lease) this.range(data, options);
    else this.#parts(data, options);
  }

  /** The checked range of a lease. */
  range(lease: Lease, options: SendOptions): Part {
    const byteLength = options === NO_OPTIONS ? lease.byteLength : this.rangeBytes(lease, options);
    this.#requireFit(byteLength);
    this.#endpoint.sends.check(lease);
    return { lease, offset: options.offset ?? 0, byteLength };
  }

  /** The checked length of a range of a lease, however long. */
  rangeBytes(lease: Lease, { offset = 0, byteLength }: SendOptions): number {
    const rest = lease.byteLength - integer("offset", offset, 0, lease.byteLength - 1);
    return byteLength === undefined ? rest : integer("byteLength", byteLength, 1, rest);
  }

  #requireFit(bytes: number): void {
    if (bytes > this.#maxBytes) throw tooLong(bytes, this.#maxBytes);
  }

  #parts(data: unknown, { offset, byteLength }: SendOptions): readonly SendData[] {
    if (offset !== undefined || byteLength !== undefined) {
      throw new RingletError("ERR_INVALID_ARG", "offset and byteLength go with a single lease");
    }
    const parts = Array.isArray(data) ? data : [data];
    if (!parts.every((part) => part instanceof Lease || part instanceof Uint8Array)) {
      throw new RingletError("ERR_INVALID_ARG", "Cannot send: data must be a Lease, a Uint8Array or an array of them");
    }
    if (parts.length > MAX_PARTS) {
      throw new RingletError(
        "ERR_OUT_OF_RANGE",
        `Cannot send: at most ${MAX_PARTS} parts make one send: current value is ${parts.length}`,
      );
    }
    for (const part of parts) if (part instanceof Lease) this.range(part, NO_OPTIONS);
    this.#requireFit(parts.reduce((sum, part) => sum + part.byteLength, 0));
    return parts;
  }

  /**
   * Runs `queue` when the sends before are queued, and answers one receipt for the sends that it made; runs `giveUp` instead when
   * `signal` is aborted before.
   */
  async #inTurn(
    queue: (sends: Promise<Receipt>[]) => Promise<void> | void,
    signal: AbortSignal | undefined,
    giveUp = () => {},
  ): Promise<Receipt> {
    const endpoint = this.#endpoint;
    const before = this.#last;
    let done!: () => void;
    this.#last = new Promise<void>((resolve) => done = resolve);
    endpoint.sends.turns += 1;
    const leave = () => {
      endpoint.sends.turns -= 1;
      done();
    };
    if (endpoint.sends.turns > 1) {
      try {
        await unlessAborted(before, this.#patience(signal));
      } catch (reason) {
        giveUp();
        before.then(leave); // its place stays taken, so that nobody behind it overtakes those before
        throw reason;
      }
    }
    const sends: Promise<Receipt>[] = [];
    try {
      const queued = queue(sends);
      if (queued !== undefined) await queued;
    } catch (error) {
      giveUp();
      sends.push(Promise.reject(error));
    } finally {
      leave();
    }
    return sends.length === 1 ? await sends[0] : await together(sends);
  }

  /** One send of all parts. */
  #queueParts(
    data: readonly SendData[],
    header: Header | undefined,
    signal: AbortSignal | undefined,
    sends: Promise<Receipt>[],
    endPledge?: () => void,
  ): Promise<void> | void {
    const filled = data.filter((part) => part instanceof Lease || part.length > 0);
    const copyBytes = filled.reduce((sum, part) => part instanceof Lease ? sum : sum + part.length, 0);
    const queue = (room: Lease | undefined) => {
      let at = 0;
      const parts = filled.map((part) => {
        if (part instanceof Lease) return { lease: part, offset: 0, byteLength: part.byteLength };
        room!.bytes.set(part, at);
        at += part.length;
        return { lease: room!, offset: at - part.length, byteLength: part.length };
      });
      room?.retain(); // every part lends it once more, until the send is accepted or refused
      const sent = this.#endpoint.sends.send(parts.length === 1 ? parts[0] : parts, header, signal, endPledge);
      sends.push(sent);
      if (room === undefined) return;
      this.#giveBackIfRefused(room, sent);
      sent.catch(() => {}).then(() => room[Symbol.dispose]());
    };
    if (copyBytes === 0) return queue(undefined);
    const { arena } = this.#endpoint.hub;
    const room = arena.tryLease(copyBytes);
    if (room !== undefined) return queue(room);
    endPledge ??= this.#pledge(filled);
    return arena.lease(copyBytes, { signal: this.#patience(signal) }).then(queue, (reason) => {
      endPledge!();
      throw reason;
    });
  }

  #pledge(parts: readonly SendData[]): () => void {
    return this.#endpoint.hub.arena.pledge(parts.filter((part) => part instanceof Lease));
  }

  /** The bytes of a stream, in chunks of bounded size, so that one peer that reads slowly does not take the whole arena. */
  async #queueChunks(data: Uint8Array, signal: AbortSignal | undefined, sends: Promise<Receipt>[]): Promise<void> {
    const { hub } = this.#endpoint;
    const chunkBytes = Math.max(1, Math.min(MAX_CHUNK_BYTES, this.#maxCopiedBytes));
    for (let at = 0; at < data.length; at += chunkBytes) {
      const chunk = data.subarray(at, at + chunkBytes);
      if (!this.#hasRoom(chunk.length)) await this.#room.wait(chunk.length, this.#patience(signal));
      const lease = hub.arena.tryLease(chunk.length) ??
        await hub.arena.lease(chunk.length, { signal: this.#patience(signal) });
      lease.bytes.set(chunk);
      this.#copiedBytes += chunk.length;
      const sent = this.#endpoint.sends.send(this.range(lease, NO_OPTIONS), undefined, signal);
      sends.push(sent);
      this.#giveBackIfRefused(lease, sent);
      this.#whenReleased(sent, () => {
        this.#copiedBytes -= chunk.length;
        this.#room.serve((bytes) => this.#hasRoom(bytes) || undefined);
      });
    }
  }

  /** Waiting ends with the caller's signal, and with the deadline of the socket's close. */
  #patience(signal: AbortSignal | undefined): AbortSignal {
    return either(signal, this.#endpoint.closing.deadline);
  }

  #hasRoom(bytes: number): boolean {
    return this.#copiedBytes === 0 || this.#copiedBytes + bytes <= this.#maxCopiedBytes;
  }

  /** A lease of our own that came back from a refused send goes to the arena. */
  #giveBackIfRefused(lease: Lease, sent: Promise<Receipt>): void {
    sent.catch(() => lease[Symbol.dispose]());
  }

  #whenReleased(sent: Promise<Receipt>, then: () => void): void {
    sent.then((receipt) => receipt.released, (error) => error instanceof RingletError ? error.released : undefined)
      .then(then);
  }
}

function tooLong(bytes: number, maxBytes: number): RingletError {
  return new RingletError(
    "EMSGSIZE",
    `Cannot send: a datagram carries at most ${maxBytes} bytes: current value is ${bytes}`,
    { bytesAccepted: 0 },
  );
}

/** One receipt for several sends in a row. */
export async function together(sends: readonly Promise<Receipt>[]): Promise<Receipt> {
  const results = await Promise.allSettled(sends);
  let bytes = 0;
  const releases: Promise<unknown>[] = [];
  for (const result of results) {
    if (result.status === "fulfilled") {
      bytes += result.value.bytes;
      releases.push(result.value.released);
    } else if (result.reason instanceof RingletError && result.reason.released !== undefined) {
      bytes += result.reason.bytesAccepted ?? 0;
      releases.push(result.reason.released);
    }
  }
  const released = Promise.all(releases).then((all) => release((all as Release[]).some(({ copied }) => copied)));
  const failed = results.find((result) => result.status === "rejected");
  if (failed === undefined) return { bytes, released };
  const { reason } = failed;
  if (bytes === 0) throw reason;
  const code = reason instanceof RingletError ? reason.code : "ECANCELED";
  const message = `Cannot send everything: ${bytes} bytes were accepted: ${
    reason instanceof Error ? reason.message : reason
  }`;
  throw new RingletError(code, message, { cause: reason, bytesAccepted: bytes, released });
}
