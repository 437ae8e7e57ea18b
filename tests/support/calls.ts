/**
 * The calls of UDP sockets that send.
 */
import { assertEquals } from "@std/assert";
import type { DatagramOptions, Io, Lease, UdpSocket } from "../../mod.ts";

/** Sends a lease, and returns when it is released. */
type Call = (io: Io, udp: UdpSocket, lease: Lease, options: DatagramOptions) => Promise<void>;

/** Every call that sends one datagram, or train. */
export const CALLS: Record<string, Call> = {
  async send(_io, udp, lease, options) {
    await (await udp.send(lease, options)).released;
  },
  async "send, of bytes"(_io, udp, lease, options) {
    const bytes = lease.bytes.slice();
    lease.release();
    await (await udp.send(bytes, options)).released;
  },
  async trySend(io, udp, lease, options) {
    const id = udp.trySend(lease, options);
    let released = false;
    for (io.flush(); !released; io.reap((which, event) => released ||= which === id && event === "released")) {
      await io.reapable();
    }
  },
  async sendMany(_io, udp, lease, options) {
    const { accepted, released } = await udp.sendMany([{ data: lease, ...options }]);
    assertEquals(accepted, 1);
    await released;
  },
  async fanOut(_io, udp, lease, { to, ...options }) {
    const { accepted, released } = await udp.fanOut(lease, [to!], options);
    assertEquals(accepted, 1);
    await released;
  },
};
