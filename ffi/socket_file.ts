/**
 * The file that a Unix socket is bound to.
 *
 * @module
 */
import { lstatSync, unlinkSync } from "node:fs";

/** A file that a socket of this program has just made. It may go with the socket. */
export class SocketFile {
  readonly #path: string;
  readonly #identity: string | undefined;

  constructor(path: string) {
    this.#path = path;
    this.#identity = identityOf(path);
  }

  /**
   * Removes the file, unless another one has taken its path. Call it before the socket is closed: until then no other file gets the
   * same identity.
   */
  remove(): void {
    if (this.#identity === undefined || identityOf(this.#path) !== this.#identity) return;
    try {
      unlinkSync(this.#path);
    } catch {
      // Somebody was faster, or forbids it: the socket is closed all the same.
    }
  }
}

function identityOf(path: string): string | undefined {
  try {
    const { dev, ino } = lstatSync(path, { bigint: true });
    return `${dev}:${ino}`;
  } catch {
    return undefined; // there is none, as in the abstract namespace
  }
}
