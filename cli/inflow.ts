/**
 * What a connection receives, read in pieces of the reader's choice; while one lease is read, the other one is filled.
 *
 * @module
 */
import type { Io, Lease, TcpConn } from "../mod.ts";
import { CommandError } from "./failure.ts";

/** See the module. */
export class Inflow implements AsyncDisposable {
  readonly #conn: TcpConn;
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  readonly #onReceived: (bytes: number) => void;
  readonly #leases: [reading: Lease, filling: Lease];
  #coming: Promise<number | null>;
  /** What is left of the lease that is being read. */
  #rest = new Uint8Array(0);

  private constructor(
    conn: TcpConn,
    leases: [Lease, Lease],
    signal: AbortSignal,
    onReceived: (bytes: number) => void,
  ) {
    this.#conn = conn;
    this.#signal = AbortSignal.any([signal, this.#stop.signal]);
    this.#onReceived = onReceived;
    this.#leases = leases;
    this.#coming = this.#receive();
  }

  /**
   * Starts to receive.
   *
   * @param chunkBytes Length of each of the two leases.
   * @param signal Gives up waiting for the peer.
   * @param onReceived Told how many bytes have just come.
   */
  static async open(
    io: Io,
    conn: TcpConn,
    chunkBytes: number,
    signal: AbortSignal,
    onReceived: (bytes: number) => void,
  ): Promise<Inflow> {
    const leases: [Lease, Lease] = [await io.lease(chunkBytes, { signal }), await io.lease(chunkBytes, { signal })];
    return new Inflow(conn, leases, signal, onReceived);
  }

  #receive(): Promise<number | null> {
    const coming = this.#conn.recv(this.#leases[1], { signal: this.#signal });
    coming.catch(() => {}); // whoever awaits it next is told
    return coming;
  }

  /** At most `max` bytes, valid until the next call; `undefined` at the end of the stream. */
  async some(max: number): Promise<Uint8Array | undefined> {
    if (this.#rest.length === 0) {
      const bytes = await this.#coming;
      if (bytes === null) return undefined;
      this.#onReceived(bytes);
      this.#leases.reverse();
      this.#rest = this.#leases[0].bytes.subarray(0, bytes);
      this.#coming = this.#receive();
    }
    const piece = this.#rest.subarray(0, max);
    this.#rest = this.#rest.subarray(piece.length);
    return piece;
  }

  /** Exactly `count` bytes, copied; `undefined` when the stream ends before the first. */
  async exactly(count: number): Promise<Uint8Array | undefined> {
    const bytes = new Uint8Array(count);
    for (let have = 0; have < count;) {
      const piece = await this.some(count - have);
      if (piece === undefined && have === 0) return undefined;
      if (piece === undefined) throw new CommandError("failed", `The stream ended ${count - have} bytes too early`);
      bytes.set(piece, have);
      have += piece.length;
    }
    return bytes;
  }

  /** Stops receiving. The connection stays open. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#coming.catch(() => {});
    for (const lease of this.#leases) lease[Symbol.dispose]();
  }
}
