/**
 * Connected sockets on loopback.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { ConnectOptions, Io, ListenOptions, TcpConn } from "../../mod.ts";
import { SLOWNESS } from "./skip.ts";

/** Both ends of a connection. */
export interface Pair {
  conn: TcpConn;
  peer: TcpConn;
}

/** Two ends of a TCP connection, or of a Unix one when `listen` has a path. Closed together with `io`. */
export async function connectedPair(
  io: Io,
  connect: ConnectOptions = {},
  listen: Partial<ListenOptions> = {},
): Promise<Pair> {
  const listener = await io.listen(listen.path === undefined ? { hostname: "127.0.0.1", port: 0, ...listen } : listen);
  const [conn, peer] = await Promise.all([
    io.connect({ ...listener.localAddr, ...connect }),
    listener.accept(),
  ]);
  await listener.close();
  return { conn, peer };
}

/** Both ends with buffers so small that a peer that does not read stalls the other soon. */
export function tightPair(io: Io, connect: ConnectOptions = {}): Promise<Pair> {
  return connectedPair(io, { sendBufferBytes: 65_536, ...connect }, { receiveBufferBytes: 65_536 });
}

/**
 * Waits until the peer stalls a connection, and answers how many bytes were accepted as far as is known: of an entry of a ring that others
 * are linked to nothing is told before all of it is over.
 */
export async function untilStalled(io: Io, conn: TcpConn): Promise<number> {
  const linked = io.capabilities.uring && !io.capabilities.gathersRegistered;
  let before = -1;
  for (let same = 0; same < 50 * SLOWNESS;) { // longer than an acknowledgement is delayed
    await sleep(2);
    const { bytesAccepted } = conn.stats();
    same = bytesAccepted === before && (bytesAccepted > 0 || linked) ? same + 1 : 0;
    before = bytesAccepted;
  }
  return before;
}
