/**
 * Sends of trains: what fits into one is one send; what does not is cut into several, which have one receipt.
 *
 * @module
 */
import type { Endpoint } from "./endpoint.ts";
import { RingletError } from "./errors.ts";
import { Lease } from "./lease.ts";
import type { Receipt } from "./receipt.ts";
import type { Header } from "./send_queue.ts";
import { type SendData, type SendOptions, type SendTurns, together } from "./send_turns.ts";
import { MOST_SEGMENTS } from "./trains.ts";
import { integer } from "./validate.ts";

/** The header of what goes as one: a train of so many bytes, or a datagram. */
export type HeaderFor = (bytes: number) => Header | undefined;

/** See the module. */
export class TrainSends {
  readonly #endpoint: Endpoint;
  readonly #turns: SendTurns;
  readonly #maxBytes: number;
  /** What was asked last, mostly the same again. */
  #last = { segmentBytes: 0, maxSegments: 0, trainBytes: 0 };

  /** @param maxBytes The most that one datagram carries, and so one train. */
  constructor(endpoint: Endpoint, turns: SendTurns, maxBytes: number) {
    this.#endpoint = endpoint;
    this.#turns = turns;
    this.#maxBytes = maxBytes;
  }

  /** Sends `data` in as few trains as it takes. */
  send(
    data: SendData | readonly SendData[],
    headerFor: HeaderFor,
    segmentBytes: number,
    options: SendOptions,
  ): Promise<Receipt> {
    const trainBytes = this.#trainBytes(segmentBytes);
    const bytes = data instanceof Lease ? this.#turns.rangeBytes(data, options) : bytesOf(data);
    if (bytes <= trainBytes) return this.#turns.send(data, headerFor(bytes), options);
    if (data instanceof Lease) return this.#sendLease(data, bytes, trainBytes, headerFor, options);
    if (data instanceof Uint8Array) return this.#sendBytes(data, trainBytes, headerFor, options);
    throw tooLong(trainBytes, bytes);
  }

  /** Refuses what {@linkcode send} would, before anybody waits for an address. */
  check(data: SendData | readonly SendData[], segmentBytes: number, options: SendOptions): void {
    const trainBytes = this.#trainBytes(segmentBytes);
    if (data instanceof Lease) return void this.#turns.rangeBytes(data, options);
    if (data instanceof Uint8Array) return this.#turns.check([], options);
    this.#turns.check(data, options);
    const bytes = bytesOf(data);
    if (bytes > trainBytes) throw tooLong(trainBytes, bytes);
  }

  /** Whether a lease is one train. */
  isOne(lease: Lease, segmentBytes: number, options: SendOptions): boolean {
    return this.#turns.rangeBytes(lease, options) <= this.#trainBytes(segmentBytes);
  }

  /** The bytes of a send that has to be one train. */
  bytesOfOne(lease: Lease, segmentBytes: number, options: SendOptions): number {
    const trainBytes = this.#trainBytes(segmentBytes);
    const bytes = this.#turns.rangeBytes(lease, options);
    if (bytes <= trainBytes) return bytes;
    throw new RingletError(
      "EMSGSIZE",
      `Cannot try to send: a train of ${segmentBytes}-byte segments carries at most ${trainBytes} bytes: current value is ${bytes}`,
      { bytesAccepted: 0, advice: "send() takes more, in several trains" },
    );
  }

  /** The most that one train carries. */
  #trainBytes(segmentBytes: number): number {
    const { maxSegments } = this.#endpoint.sends;
    const last = this.#last;
    if (segmentBytes === last.segmentBytes && maxSegments === last.maxSegments) return last.trainBytes;
    integer("segmentBytes", segmentBytes, 1, this.#maxBytes);
    // Where there are no trains the core sends them segment by segment, and one record is enough for many.
    const most = maxSegments === 1 ? MOST_SEGMENTS : maxSegments;
    const trainBytes = Math.min(most, Math.floor(this.#maxBytes / segmentBytes)) * segmentBytes;
    this.#last = { segmentBytes, maxSegments, trainBytes };
    return trainBytes;
  }

  #sendLease(
    lease: Lease,
    bytes: number,
    trainBytes: number,
    headerFor: HeaderFor,
    options: SendOptions,
  ): Promise<Receipt> {
    const { arena } = this.#endpoint.hub;
    const { offset = 0, signal } = options;
    const consumes = arena.unconsumed(lease);
    lease.retain(); // each train lends it once more
    const sends: Promise<Receipt>[] = [];
    try {
      for (let at = 0; at < bytes; at += trainBytes) {
        const byteLength = Math.min(trainBytes, bytes - at);
        sends.push(this.#turns.send(lease, headerFor(byteLength), { offset: offset + at, byteLength, signal }));
      }
    } finally {
      lease.release();
    }
    const sent = together(sends);
    if (consumes) this.#consume(lease, sends);
    return sent;
  }

  /** When some trains were accepted, the lease is consumed, also if the first was refused and gave it back. */
  async #consume(lease: Lease, sends: readonly Promise<Receipt>[]): Promise<void> {
    const results = await Promise.allSettled(sends);
    const refused = results.map((result) => result.status === "rejected" && !result.reason?.bytesAccepted);
    if (refused[0] && refused.includes(false)) this.#endpoint.hub.arena.consume(lease);
  }

  #sendBytes(
    data: Uint8Array,
    trainBytes: number,
    headerFor: HeaderFor,
    options: SendOptions,
  ): Promise<Receipt> {
    const sends: Promise<Receipt>[] = [];
    for (let at = 0; at < data.length; at += trainBytes) {
      const train = data.subarray(at, at + trainBytes);
      sends.push(this.#turns.send(train, headerFor(train.length), options));
    }
    return together(sends);
  }
}

function tooLong(trainBytes: number, bytes: number): RingletError {
  return new RingletError(
    "EMSGSIZE",
    `Cannot send: parts make one train, which carries at most ${trainBytes} bytes: current value is ${bytes}`,
    { bytesAccepted: 0 },
  );
}

function bytesOf(data: SendData | readonly SendData[]): number {
  if (!Array.isArray(data)) return (data as SendData).byteLength;
  return data.reduce((sum, part: SendData) => sum + part.byteLength, 0);
}
