/**
 * The port to a JavaScript runtime: everything that Deno, Node and Bun do differently. Each runtime has one adapter beside this
 * file; nothing else in the project names a runtime's global object.
 *
 * @module
 */

/** A C type as the foreign function interfaces name it. 64-bit values are always `bigint`. */
export type CType = "void" | "i32" | "u32" | "u64" | "usize" | "buffer";

/** A C function: `name` is the exported symbol where it differs from the key. */
export interface CFunction {
  readonly name?: string;
  readonly parameters: readonly CType[];
  readonly result: CType;
  /** Run on another thread; the call answers a promise. Its errno is lost. */
  readonly nonblocking?: boolean;
}

/** The functions of one library. */
export type SymbolTable = Readonly<Record<string, CFunction>>;

type Value<T extends CType> = T extends "i32" | "u32" ? number
  : T extends "u64" | "usize" ? bigint
  : T extends "buffer" ? Uint8Array | null
  : void;

type Values<P extends readonly CType[]> = { [I in keyof P]: Value<P[I]> };

type Result<F extends CFunction> = F["nonblocking"] extends true ? Promise<Value<F["result"]>>
  : Value<F["result"]>;

/** A library's functions as JavaScript calls them. */
export type Calls<T extends SymbolTable> = {
  readonly [K in keyof T]: (...args: Values<T[K]["parameters"]>) => Result<T[K]>;
};

/** An open shared library. */
export interface Library<T extends SymbolTable> {
  readonly path: string;
  readonly call: Calls<T>;
  /** The calling thread's errno. Valid only straight after a synchronous call that failed. */
  errno(): number;
  close(): void;
}

/** A pipe's read end that the event loop watches. */
export interface PipeWatch {
  ref(): void;
  unref(): void;
  /** Stops watching and closes the descriptor. */
  close(): void;
}

/** What a runtime offers; see the adapters. */
export interface Runtime {
  readonly name: "deno";
  /** Operating system and processor in Node's words, such as `linux` and `x64`. */
  readonly os: string;
  readonly arch: string;
  /**
   * Opens the first of `paths` that exists and that the program may open.
   *
   * @throws {Error} with the reasons of every path when none could be opened.
   */
  openLibrary<T extends SymbolTable>(paths: readonly string[], symbols: T): Library<T>;
  /**
   * The functions of the first of `paths` that can be opened and has them all, or `undefined`. Never throws, and skips paths that
   * the program would have to ask for. The library stays open until the program ends.
   */
  openIfGranted<T extends SymbolTable>(paths: readonly string[], symbols: T): Calls<T> | undefined;
  /** The machine address of a view's first byte. The caller keeps the view's memory alive. */
  addressOf(view: Uint8Array): bigint;
  /** Lets a pending nonblocking call keep the process alive, or not. */
  setRef(pending: Promise<unknown>, ref: boolean): void;
  /** Calls `onReadable` whenever bytes arrive on pipe `fd`, which it takes over and empties. */
  watchPipe(fd: number, onReadable: () => void): PipeWatch;
  /**
   * Asks for the permission to reach `hostname:port`, as the runtime's own sockets do.
   *
   * @throws {Error} the runtime's permission error, or a `URIError` when it does not take `hostname` for one.
   */
  requireNet(hostname: string, port: number): void;
  /** The same for a Unix socket's path, which is read and written. */
  requirePath(path: string): void;
}
