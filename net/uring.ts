/**
 * The engine `uring`: the core prepares entries and takes completions in place, and this side enters the kernel once for all that
 * a turn of the event loop has brought together.
 *
 * Sends go from the core's queues into the ring. Everything else is a call: an operation whose result somebody awaits.
 *
 * @module
 */
import { setImmediate } from "node:timers";
import { C } from "../ffi/abi.ts";
import { ERRNO } from "../ffi/errno.ts";
import type { System } from "../ffi/system.ts";
import { handleGeneration, handleSlot, layout as coreLayout } from "../wasm/mod.ts";
import { Bell } from "./bell.ts";
import type { Endpoint } from "./endpoint.ts";
import type { Attempt, Engine, EngineName, Target } from "./engine.ts";
import { systemError } from "./errors.ts";
import type { Hub } from "./hub.ts";
import { Inbox } from "./inbox.ts";
import type { Memories, ScratchPiece } from "./message.ts";
import { Ring, type RingLimits } from "./ring.ts";
import { RingCalls } from "./ring_calls.ts";
import { type Receiving, RingInflow } from "./ring_inflow.ts";
import { failsTrains, kernelRelease } from "./trains.ts";

const { BATCH_REASON, EVENT, FAULT, SEND, SEND_FLAG, SEND_STATE, SOCKET } = coreLayout;

/** A copy that the kernel has no memory for is tried again after this long. */
const NO_MEMORY_RETRY_MS = 10;
/** Why a copy goes where zero-copy does not. */
const COPY_INSTEAD: ReadonlySet<number> = new Set([ERRNO.ENOBUFS, ERRNO.ENOMEM, ERRNO.EOPNOTSUPP]);
/** A completion that comes so soon after the bell was armed is worth waiting for awake. */
const SOON_MS = 0.05;
/** Turns of the event loop, of some microseconds each, that are waited so at most. */
const MAX_PATIENCE_TURNS = 8;

/** Engines that are closed, and whose memory the kernel still holds. */
const lingering = new Set<UringEngine>();

/** See the module. */
export class UringEngine implements Engine {
  readonly name: EngineName = "uring";
  readonly zeroCopy = true;
  /** The ring itself finds out whether a call would wait. */
  readonly descriptorFlags = 0;
  readonly ring: Ring;
  readonly #hub: Hub;
  readonly #system: System;
  readonly #bell: Bell;
  readonly #calls: RingCalls;
  readonly #receiving: Receiving;
  readonly #name: ScratchPiece;
  readonly #inflows = new Map<Endpoint, RingInflow>();
  /** A zero-copy train may fail with EFAULT for no reason. */
  readonly #failsTrains: boolean;
  /** Sockets that found the ring full, or wait for what it has of theirs. */
  readonly #starved = new Set<Endpoint>();
  /** The next turn looks for completions. */
  #looking = false;
  /** Turns to look for completions before the bell is armed: none, unless the last ones came soon. */
  #patienceTurns = 0;
  #turnsLeft = 0;
  #armedAt = 0;
  #closing = false;
  #closed = false;

  /** @throws {NoRing} with the reason why there is none. */
  constructor(hub: Hub, { scratch, core, arena }: Memories, limits: RingLimits & { readonly entries: number }) {
    this.#hub = hub;
    this.#system = hub.system;
    this.#failsTrains = failsTrains(limits.kernelRelease ?? kernelRelease(hub.system));
    const inbox = new Inbox(hub.system, scratch, arena);
    this.#name = scratch.take(128);
    this.ring = new Ring(hub.system, hub.core, core, scratch.take(Ring.SCRATCH_BYTES), limits);
    // A send from a huge page that is registered is charged to the socket with all of the page that lies before it: half a MiB on
    // average, and the buffers of sender and local receiver are full after one or two.
    hub.system.libc.call.madvise(arena, BigInt(hub.arena.bytes.length), C.MADV_NOHUGEPAGE);
    this.ring.register(arena, hub.arena.bytes.length);
    this.#calls = new RingCalls(hub, () => this.#makeRoom());
    this.#receiving = { ring: this.ring, calls: this.#calls, inbox, arena };
    try {
      this.#bell = new Bell(hub.system, hub.core, this.ring.fd, () => this.#onBell());
    } catch (error) {
      this.ring.close();
      throw error;
    }
  }

