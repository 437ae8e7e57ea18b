/**
 * A peer made of the runtime's own sockets, which reads nothing until it is told to.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";

/** See the module. */
export class LateReader {
  /** What to pass to `io.connect()`. */
  readonly target: { hostname: string; port: number } | { path: string };
  readonly #server: Server;
  readonly #directory: string | undefined;
  readonly #connections: Socket[] = [];

  private constructor(server: Server, directory: string | undefined) {
    this.#server = server;
    this.#directory = directory;
    const address = server.address();
    this.target = typeof address === "string"
      ? { path: address }
      : { hostname: "127.0.0.1", port: (address as AddressInfo).port };
    server.on("connection", (socket) => {
      socket.on("error", () => {});
      this.#connections.push(socket);
    });
  }

  /** Listens on loopback, or at a path of its own. */
  static async listen(transport: "tcp" | "unix"): Promise<LateReader> {
    const directory = transport === "unix" ? mkdtempSync(`${tmpdir()}/ringlet-`) : undefined;
    const server = createServer({ pauseOnConnect: true });
    const listening = new Promise((resolve) => server.once("listening", resolve));
    if (directory === undefined) server.listen(0, "127.0.0.1");
    else server.listen(`${directory}/socket`);
    await listening;
    return new LateReader(server, directory);
  }

  /** Reads the latest connection to its end. */
  async readAll(): Promise<Uint8Array> {
    const chunks: Uint8Array[] = [];
    const socket = this.#connections.at(-1)!;
    await new Promise<void>((resolve) => {
      socket.on("data", (chunk: Uint8Array) => chunks.push(chunk));
      socket.on("close", () => resolve());
      socket.resume();
    });
    return new Uint8Array(await new Blob(chunks as Uint8Array<ArrayBuffer>[]).arrayBuffer());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#connections) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
    if (this.#directory !== undefined) rmSync(this.#directory, { recursive: true });
  }
}
