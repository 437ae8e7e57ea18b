/**
 * How a socket ends: its queue and its loans first, the descriptor last.
 *
 * @module
 */
import { C } from "../ffi/abi.ts";
import type { Endpoint } from "./endpoint.ts";
import { closedError, RingletError } from "./errors.ts";

/** How long the kernel gets to answer when its loans were taken back. */
const WITHDRAW_MS = 100;

/** The end of one socket, which has not begun yet, goes on, or is over. */
export class Closing {
  readonly #endpoint: Endpoint;
  readonly #stopped = new AbortController();
  readonly #deadline = new AbortController();
  /** Called whenever something that was pending ends. */
  readonly #onEnd = new Set<() => void>();
  /** Sends in flight when those looked last. */
  #inFlight = 0;
  #closing: Promise<void> | undefined;
  /** The program may send. */
  #writable = true;
  /** The kernel is given no more sends. */
  #sealed = false;
  /** The program wants the connection gone, whatever is in flight. */
  #reset = false;
  /** At the deadline, something waited to go out. */
  #cut = false;

  constructor(endpoint: Endpoint) {
    this.#endpoint = endpoint;
  }

  /** Whether a close was asked for. */
  get begun(): boolean {
    return this.#closing !== undefined;
  }

  /** Aborted when a close begins: what waits for the peer or for room to receive waits no longer. */
  get stopped(): AbortSignal {
    return this.#stopped.signal;
  }

  /** Aborted when a close stops being patient with what is to be sent. */
  get deadline(): AbortSignal {
    return this.#deadline.signal;
  }