  attach(endpoint: Endpoint): void {
    const registered = this.ring.registerFile(endpoint.slot, endpoint.fd);
    this.#hub.core.raw.ring_attach(endpoint.slot, endpoint.generation, endpoint.fd, Number(registered));
    endpoint.sends.zeroCopy = endpoint.family !== C.AF_UNIX;
    this.#inflows.set(endpoint, new RingInflow(endpoint, this.#receiving));
  }

  detach(endpoint: Endpoint): void {
    this.#inflows.delete(endpoint);
    this.#starved.delete(endpoint);
    this.ring.unregisterFile(endpoint.slot);
    this.#calls.start({ opcode: C.IORING_OP_CLOSE, fd: endpoint.fd }, () => {});
    // Now, so that whoever awaits the close finds the descriptor closed.
    if (this.commit()) this.#hub.schedule();
  }

  // Sends

  submit(endpoint: Endpoint): void {
    const { raw, u32, out } = this.#hub.core;
    if (endpoint.sends.head < 0) return;
    if (endpoint.withdrawn) return endpoint.sends.failQueue("close", ERRNO.ECANCELED);
    if (endpoint.sends.mustCutNoMore && !this.#cutNoMore(endpoint)) return;
    while (raw.ring_fill(endpoint.slot, endpoint.generation) >= 0) {
      if (u32[out] !== BATCH_REASON.FULL) return;
      if (!this.#makeRoom()) {
        this.#starved.add(endpoint);
        return;
      }
    }
  }

  /** Once all that the kernel was given of a socket is over, and was told; until then the socket waits. */
  #cutNoMore(endpoint: Endpoint): boolean {
    const { raw, u32 } = this.#hub.core;
    if (u32[endpoint.record + SOCKET.CHAIN / 4] === 0 && raw.events_ready() === 0) {
      endpoint.sends.cutNoMore();
      return true;
    }
    this.#starved.add(endpoint);
    this.#lookSoon();
    return false;
  }

