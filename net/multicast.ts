/**
 * Membership of multicast groups.
 *
 * @module
 */
import { C, layout } from "../ffi/abi.ts";
import { encodeNumeric, hostOf, interfaceIndex } from "../ffi/address.ts";
import type { Endpoint } from "./endpoint.ts";
import { RingletError, systemError } from "./errors.ts";
import { options as checkOptions, text } from "./validate.ts";

/** Which interface joins a multicast group. */
export interface MulticastOptions {
  /** Name of the interface, such as `eth0`. Default: the kernel chooses by its routes. */
  interface?: string;
}

/** Joins or leaves a group. */
export function changeMembership(
  endpoint: Endpoint,
  action: "join" | "leave",
  group: string,
  options: MulticastOptions,
): void {
  endpoint.requireOpen();
  checkOptions("options", options, ["interface"]);
  const { system } = endpoint.hub;
  const address = encodeNumeric(system, text("group", group), 0);
  if (address === undefined) {
    throw new RingletError("ERR_INVALID_ARG", `group must be an IP address: current value is "${group}"`);
  }
  const index = options.interface === undefined ? 0 : interfaceIndex(system, text("interface", options.interface));
  if (options.interface !== undefined && index === 0) {
    throw new RingletError("ENODEV", `Cannot ${action} ${group}: there is no interface "${options.interface}"`);
  }
  const v6 = address.family === C.AF_INET6;
  const { ip_mreqn, ipv6_mreq } = layout;
  const request = new Uint8Array(v6 ? ipv6_mreq.size : ip_mreqn.size);
  request.set(hostOf(address), v6 ? ipv6_mreq.ipv6mr_multiaddr : ip_mreqn.imr_multiaddr);
  new DataView(request.buffer).setInt32(v6 ? ipv6_mreq.ipv6mr_interface : ip_mreqn.imr_ifindex, index, true);
  const option = v6
    ? { join: C.IPV6_ADD_MEMBERSHIP, leave: C.IPV6_DROP_MEMBERSHIP }[action]
    : { join: C.IP_ADD_MEMBERSHIP, leave: C.IP_DROP_MEMBERSHIP }[action];
  const level = v6 ? C.IPPROTO_IPV6 : C.IPPROTO_IP;
  if (system.libc.call.setsockopt(endpoint.fd, level, option, request, request.length) < 0) {
    throw systemError("setsockopt", system.libc.errno(), `${action} ${group}`);
  }
}
