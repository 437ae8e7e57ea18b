/**
 * What wakes the event loop when a descriptor has news: one epoll instance per `open()`, and one call of `poll` on it that waits
 * on another thread.
 *
 * Every descriptor is registered once, edge-triggered, for everything, so interest never has to be changed: operations try
 * first and wait for the next edge when the kernel has nothing.
 *
 * @module
 */
import { setImmediate } from "node:timers";
import { C, epollEvent, layout } from "../ffi/abi.ts";
import type { System } from "../ffi/system.ts";
import { systemError } from "./errors.ts";

/** Calls back with the epoll event bits of one descriptor. */
export type OnReady = (events: number) => void;

/** Events fetched by one `epoll_wait`. */
const EVENTS = 256;
/** A poll is renewed this often, so that the thread of a Worker that was terminated does not stay behind. */
const POLL_MS = 10_000;

/** The doorbell of one `open()`. */
export class Doorbell {
  /** Bytes of scratch that one takes, on any processor. */
  static readonly SCRATCH_BYTES: number = EVENTS * epollEvent.arm64.size;

  readonly #system: System;
  readonly #epoll: number;
  readonly #wake: number;
  readonly #watched = new Map<number, OnReady>();
  readonly #scratch: DataView;
  readonly #scratchAddress: bigint;
  /** libc's own memory: the polling thread writes to it even when this Worker is gone, and its memories with it. */
  readonly #pollfd: bigint;
  readonly #afterRing: () => void;
  #nextKey = 1;
  #polling: Promise<unknown> | undefined;
  /** The next turn looks for news, without a poll. */
  #looking = false;
  #ref = false;
  #closed = false;

  /**
   * @param scratch Where `epoll_wait` writes: {@linkcode SCRATCH_BYTES} that live as long as this object.
   * @param scratchAddress Its machine address.
   * @param afterRing Called after the callbacks of one wake-up.
   */
  constructor(system: System, scratch: DataView, scratchAddress: bigint, afterRing: () => void) {
    const { call } = system.libc;
    this.#system = system;
    this.#scratch = scratch;
    this.#scratchAddress = scratchAddress;
    this.#afterRing = afterRing;
    this.#epoll = call.epoll_create1(C.EPOLL_CLOEXEC);
    if (this.#epoll < 0) throw systemError("epoll_create1", system.libc.errno(), "open");
    this.#wake = call.eventfd(0, C.EFD_CLOEXEC | C.EFD_NONBLOCK);
    if (this.#wake < 0) {
      const errno = system.libc.errno();
      call.close(this.#epoll);
      throw systemError("eventfd", errno, "open");
    }
    this.#pollfd = call.malloc(BigInt(layout.pollfd.size));
    const pollfd = new Uint8Array(layout.pollfd.size);
    const view = new DataView(pollfd.buffer);
    view.setInt32(layout.pollfd.fd, this.#epoll, true);
    view.setInt16(layout.pollfd.events, C.POLLIN, true);
    call.poke(this.#pollfd, pollfd, BigInt(pollfd.length));
    this.watch(this.#wake, () => {});
  }

  /** Calls `onReady` at every edge of `fd` from now on. Answers a key for {@linkcode unwatch}. */
  watch(fd: number, onReady: OnReady): number {
    const key = this.#nextKey++;
    const { size, events, data } = epollEvent[this.#system.arch];
    const event = new Uint8Array(size);
    const view = new DataView(event.buffer);
    view.setUint32(events, (C.EPOLLIN | C.EPOLLOUT | C.EPOLLRDHUP | C.EPOLLET) >>> 0, true);
    view.setUint32(data, key, true);
    if (this.#system.libc.call.epoll_ctl(this.#epoll, C.EPOLL_CTL_ADD, fd, event) < 0) {
      throw systemError("epoll_ctl", this.#system.libc.errno(), "watch a socket");
    }
    this.#watched.set(key, onReady);
    if (fd !== this.#wake) this.#arm();
    return key;
  }

  /** Stops watching; call it before the descriptor is closed. */
  unwatch(fd: number, key: number): void {
    this.#watched.delete(key);
    this.#system.libc.call.epoll_ctl(this.#epoll, C.EPOLL_CTL_DEL, fd, null);
  }

  /** Whether the wait keeps the process alive. */
  setRef(ref: boolean): void {
    if (this.#ref === ref || this.#closed) return;
    this.#ref = ref;
    if (this.#polling !== undefined) this.#system.runtime.setRef(this.#polling, ref);
  }

  /** Delivers the news there is, without waiting. Answers whether there was any. */
  ring(): boolean {
    const { size, events, data } = epollEvent[this.#system.arch];
    let news = false;
    let n: number;
    do {
      n = this.#system.libc.call.epoll_wait(this.#epoll, this.#scratchAddress, EVENTS, 0);
      for (let at = 0; at < n * size; at += size) {
        const onReady = this.#watched.get(this.#scratch.getUint32(at + data, true));
        onReady?.(this.#scratch.getUint32(at + events, true));
      }
      news ||= n > 0;
    } while (n === EVENTS);
    return news;
  }

  /**
   * After a poll. While there is news, the event loop looks for more at each turn: under load that costs far less than polls, which
   * wake a thread each. The look itself holds up the exit for no more than one turn.
   */
  #answer(): void {
    if (this.#closed) return;
    const news = this.ring();
    this.#afterRing();
    if (!news) return this.#arm();
    this.#looking = true;
    setImmediate(() => {
      this.#looking = false;
      if (this.#ref) this.#answer();
      else this.#arm();
    });
  }

  #arm(): void {
    if (this.#polling !== undefined || this.#looking || this.#closed) return;
    const polling = this.#system.libc.call.poll(this.#pollfd, 1n, POLL_MS);
    this.#polling = polling;
    this.#system.runtime.setRef(polling, this.#ref);
    polling.then(() => {
      this.#polling = undefined;
      this.#answer();
    });
  }

  /** Ends the wait and frees everything. Nothing may be watched any more. */
  async close(): Promise<void> {
    // Until the other thread has heard of it, whatever else has nothing to wait for any more.
    this.setRef(true);
    this.#closed = true;
    const { call } = this.#system.libc;
    if (this.#polling !== undefined) {
      call.write(this.#wake, new Uint8Array(BigUint64Array.of(1n).buffer), 8n);
      await this.#polling;
    }
    call.close(this.#wake);
    call.close(this.#epoll);
    call.free(this.#pollfd);
  }
}