  /** Refuses new sends after `closeWrite` or `close`. */
  requireWritable(): void {
    this.#endpoint.requireOpen();
    if (!this.#writable) throw writeClosed();
  }

  /** Refuses sends that had to wait, when the stream has ended before their turn. */
  requireUnsealed(): void {
    if (!this.#sealed) return;
    this.#endpoint.requireOpen();
    throw writeClosed();
  }

  /** Something that was pending has ended: those who wait for that look again. */
  lookAgain(): void {
    if (this.#onEnd.size > 0) { for (const wake of this.#onEnd) wake(); }
  }

  /** Events were told: perhaps sends of this socket have ended. */
  sendsEnded(): void {
    const { inFlight } = this.#endpoint;
    if (inFlight === this.#inFlight) return;
    this.#inFlight = inFlight;
    this.lookAgain();
  }

  #waitFor(wake: () => void): void {
    this.#onEnd.add(wake);
    this.#inFlight = this.#endpoint.inFlight;
    this.#endpoint.hub.ending.add(this.#endpoint);
  }

  #waitNoMore(wake: () => void): void {
    this.#onEnd.delete(wake);
    if (this.#onEnd.size === 0) this.#endpoint.hub.ending.delete(this.#endpoint);
  }

  /** No more sends: what is queued goes out, then the peer sees the end of the stream. */
  async closeWrite(): Promise<void> {
    this.#endpoint.requireOpen();
    if (!this.#writable) return;
    this.#writable = false;
    await this.#until(() => this.#allQueuedIsOut());
    if (!this.begun) this.#shutdown();
  }

  /**
   * Closes as the lease contract wants it: queue and loans first, the descriptor last. At the deadline the kernel is made to
   * let go. What it holds even then stays out, with the descriptor open, until its notification comes.
   */
  close(deadlineMs: number): Promise<void> {
    if (deadlineMs === 0) this.#reset = true;
    if (this.#closing === undefined) this.#closing = this.#close(deadlineMs);
    else if (deadlineMs === 0) this.#deadline.abort(closedError("socket"));
    return this.#closing;
  }

  async #close(deadlineMs: number): Promise<void> {
    await undefined; // so that `begun` is true before anyone is told
    const endpoint = this.#endpoint;
    endpoint.setRef(true);
    const closed = closedError("socket");
    this.#stopped.abort(closed);
    endpoint.hub.engine.stop(endpoint, closed);
    const { signal } = this.#deadline;
    if (deadlineMs === 0) this.#deadline.abort(closed);
    const timer = setTimeout(() => {
      this.#cut = !this.#allQueuedIsOut(); // before those who wait are told
      this.#deadline.abort(closed);
    }, deadlineMs);
    await this.#until(() => this.#allQueuedIsOut(), signal);
    if (!signal.aborted) {
      this.#shutdown();
      await this.#until(() => endpoint.inFlight === 0 && this.#delivered(), signal);
    }
    clearTimeout(timer);
    if (signal.aborted) await this.#takeBack();
    await this.#until(() => endpoint.quiet);
    endpoint.hub.endpoints.delete(endpoint);
    if (endpoint.inFlight > 0) this.#quarantine();
    else endpoint.dismantle();
  }

  /** The kernel still holds something: the descriptor stays open until it lets go. */
  #quarantine(): void {
    const endpoint = this.#endpoint;
    endpoint.hub.quarantine.add(endpoint);
    const leave = () => {
      if (endpoint.inFlight > 0) return;
      endpoint.hub.quarantine.delete(endpoint);
      this.#waitNoMore(leave);
      endpoint.dismantle();
    };
    this.#waitFor(leave);
  }

  #allQueuedIsOut(): boolean {
    const endpoint = this.#endpoint;
    return endpoint.sends.turns + endpoint.sends.recordless === 0 && endpoint.sends.queued() === 0;
  }

  #shutdown(): void {
    this.#sealed = true;
    const { stream, fd, hub } = this.#endpoint;
    if (stream) hub.system.libc.call.shutdown(fd, C.SHUT_WR);
  }

  /** The deadline: what is queued fails, and what the kernel holds is taken back at the price of the connection. */
  async #takeBack(): Promise<void> {
    const endpoint = this.#endpoint;
    // A peer that does not get everything must not take the end of the connection for the end of the stream.
    const cut = this.#cut || !this.#allQueuedIsOut();
    this.#sealed = true;
    if (this.#reset || cut || endpoint.inFlight > 0) endpoint.hub.engine.withdraw(endpoint);
    endpoint.hub.dispatch();
    await this.#until(() => endpoint.inFlight === 0, AbortSignal.timeout(WITHDRAW_MS));
  }

  /** Whether the peer's kernel has every byte. A socket closed with unread input resets, which would drop the rest. */
  #delivered(): boolean {
    const { stream, family, fd, hub } = this.#endpoint;
    if (!stream || family === C.AF_UNIX) return true;
    const { call } = hub.system.libc;
    // A connection that was reset has no peer any more, but still counts the bytes it could not deliver.
    const name = new Uint8Array(128);
    if (call.getpeername(fd, name, new Uint8Array(Uint32Array.of(name.length).buffer)) < 0) return true;
    const unacknowledged = new Int32Array(1);
    if (call.ioctl(fd, BigInt(C.SIOCOUTQ), new Uint8Array(unacknowledged.buffer)) < 0) return true;
    return unacknowledged[0] <= 1; // the last one counted is the end of the stream itself, whose acknowledgement may take 40 ms
  }

  /** Waits until `done`, looking again whenever something ends and every few milliseconds. An aborted signal ends the wait. */
  async #until(done: () => boolean, signal?: AbortSignal): Promise<void> {
    const endpoint = this.#endpoint;
    const { hub } = endpoint;
    for (let pauseMs = 0; !done() && !signal?.aborted; pauseMs = Math.min(pauseMs + 1, 20)) {
      await new Promise<void>((resolve) => {
        const wake = () => {
          clearTimeout(timer);
          signal?.removeEventListener("abort", wake);
          this.#waitNoMore(wake);
          resolve();
        };
        const timer = setTimeout(wake, pauseMs);
        signal?.addEventListener("abort", wake);
        this.#waitFor(wake);
      });
      if (endpoint.dismantled) return; // a close has overtaken a `closeWrite`
      hub.engine.collect(endpoint);
      // No event may follow for what was just collected, so what waited for it goes on here.
      if (endpoint.sends.queued() > 0) hub.engine.submit(endpoint);
      hub.dispatch();
    }
  }
}

function writeClosed(): RingletError {
  return new RingletError("EPIPE", "Cannot send: closeWrite() was called", { advice: "open a new connection" });
}
