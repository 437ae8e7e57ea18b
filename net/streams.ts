/**
 * Connections as web streams.
 *
 * @module
 */
import type { Arena } from "./arena.ts";
import type { TcpConn } from "./tcp.ts";

/** Bytes received at once for a readable stream. */
const READ_BYTES = 64 * 1024;

/**
 * What `conn` receives. A lease for it is held only while there is data, so that idle readers leave the arena to others.
 *
 * @param ready Resolves when there is data, or the end.
 */
export function readableOf(
  conn: TcpConn,
  arena: Arena,
  ready: (signal: AbortSignal) => Promise<void>,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  const abort = new AbortController();
  return new ReadableStream({
    async pull(controller) {
      await ready(abort.signal);
      const byteLength = Math.min(READ_BYTES, arena.bytes.length);
      using lease = await arena.lease(byteLength, { signal: abort.signal });
      const bytes = await conn.recv(lease, { signal: abort.signal });
      if (bytes === null) controller.close();
      else controller.enqueue(lease.bytes.slice(0, bytes));
    },
    cancel(reason) {
      abort.abort(reason);
    },
  }, { highWaterMark: 0 });
}

/** A sink that sends. A chunk is done when the kernel has accepted it: its bytes were copied before. */
export function writableOf(conn: TcpConn): WritableStream<Uint8Array> {
  return new WritableStream({
    async write(chunk) {
      await conn.send(chunk);
    },
    close: () => conn.closeWrite(),
    abort: () => conn.abort(),
  });
}
