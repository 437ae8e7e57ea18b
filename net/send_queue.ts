/**
 * The sends of one socket: how they get into its queue in the core, wait for a record, are given up, and fail.
 *
 * @module
 */
import { C } from "../ffi/abi.ts";
import { ERRNO } from "../ffi/errno.ts";
import { type Handle, handleGeneration, handleSlot, layout, makeHandle } from "../wasm/mod.ts";
import { foreign } from "./arena.ts";
import type { Control } from "./control.ts";
import type { Endpoint } from "./endpoint.ts";
import { RingletError } from "./errors.ts";
import type { Hub } from "./hub.ts";
import type { Lease } from "./lease.ts";
import { either } from "./on_abort.ts";
import { setOption } from "./options.ts";
import { PromisedSend, type SendFailure, type SendOwner } from "./promised_send.ts";
import type { Receipt } from "./receipt.ts";
import type { ZeroCopyPolicy, ZeroCopyStats } from "./zerocopy_policy.ts";

const { FAULT, SEND, SEND_FLAG, SOCKET } = layout;
/** Fields of a socket's record, as indices of words. */
const WORD = {
  head: SOCKET.HEAD / 4,
  idsCopied: SOCKET.IDS_COPIED / 4,
  idsNotCopied: SOCKET.IDS_NOT_COPIED / 4,
} as const;

/** A part of a send. */
export interface Part {
  readonly lease: Lease;
  readonly offset: number;
  readonly byteLength: number;
}

/** A send that waits for its turn. */
export interface DeferredSend {
  /** Its turn has come. */
  start(): Promise<Receipt>;
  /** It was given up: the lease is the program's again. */
  drop(): void;
}

/** The destination of a datagram, as words of a `struct sockaddr`. */
export interface Name {
  readonly words: Uint32Array;
  readonly byteLength: number;
  /** Packets go there over IPv4. */
  readonly v4: boolean;
}

/** What a datagram has besides its bytes. */
export interface Header {
  /** The destination, unless the socket has one. */
  readonly name?: Name;
  readonly control?: Control;
}

/** See the module. */
export class SendQueue {
  /** Set by the engine: the kernel sends notifications for this socket. */
  zeroCopy = false;
  /** Segments that a train may have; 1 since the kernel or the device refused one. */
  maxSegments: number;
  /** Bytes of the segments of trains that do not say it themselves; 0 when there are no such. */
  readonly ownSegmentBytes: number;
  /** The kernel cuts trains with those by itself (UDP_SEGMENT as an option of the socket). */
  #cutsByItself: boolean;
  /** Sends that wait for their turn to join the queue. */
  turns = 0;
  /** Sends that wait for a free record. */
  recordless = 0;
  readonly #endpoint: Endpoint;
  readonly #hub: Hub;
  readonly #slot: number;
  readonly #generation: number;
  readonly #policy: ZeroCopyPolicy;
  /** Index of the socket's record in the core's words. */
  readonly #record: number;
  /** What the policy has learnt from. */
  #idsCopied = 0;
  #idsNotCopied = 0;

  /**
   * @param policy Which sends ask for zero-copy.
   * @param ownSegmentBytes See the field. Where the kernel takes trains, the socket has the option.
   */
  constructor(endpoint: Endpoint, policy: ZeroCopyPolicy, ownSegmentBytes: number) {
    const { hub, slot, generation, record } = endpoint;
    this.#endpoint = endpoint;
    this.#hub = hub;
    this.#slot = slot;
    this.#generation = generation;
    this.#record = record;
    this.#policy = policy;
    this.maxSegments = hub.settings.maxSegments;
    this.ownSegmentBytes = ownSegmentBytes;
    this.#cutsByItself = ownSegmentBytes !== 0 && this.maxSegments > 1;
    if (this.maxSegments === 1) hub.core.raw.socket_unsegmented(slot, generation);
  }

