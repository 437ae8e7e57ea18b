/**
 * Sends of trains: what fits into one is one send; what does not is cut into several, which have one receipt.
 *
 * @module
 */
import type { Endpoint, Header, Name } from "./endpoint.ts";
import { RingletError } from "./errors.ts";
import { Lease } from "./lease.ts";
import type { Receipt } from "./receipt.ts";
import { type SendData, type SendOptions, type SendTurns, together } from "./send_turns.ts";
import { MOST_SEGMENTS, trainControl } from "./trains.ts";
import { integer } from "./validate.ts";

/** See the module. */
export class TrainSends {
  readonly #endpoint: Endpoint;
  readonly #turns: SendTurns;
  readonly #maxBytes: number;

  /** @param maxBytes The most that one datagram carries, and so one train. */
  constructor(endpoint: Endpoint, turns: SendTurns, maxBytes: number) {
    this.#endpoint = endpoint;
    this.#turns = turns;
    this.#maxBytes = maxBytes;
  }

  /** Sends `data` in as few trains as it takes. */
  send(
    data: SendData | readonly SendData[],
    name: Name | undefined,
    segmentBytes: number,
    options: SendOptions,
  ): Promise<Receipt> {
    const trainBytes = this.#trainBytes(segmentBytes);
    const bytes = data instanceof Lease ? this.#turns.rangeBytes(data, options) : bytesOf(data);
    if (bytes <= trainBytes) return this.#turns.send(data, this.#header(name, bytes, segmentBytes), options);
    if (data instanceof Lease) return this.#sendLease(data, bytes, trainBytes, name, segmentBytes, options);
    if (data instanceof Uint8Array) return this.#sendBytes(data, trainBytes, name, segmentBytes, options);
    throw new RingletError(
      "EMSGSIZE",
      `Cannot send: parts make one train, which carries at most ${trainBytes} bytes: current value is ${bytes}`,
      { bytesAccepted: 0 },
    );
  }

  /** The header of a send that has to be one train. */
  headerOfOne(lease: Lease, name: Name | undefined, segmentBytes: number, options: SendOptions): Header | undefined {
    const trainBytes = this.#trainBytes(segmentBytes);
    const bytes = this.#turns.rangeBytes(lease, options);
    if (bytes <= trainBytes) return this.#header(name, bytes, segmentBytes);
    throw new RingletError(
      "EMSGSIZE",
      `Cannot try to send: a train of ${segmentBytes}-byte segments carries at most ${trainBytes} bytes: current value is ${bytes}`,
      { bytesAccepted: 0, advice: "send() takes more, in several trains" },
    );
  }

  /** The most that one train carries. */
  #trainBytes(segmentBytes: number): number {
    integer("segmentBytes", segmentBytes, 1, this.#maxBytes);
    const { maxSegments } = this.#endpoint;
    // Where there are no trains the core sends them segment by segment, and one record is enough for many.
    const most = maxSegments === 1 ? MOST_SEGMENTS : maxSegments;
    return Math.min(most, Math.floor(this.#maxBytes / segmentBytes)) * segmentBytes;
  }

  /** A datagram that is its only segment needs no control message. */
  #header(name: Name | undefined, bytes: number, segmentBytes: number): Header | undefined {
    if (bytes > segmentBytes) return { name, control: trainControl(segmentBytes) };
    return name && { name };
  }

  #sendLease(
    lease: Lease,
    bytes: number,
    trainBytes: number,
    name: Name | undefined,
    segmentBytes: number,
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
        const header = this.#header(name, byteLength, segmentBytes);
        sends.push(this.#turns.send(lease, header, { offset: offset + at, byteLength, signal }));
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
    if (refused[0] && refused.includes(false)) lease[Symbol.dispose]();
  }

  #sendBytes(
    data: Uint8Array,
    trainBytes: number,
    name: Name | undefined,
    segmentBytes: number,
    options: SendOptions,
  ): Promise<Receipt> {
    const sends: Promise<Receipt>[] = [];
    for (let at = 0; at < data.length; at += trainBytes) {
      const train = data.subarray(at, at + trainBytes);
      sends.push(this.#turns.send(train, this.#header(name, train.length, segmentBytes), options));
    }
    return together(sends);
  }
}

function bytesOf(data: SendData | readonly SendData[]): number {
  if (!Array.isArray(data)) return (data as SendData).byteLength;
  return data.reduce((sum, part: SendData) => sum + part.byteLength, 0);
}
