/**
 * What the kernel says about a socket's options, asked past the library.
 */
import { assertEquals } from "@std/assert";
import type { Socket } from "../../mod.ts";
import { openSystem } from "../../ffi/system.ts";
import type { Endpoint } from "../../net/endpoint.ts";

/** The inside of a socket: the library shows its descriptor to the engines only. */
export function endpointOf(socket: Socket): Endpoint {
  return (socket as unknown as { endpoint: Endpoint }).endpoint;
}

/** An integer socket option. */
export function getOption(socket: Socket, level: number, option: number): number {
  const value = new Int32Array(1);
  const length = new Uint8Array(Uint32Array.of(4).buffer);
  const { call } = openSystem().libc;
  const { fd } = endpointOf(socket);
  assertEquals(call.getsockopt(fd, level, option, new Uint8Array(value.buffer), length), 0, "getsockopt");
  return value[0];
}
