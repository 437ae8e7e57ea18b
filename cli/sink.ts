/**
 * Where a received file goes. It gets its name when it is complete and verified; until then it is a `.part` file beside it.
 *
 * @module
 */
import { type FileHandle, open, realpath, rename, rm, stat } from "node:fs/promises";
import process from "node:process";
import { CommandError, messageOf } from "./failure.ts";

/** The disk is full, the folder is missing, and the like. */
export class NotStoredError extends CommandError {
  constructor(path: string, cause: unknown) {
    super("failed", `Cannot write to ${path}: ${messageOf(cause)}`, { cause });
  }
}

/** See the module. Every method throws a {@linkcode NotStoredError}. */
export class Sink implements AsyncDisposable {
  readonly #path: string;
  /** Absent for a device or a pipe, which is written directly, and when nothing is to be stored. */
  readonly #part: string | undefined;
  readonly #mode: number;
  #file: FileHandle | undefined;
  #at = 0;

  private constructor(path: string, part?: string, mode = 0o666) {
    this.#path = path;
    this.#part = part;
    this.#mode = mode;
  }

  /** Opens the place for `path`, so that a wrong one is told before anything comes. Without a path, what comes is dropped. */
  static async open(path: string | undefined): Promise<Sink> {
    if (path === undefined) return new Sink("");
    try {
      const info = await stat(path).catch((error) => {
        if (error.code === "ENOENT") return undefined;
        throw error;
      });
      if (info?.isDirectory()) throw new CommandError("failed", "it is a directory");
      if (info !== undefined && !info.isFile()) {
        const device = new Sink(path);
        device.#file = await open(path, "w");
        return device;
      }
      const target = info === undefined ? path : await realpath(path);
      const sink = new Sink(target, `${target}.${process.pid}.part`, info && info.mode & 0o777);
      await sink.#begin();
      return sink;
    } catch (error) {
      throw new NotStoredError(path, error);
    }
  }

  /** A file begins. What came of one that was not committed is dropped. */
  begin(): Promise<void> {
    return this.#stored(this.#begin());
  }

  async #begin(): Promise<void> {
    this.#at = 0;
    if (this.#part === undefined) return;
    if (this.#file === undefined) this.#file = await open(this.#part, "wx", this.#mode);
    else await this.#file.truncate();
  }

  /** Writes all of `bytes`. */
  write(bytes: Uint8Array): Promise<void> {
    return this.#stored(this.#write(bytes));
  }

  async #write(bytes: Uint8Array): Promise<void> {
    for (let done = 0; this.#file !== undefined && done < bytes.length;) {
      const position = this.#part === undefined ? null : this.#at;
      const { bytesWritten } = await this.#file.write(bytes, done, bytes.length - done, position);
      done += bytesWritten;
      this.#at += bytesWritten;
    }
  }

  /** The file is complete and verified. */
  commit(): Promise<void> {
    return this.#stored(this.#commit());
  }

  async #commit(): Promise<void> {
    if (this.#part === undefined || this.#file === undefined) return;
    const file = this.#file;
    this.#file = undefined;
    await file.close();
    await rename(this.#part, this.#path);
  }

  #stored(work: Promise<void>): Promise<void> {
    return work.catch((error) => {
      throw new NotStoredError(this.#path, error);
    });
  }

  /** Closes; an uncommitted file is removed. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file?.close();
    if (this.#part !== undefined) await rm(this.#part, { force: true });
  }
}
