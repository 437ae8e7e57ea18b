/**
 * The runtime port on Deno.
 *
 * Works under `--allow-ffi=<path>`: no pointer API is used, since `Deno.UnsafePointer` and its kin need the permission for all of
 * FFI. Memory is reached through libc's own `memcpy`.
 *
 * @module
 */
import { Socket } from "node:net";
import type { Calls, Library, PipeWatch, Runtime, SymbolTable } from "./runtime.ts";

type PermissionDescriptor =
  | { name: "ffi" | "read" | "write"; path: string }
  | { name: "net"; host: string };

/** The part of Deno that this file uses, declared here so that other runtimes' type checks pass. */
interface DenoNamespace {
  build: { os: string; arch: string };
  dlopen(path: string, symbols: SymbolTable): { symbols: Record<string, unknown>; close(): void };
  permissions: {
    querySync(descriptor: PermissionDescriptor): { state: string };
    requestSync(descriptor: PermissionDescriptor): { state: string };
  };
  errors: { NotCapable: new (message: string) => Error };
  internal: symbol;
}

interface DenoCore {
  refOpPromise(pending: Promise<unknown>): void;
  unrefOpPromise(pending: Promise<unknown>): void;
}

/** What this adapter itself needs of libc, whichever library is opened: a dlopen handle resolves the symbols of its dependencies. */
const OWN = {
  ringletErrno: { name: "__errno_location", parameters: [], result: "u64" },
  ringletCopy: { name: "memcpy", parameters: ["buffer", "u64", "usize"], result: "u64" },
} as const satisfies SymbolTable;

/** Bytes taken from a pipe at a time: a bell rings with one, and seldom twice before it is heard. */
const PIPE_BYTES = 64;

/** `Deno.build.arch` in Node's words. */
const ARCH: Record<string, string> = { x86_64: "x64", aarch64: "arm64" };

class DenoRuntime implements Runtime {
  readonly name = "deno";
  readonly os: string;
  readonly arch: string;
  readonly #deno: DenoNamespace;
  #copy: Calls<typeof OWN>["ringletCopy"] | undefined;

  constructor(deno: DenoNamespace) {
    this.#deno = deno;
    this.os = deno.build.os;
    this.arch = ARCH[deno.build.arch] ?? deno.build.arch;
  }

  openLibrary<T extends SymbolTable>(paths: readonly string[], symbols: T): Library<T> {
    const reasons: string[] = [];
    for (const path of this.#grantedFirst(paths)) {
      try {
        const library = this.#deno.dlopen(path, { ...symbols, ...OWN });
        const own = library.symbols as unknown as Calls<typeof OWN>;
        this.#copy ??= own.ringletCopy;
        const word = new Int32Array(1);
        const wordBytes = new Uint8Array(word.buffer);
        return {
          path,
          call: library.symbols as unknown as Calls<T>,
          errno: () => {
            own.ringletCopy(wordBytes, own.ringletErrno(), 4n);
            return word[0];
          },
          close: () => library.close(),
        };
      } catch (error) {
        reasons.push(error instanceof Error ? error.message : String(error));
      }
    }
    throw new Error(reasons.join("\n"));
  }

  openIfGranted<T extends SymbolTable>(paths: readonly string[], symbols: T): Calls<T> | undefined {
    for (const path of paths.filter((path) => this.#granted(path))) {
      try {
        // Without OWN: a library that is built to need no libc has none of it to resolve.
        return this.#deno.dlopen(path, symbols).symbols as unknown as Calls<T>;
      } catch {
        // It is not there, or too old for a symbol.
      }
    }
    return undefined;
  }

  /** Paths that the program may open already come first, so that nobody is asked about the others. */
  #grantedFirst(paths: readonly string[]): string[] {
    return [...paths].sort((a, b) => Number(this.#granted(b)) - Number(this.#granted(a)));
  }

  #granted(path: string): boolean {
    return this.#deno.permissions.querySync({ name: "ffi", path }).state === "granted";
  }

  addressOf(view: Uint8Array): bigint {
    if (this.#copy === undefined) throw new Error("no library is open");
    return this.#copy(view, 0n, 0n);
  }

  setRef(pending: Promise<unknown>, ref: boolean): void {
    // Deno offers no public way to let a pending call not hold up the exit. Without this one, it holds it up.
    const core = (this.#deno as unknown as Record<symbol, { core?: DenoCore } | undefined>)[
      this.#deno.internal
    ]?.core;
    if (ref) core?.refOpPromise?.(pending);
    else core?.unrefOpPromise?.(pending);
  }

  watchPipe(fd: number, onReadable: () => void): PipeWatch {
    // Past the stream, which would take a fifth of the time of a wake-up.
    const callback = () => {
      onReadable();
      return true;
    };
    const onread = { buffer: new Uint8Array(PIPE_BYTES), callback };
    const socket = new Socket({ fd, readable: true, writable: false, onread });
    socket.resume();
    socket.on("error", () => socket.destroy());
    return {
      ref: () => void socket.ref(),
      unref: () => void socket.unref(),
      close: () => void socket.destroy(),
    };
  }

  requireNet(hostname: string, port: number): void {
    const host = `${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}`;
    try {
      this.#require({ name: "net", host }, `net access to "${host}"`, "--allow-net");
    } catch (error) {
      if (error instanceof this.#deno.errors.NotCapable) throw error;
      throw new URIError(error instanceof Error ? error.message : String(error), { cause: error });
    }
  }

  requirePath(path: string): void {
    this.#require({ name: "read", path }, `read access to "${path}"`, "--allow-read");
    this.#require({ name: "write", path }, `write access to "${path}"`, "--allow-write");
  }

  #require(descriptor: PermissionDescriptor, what: string, flag: string): void {
    if (this.#deno.permissions.requestSync(descriptor).state === "granted") return;
    throw new this.#deno.errors.NotCapable(`Requires ${what}, run again with the ${flag} flag`);
  }
}

/** The adapter, or `undefined` when the program does not run on Deno. */
export function denoRuntime(): Runtime | undefined {
  const deno = (globalThis as unknown as { Deno?: DenoNamespace }).Deno;
  return deno?.dlopen === undefined ? undefined : new DenoRuntime(deno);
}