  /** Has the kernel take what is prepared, so that there is room for more; `false` when there is none even so. */
  #makeRoom(): boolean {
    return this.ring.enter() === 0;
  }

  commit(): boolean {
    const left = this.ring.enter();
    if (left < 0) return false;
    const { u32, out } = this.#hub.core;
    const news = this.ring.reap();
    const operations = u32[out + 2];
    // What is being sent is over soon, and what was told may make more work; for all else the peer decides.
    const onlyPeers = left === 0 && !news && operations === this.#calls.count;
    if (onlyPeers && operations > 0) this.#sleep(this.#patienceTurns);
    else if (left + operations > 0) this.#lookSoon();
    return news;
  }

  event(kind: number, slot: number, generation: number, value: number): void {
    if (kind === EVENT.READY) {
      const endpoint = this.#hub.sockets[slot];
      if (endpoint?.generation === generation) this.#hub.resume(endpoint);
    } else if (kind === EVENT.FAILED) {
      this.#failed(slot, generation, value);
    } else {
      this.#calls.tell(slot, generation, value | 0, kind === EVENT.CALLED_MORE);
    }
  }

  /** The kernel refused a send, which is in its queue again. */
  #failed(slot: number, generation: number, errno: number): void {
    const { raw, u32, regions } = this.#hub.core;
    const record = (regions.SENDS + slot * SEND.BYTES) / 4;
    // Whoever was told before may have taken the send out of its queue.
    const here = u32[record + SEND.GENERATION / 4] === generation && u32[record + SEND.STATE / 4] === SEND_STATE.QUEUED;
    if (!here) return;
    const endpoint = this.#hub.endpointOfSend(slot);
    if (errno === ERRNO.ECANCELED) {
      endpoint.sends.failSend(slot, generation, "sendmsg", errno);
      return this.#hub.resume(endpoint);
    }
    if (errno === ERRNO.EINTR || errno === ERRNO.EAGAIN) return this.#hub.resume(endpoint);
    if (endpoint.sends.refusesTrains(slot, errno)) return this.#hub.resume(endpoint);
    if (!endpoint.stream && this.#hub.errorQueue.excuses(endpoint, slot, generation, errno)) {
      return this.#hub.resume(endpoint);
    }
    const zeroCopy = (u32[record + SEND.FLAGS / 4] & SEND_FLAG.ZERO_COPY) !== 0;
    if (errno === ERRNO.ENOBUFS || errno === ERRNO.ENOMEM) {
      // Back-pressure. What is in flight gives memory back; with nothing in flight, send a copy.
      if (!zeroCopy) return void setTimeout(() => this.#retry(endpoint), NO_MEMORY_RETRY_MS);
      if (raw.ring_block(endpoint.slot, endpoint.generation) > 0) return;
    }
    const defect = errno === ERRNO.EFAULT && this.#failsTrains && u32[record + SEND.SEGMENT / 4] !== 0;
    if (zeroCopy && (defect || COPY_INSTEAD.has(errno) || endpoint.sends.namesManyPages(slot, errno))) {
      if (errno === ERRNO.EOPNOTSUPP) endpoint.sends.zeroCopy = false;
      raw.send_copy(slot, generation);
      return this.#hub.resume(endpoint);
    }
    if (!endpoint.stream) {
      endpoint.sends.failSend(slot, generation, "sendmsg", errno);
      return this.#hub.resume(endpoint); // what waited until less was in flight
    }
    // A stream that failed once has failed for all that is queued. EPIPE says only that the peer does not read any more: what it
    // sent before still ends in order.
    if (endpoint.broken === 0 && errno !== ERRNO.EPIPE) endpoint.broken = errno;
    endpoint.sends.failQueue("sendmsg", errno);
  }

  #retry(endpoint: Endpoint): void {
    if (endpoint.inFlight === 0) return;
    this.#hub.resume(endpoint);
    this.#hub.dispatch();
  }

  abandon(id: number): void {
    const { raw } = this.#hub.core;
    const [slot, generation] = [handleSlot(id), handleGeneration(id)];
    this.ring.reap(); // what is over need not be cancelled
    if (raw.ring_abandon(slot, generation) === FAULT.NO_ROOM && this.#makeRoom()) raw.ring_abandon(slot, generation);
    this.#hub.schedule();
  }

  collect(_endpoint: Endpoint): number {
    this.ring.reap();
    return 0;
  }

  poll(): void {
    this.ring.reap();
  }

  withdraw(endpoint: Endpoint): void {
    endpoint.withdrawn = true;
    endpoint.sends.failQueue("close", ERRNO.ECANCELED);
    const flags = C.IORING_ASYNC_CANCEL_ALL | C.IORING_ASYNC_CANCEL_FD;
    this.#calls.start({ opcode: C.IORING_OP_ASYNC_CANCEL, fd: endpoint.fd, opFlags: flags }, () => {});
    this.commit();
    // connect(AF_UNSPEC) drops the send queue and releases its memory.
    if (endpoint.family !== C.AF_UNIX) this.#system.libc.call.connect(endpoint.fd, new Uint8Array(16), 16);
    this.#hub.dispatch();
  }

  // What comes in

  stop(endpoint: Endpoint, reason: unknown): void {
    this.#inflows.get(endpoint)?.stop(reason);
  }

  async connect(endpoint: Endpoint, name: Uint8Array, what: string, signal?: AbortSignal): Promise<void> {
    // The kernel copies the address as it takes the entry.
    new Uint8Array(this.#name.view.buffer, this.#name.view.byteOffset, name.length).set(name);
    const entry = { opcode: C.IORING_OP_CONNECT, address: this.#name.address, offsetLow: name.length };
    const connecting = endpoint.pending(() => this.#inflowOf(endpoint).call(entry, signal));
    this.commit();
    this.#hub.dispatch();
    const result = await connecting;
    if (result < 0) throw systemError("connect", -result, what);
  }

  accept(endpoint: Endpoint, signal?: AbortSignal): Promise<number> {
    return this.#inflowOf(endpoint).accept(signal);
  }

  receiveNow(endpoint: Endpoint, target: Target): number | undefined {
    return this.#inflowOf(endpoint).receiveNow(target);
  }

  receive(endpoint: Endpoint, target: Target, signal?: AbortSignal): Promise<number> {
    return this.#inflowOf(endpoint).receive(target, signal);
  }

  attempt<R>(endpoint: Endpoint, attempt: Attempt<R>, signal?: AbortSignal): Promise<R> {
    return this.#inflowOf(endpoint).attempt(attempt, signal);
  }

  readable(endpoint: Endpoint, signal?: AbortSignal): Promise<void> {
    return this.#inflowOf(endpoint).readable(signal);
  }

  #inflowOf(endpoint: Endpoint): RingInflow {
    return this.#inflows.get(endpoint)!;
  }

  // Waking up

  /** Completions may have arrived. While there are some, the next turn looks again; then the bell is armed. */
  #look(): void {
    if (this.#closed) return;
    this.#hub.turned();
    const news = this.ring.reap();
    for (const endpoint of this.#starved) this.#hub.resume(endpoint);
    this.#starved.clear();
    this.#hub.dispatch();
    // The bell rings for what the ring has from now on, so that nothing may be left that was taken from it before.
    if (news || this.ring.reap()) {
      this.#turnsLeft = this.#patienceTurns;
      return this.#lookSoon();
    }
    if (this.#hub.core.u32[this.#hub.core.out + 2] === 0) return this.#closing ? this.#finish() : undefined;
    this.#sleep(this.#turnsLeft);
  }

  /** Looks for completions in the next `turns`, and then arms the bell. */
  #sleep(turns: number): void {
    this.#turnsLeft = turns - 1;
    if (turns > 0) return this.#lookSoon();
    if (this.#bell.armed || this.#looking || this.#closed) return;
    this.#bell.arm();
    this.#armedAt = performance.now();
    if (this.ring.enter() > 0) this.#enterLater();
  }

  /** The kernel had no memory for all of the bell, which would not ring. */
  #enterLater(): void {
    setTimeout(() => {
      if (!this.#closed && this.ring.enter() > 0) this.#enterLater();
    }, NO_MEMORY_RETRY_MS);
  }

  #onBell(): void {
    const soon = performance.now() - this.#armedAt < SOON_MS;
    this.#patienceTurns = soon ? Math.min(2 * this.#patienceTurns + 1, MAX_PATIENCE_TURNS) : this.#patienceTurns >> 1;
    this.#look();
  }

  #lookSoon(): void {
    if (this.#looking || this.#bell.armed || this.#closed) return;
    this.#looking = true;
    setImmediate(() => {
      this.#looking = false;
      this.#look();
    });
  }

  setRef(ref: boolean): void {
    this.#bell.setRef(ref);
  }

  /**
   * Closes the ring, once the kernel is done with everything: it holds memory of sockets in quarantine, so that neither the ring nor
   * what is registered with it may go before.
   */
  close(): Promise<void> {
    this.#closing = true;
    if (this.ring.operations === 0) {
      this.#finish();
    } else {
      lingering.add(this);
      this.#lookSoon();
    }
    return Promise.resolve();
  }

  #finish(): void {
    this.#closed = true;
    lingering.delete(this);
    this.#bell.disarm();
    this.ring.enter();
    this.ring.reap();
    this.ring.close();
    this.#bell.close();
  }
}