  /**
   * Prepares one send of one part, with the flags that are wanted besides. Answers its slot, and its generation in OUT; or a
   * negative status of the core when a table is full.
   */
  enqueueOne(
    lease: Lease,
    offset: number,
    byteLength: number,
    header: Header | undefined,
    flags: number,
  ): number {
    const { raw, u32, out } = this.#hub.core;
    const slot = raw.send_one(
      this.#slot,
      this.#generation,
      flags | (this.asksZeroCopy(byteLength) ? SEND_FLAG.ZERO_COPY : 0),
      header === undefined ? 0 : extraOf(header),
      lease.slot,
      lease.generation,
      offset,
      byteLength,
    );
    if (slot < 0) return this.#refusal(slot, lease);
    if (header !== undefined) this.#writeHeader(header, u32[out + 1]);
    this.#hub.touch(this.#endpoint);
    return slot;
  }

  /** The same for any number of parts, none included. */
  #enqueue(parts: readonly Part[], header: Header | undefined): number {
    const slot = this.#claim(parts, header);
    if (slot >= 0) this.#queue(slot);
    return slot;
  }

  /** A send whose leases are claimed, but which is not in the queue yet. Answers its slot. */
  #claim(parts: readonly Part[], header: Header | undefined): number {
    const { raw, u32, out } = this.#hub.core;
    const flags = this.asksZeroCopy(bytesOf(parts)) ? SEND_FLAG.ZERO_COPY : 0;
    const slot = raw.send_new(this.#slot, this.#generation, flags, header === undefined ? 0 : extraOf(header));
    if (slot < 0) return this.#refusal(slot);
    const generation = u32[out];
    if (header !== undefined) this.#writeHeader(header, u32[out + 1]);
    for (const { lease, offset, byteLength } of parts) {
      const status = raw.send_lease(slot, generation, lease.slot, lease.generation, offset, byteLength);
      if (status >= 0) continue;
      try {
        return this.#refusal(status, lease); // which looks at the lease before it is given back
      } finally {
        raw.send_drop(slot, generation);
      }
    }
    return slot;
  }

  /** Writes what goes with a send into its record, whose name is at byte `at` of the core's memory. */
  #writeHeader({ name, control }: Header, at: number): void {
    const { u32 } = this.#hub.core;
    if (name !== undefined) copyWords(name.words, u32, at);
    if (control !== undefined) copyWords(control.words, u32, at + SEND.CONTROL - SEND.NAME);
  }

  #queue(slot: number): void {
    this.#hub.core.raw.send_queue(slot, handleGeneration(this.#handle(slot)));
    this.#hub.touch(this.#endpoint);
  }

  /** What the core's refusal means: "no record is free" is an answer, everything else an error. */
  #refusal(status: number, lease?: Lease): number {
    if (status === FAULT.NO_SLOT) return status;
    const refused = status === FAULT.STALE || status === FAULT.NOT_HELD || status === FAULT.BUSY;
    if (lease !== undefined && refused) throw lease.notHeld("send");
    throw new RingletError("ERR_OUT_OF_RANGE", `Cannot send: the parts do not fit into one send (status ${status})`);
  }

  /**
   * Sends `parts`; when every record is in use, in turn with the others that wait for one.
   *
   * @param endPledge Ends the pledge of the leases, if they are pledged to this send.
   */
  send(
    parts: Part | readonly Part[],
    header: Header | undefined,
    signal: AbortSignal | undefined,
    endPledge?: () => void,
  ): Promise<Receipt> {
    const owner = new PromisedSend(this.#endpoint, bytesOf(parts));
    const { arena, recordWaiters } = this.#hub;
    try {
      if (recordWaiters.size === 0 && this.tryNow(parts, header, signal, owner)) {
        endPledge?.();
        return owner.promise;
      }
      endPledge ??= arena.pledge("lease" in parts ? [parts.lease] : parts.map(({ lease }) => lease));
      const attempt = () => this.tryNow(parts, header, signal, owner);
      return this.awaitRecord(attempt, signal).finally(endPledge).then(() => owner.promise);
    } catch (error) {
      endPledge?.();
      return Promise.reject(error);
    }
  }

  /** In turn with all that wait for a record, until the caller's signal or the deadline of a close ends that. */
  async awaitRecord(attempt: () => true | undefined, signal: AbortSignal | undefined): Promise<void> {
    const patience = either(signal, this.#endpoint.closing.deadline);
    this.recordless += 1;
    await this.#endpoint.pending(() =>
      this.#hub.recordWaiters.wait(attempt, patience).finally(() => this.recordless -= 1)
    );
  }

  /** Sends `parts`, whose fate `owner` is told, together with `place`; `undefined` when no record is free. */
  tryNow(
    parts: Part | readonly Part[],
    header: Header | undefined,
    signal: AbortSignal | undefined,
    owner: SendOwner,
    place = 0,
  ): true | undefined {
    this.#endpoint.closing.requireUnsealed();
    signal?.throwIfAborted(); // its listener may not have been called yet
    const flags = signal === undefined ? SEND_FLAG.AT_ONCE : 0;
    const slot = "lease" in parts
      ? this.enqueueOne(parts.lease, parts.offset, parts.byteLength, header, flags)
      : this.#enqueue(parts, header);
    if (slot < 0) return undefined;
    this.#hub.own(slot, owner, place);
    if (signal !== undefined) owner.abortWith(signal, this.#handle(slot), place);
    this.#hub.schedule();
    return true;
  }

  /** The handle of a send that is not free. */
  #handle(slot: number): Handle {
    return makeHandle(slot, this.generationOf(slot));
  }

  /** Which use of its record a send is. */
  generationOf(slot: number): number {
    return this.#hub.sendField(slot, SEND.GENERATION);
  }

  /** A send that has to wait for its turn; its lease does not go elsewhere meanwhile. */
  sendLater(part: Part, header: Header | undefined, signal: AbortSignal | undefined): DeferredSend {
    const endPledge = this.#hub.arena.pledge([part.lease]);
    return { start: () => this.send(part, header, signal, endPledge), drop: endPledge };
  }

  /** Whether a send of so many bytes asks for zero-copy. */
  asksZeroCopy(bytes: number): boolean {
    if (!this.zeroCopy) return false;
    this.#learn();
    return this.#policy.wants(bytes);
  }

  /** Which sends ask for zero-copy now. */
  zeroCopyStats(): ZeroCopyStats {
    this.#learn();
    return this.#policy.stats();
  }

  /** Tells the policy what the kernel has answered since it was asked last. */
  #learn(): void {
    const { u32 } = this.#hub.core;
    const copied = u32[this.#record + WORD.idsCopied];
    const notCopied = u32[this.#record + WORD.idsNotCopied];
    if (notCopied !== this.#idsNotCopied) this.#policy.learn(1, false);
    else if (copied !== this.#idsCopied) this.#policy.learn(copied - this.#idsCopied >>> 0, true);
    this.#idsCopied = copied;
    this.#idsNotCopied = notCopied;
  }

  /** Refuses a lease that cannot be sent, as far as the core does not. */
  check(lease: Lease): void {
    if (lease.arena !== this.#hub.arena) throw foreign();
    this.#hub.arena.requireUnpledged(lease, "send");
  }

  /** Sends that wait leave the queue; what the kernel has accepted of them stays accepted. */
  giveUp(ids: Iterable<Handle>, reason: unknown): void {
    let left = false;
    for (const id of ids) left = this.#giveUp(id, { errno: 0, syscall: "sendmsg", reason }) || left;
    if (!left) return;
    this.#hub.resume(this.#endpoint);
    this.#hub.dispatch();
  }

  #giveUp(id: Handle, failure: SendFailure): boolean {
    const { raw, u32, out } = this.#hub.core;
    const slot = handleSlot(id);
    const generation = handleGeneration(id);
    if (raw.send_cancel(slot, generation, 0) < 0) {
      this.#hub.engine.abandon(id);
      // The kernel may have been done with a part of it just now, so that the rest is in the queue again.
      if (raw.send_cancel(slot, generation, 0) < 0) return false;
    }
    this.#hub.failed(slot, failure, u32[out], u32[out + 1] !== 0);
    return true;
  }

  /** The engine reports that the kernel refused the head of the queue; `false` when there is none to fail. */
  failHead(syscall: string, errno: number): boolean {
    const { raw, u32, out } = this.#hub.core;
    const slot = raw.batch_fail(this.#slot, this.#generation, errno);
    if (slot < 0) return false;
    this.#hub.failed(slot, { errno, syscall }, u32[out + 1], u32[out + 2] !== 0);
    return true;
  }

  /** The engine reports that the kernel refused all that is queued. */
  failQueue(syscall: string, errno: number): void {
    while (this.failHead(syscall, errno));
  }

  /** The engine reports that the kernel refused a send, wherever in the queue it is. */
  failSend(slot: number, generation: number, syscall: string, errno: number): void {
    const { raw, u32, out } = this.#hub.core;
    if (raw.send_cancel(slot, generation, errno) < 0) return;
    this.#hub.failed(slot, { errno, syscall }, u32[out], u32[out + 1] !== 0);
  }

  /**
   * The kernel refused a send. Whether that was because it, or the device, takes no trains: from now on this one, too, goes segment
   * by segment.
   */
  refusesTrains(slot: number, errno: number): boolean {
    if (slot < 0 || (errno !== ERRNO.EIO && errno !== ERRNO.EINVAL)) return false;
    // With the option the kernel may refuse what is no train, too: without checksums, for example.
    if (!this.#cutsByItself && this.#hub.sendField(slot, SEND.SEGMENT) === 0) return false;
    // Others were on their way when the first was refused.
    if (this.maxSegments === 1) {
      return this.#cutsByItself || (this.#hub.sendField(slot, SEND.FLAGS) & SEND_FLAG.AS_TRAIN) !== 0;
    }
    this.maxSegments = 1;
    this.#hub.core.raw.socket_unsegmented(this.#slot, this.#generation);
    return true;
  }

  /** Trains were refused that the kernel cuts by itself: no send may go before {@linkcode cutNoMore}. */
  get mustCutNoMore(): boolean {
    return this.#cutsByItself && this.maxSegments === 1;
  }

  /**
   * Takes the option from the socket. Whatever of it waits in the kernel would go out as one datagram, and what was refused and is not
   * known yet would not be tried again: so nothing may be there, and all that was refused be known.
   */
  cutNoMore(): void {
    this.#cutsByItself = false;
    setOption(this.#hub.system, this.#endpoint.fd, C.IPPROTO_UDP, C.UDP_SEGMENT, 0);
  }

  /**
   * The kernel refused a zero-copy send. Whether that may be because it gathers leases from more than the 17 pages that a packet can
   * name; a copy needs none of them.
   */
  namesManyPages(slot: number, errno: number): boolean {
    return errno === ERRNO.EMSGSIZE && this.#hub.sendField(slot, SEND.LEASE_COUNT) > 1;
  }

  /** The send at the head of the queue; -1 when it is empty. */
  get head(): number {
    return this.#hub.core.u32[this.#record + WORD.head] - 1;
  }

  /** Sends that wait in the core's queue. */
  queued(): number {
    const { raw, u32, out } = this.#hub.core;
    return raw.socket_state(this.#slot, this.#generation) < 0 ? 0 : u32[out + 3];
  }
}

/** Copies a few words to a byte offset: `TypedArray.set` costs more than the words themselves. */
function copyWords(words: Uint32Array, to: Uint32Array, offset: number): void {
  for (let i = 0, at = offset >>> 2; i < words.length; i++) to[at + i] = words[i];
}

/** Its sizes in one word, as the core takes them. */
function extraOf({ name, control }: Header): number {
  const nameBytes = name === undefined ? 0 : name.byteLength;
  return control === undefined ? nameBytes : nameBytes | control.byteLength << 8 | control.segmentBytes << 16;
}

function bytesOf(parts: Part | readonly Part[]): number {
  if ("lease" in parts) return parts.byteLength;
  let bytes = 0;
  for (const part of parts) bytes += part.byteLength;
  return bytes;
}
