/**
 * How addresses are written in messages.
 *
 * @module
 */
import type { InternetAddress, UnixAddress } from "../ffi/address.ts";

/** `10.0.0.2:9000`, `[::1]:9000` or a path. */
export function addressText(address: InternetAddress | UnixAddress): string {
  if ("path" in address) return address.path;
  const { hostname, port } = address;
  return `${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}`;
}
