/**
 * Bytes that tell where they belong, and reading them back.
 */
import type { Io, Lease, TcpConn } from "../../mod.ts";

/** Fills `bytes` as the part of one endless pattern that begins at `from`, so that moved or lost bytes show. */
export function fillPattern(bytes: Uint8Array, from = 0): Uint8Array {
  for (let i = 0; i < bytes.length; i++) bytes[i] = patternAt(from + i);
  return bytes;
}

/** Index of the first byte that is not the pattern's, or -1. */
export function mismatch(bytes: Uint8Array, from = 0): number {
  for (let i = 0; i < bytes.length; i++) if (bytes[i] !== patternAt(from + i)) return from + i;
  return -1;
}

function patternAt(i: number): number {
  return (Math.imul(i, 0x9e3779b1) >>> 13) & 0xff;
}

/** A lease of text. */
export async function leaseOf(io: Io, text: string): Promise<Lease> {
  const bytes = new TextEncoder().encode(text);
  const lease = await io.lease(bytes.length);
  lease.bytes.set(bytes);
  return lease;
}

/** Receives until `byteLength` bytes are there or the stream ends; answers what came. */
export async function receive(io: Io, conn: TcpConn, byteLength = Infinity): Promise<Uint8Array> {
  using lease = await io.lease(65_536);
  return await receiveThrough(lease, conn, byteLength);
}

/** The same through a lease that the caller has. */
export async function receiveThrough(lease: Lease, conn: TcpConn, byteLength = Infinity): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let total = 0;
  while (total < byteLength) {
    const n = await conn.recv(lease);
    if (n === null) break;
    chunks.push(lease.bytes.slice(0, n));
    total += n;
  }
  const all = new Uint8Array(total);
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return all;
}

/** The same as text. */
export async function receiveText(io: Io, conn: TcpConn, byteLength = Infinity): Promise<string> {
  return new TextDecoder().decode(await receive(io, conn, byteLength));
}
