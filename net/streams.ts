/**
 * Connections as web streams.
 *
 * @module
 */
import type { Endpoint } from "./endpoint.ts";
import type { TcpConn } from "./tcp.ts";

/** Bytes received at once for a readable stream. */
const READ_BYTES = 64 * 1024;

/** What `conn` receives. A lease for it is held only while there is data, so that idle readers leave the arena to others. */
export function readableOf(conn: TcpConn, endpoint: Endpoint): ReadableStream<Uint8Array<ArrayBuffer>> {
  const { arena, engine } = endpoint.hub;
  const byteLength = Math.min(READ_BYTES, arena.bytes.length);
  const abort = new AbortController();
  const signal = AbortSignal.any([abort.signal, endpoint.closing.stopped]);
  return new ReadableStream({
    async pull(controller) {
      endpoint.requireOpen("connection");
      await engine.readable(endpoint, signal);
      using lease = await arena.lease(byteLength, { signal });
      const bytes = await conn.recv(lease, { signal });
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
