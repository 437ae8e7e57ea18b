/**
 * A file that is read straight into leases, hashed on its way, one chunk ahead of the sends.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import type { Lease } from "../mod.ts";
import { cannot, CommandError } from "./failure.ts";
import type { Outbox } from "./outbox.ts";

/** See the module. */
export class Source implements AsyncDisposable {
  readonly path: string;
  /** Length when it was opened: so much is sent, whatever happens to the file later. */
  readonly byteLength: number;
  readonly #file: FileHandle;

  private constructor(path: string, file: FileHandle, byteLength: number) {
    this.path = path;
    this.#file = file;
    this.byteLength = byteLength;
  }

  /** Opens a regular file. */
  static async open(path: string): Promise<Source> {
    const file = await open(path, "r").catch((error) => {
      throw cannot(`open ${path}`, error);
    });
    const info = await file.stat();
    if (info.isFile()) return new Source(path, file, info.size);
    await file.close();
    const kind = info.isDirectory() ? "it is a directory" : "it is not a regular file, so its length is not known";
    throw new CommandError("failed", `Cannot send ${path}: ${kind}`);
  }

  /** Sends the whole file in leases of `chunkBytes`; answers its SHA-256. */
  async sendTo(outbox: Outbox, chunkBytes: number): Promise<Uint8Array> {
    const hash = createHash("sha256");
    const read = (at: number) =>
      at < this.byteLength ? this.#filled(outbox, at, Math.min(chunkBytes, this.byteLength - at)) : undefined;
    let next = read(0);
    try {
      for (let at = 0; next !== undefined;) {
        const lease: Lease = await next;
        at += lease.byteLength;
        next = read(at);
        hash.update(lease.bytes);
        outbox.send(lease);
      }
    } finally {
      await next?.then((lease) => lease[Symbol.dispose](), () => {});
    }
    return hash.digest();
  }

  /** A lease with the `byteLength` bytes at `at`. */
  async #filled(outbox: Outbox, at: number, byteLength: number): Promise<Lease> {
    const lease = await outbox.lease(byteLength);
    try {
      await this.fill(lease.bytes, at);
      return lease;
    } catch (error) {
      lease.release();
      throw error;
    }
  }

  /** Reads exactly `into.length` bytes from `at` on. */
  async fill(into: Uint8Array, at: number): Promise<void> {
    for (let done = 0; done < into.length;) {
      const { bytesRead } = await this.#file.read(into, done, into.length - done, at + done);
      if (bytesRead === 0) {
        throw new CommandError("failed", `Cannot send ${this.path}: it became shorter while it was sent`);
      }
      done += bytesRead;
    }
  }

  /** Whether the file has become longer than what is sent. */
  async hasGrown(): Promise<boolean> {
    return (await this.#file.stat()).size > this.byteLength;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }
}
