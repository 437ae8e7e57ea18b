/**
 * What a program says beside the bytes of a datagram: the one place where such control messages are made.
 *
 * @module
 */
import { C, layout } from "../ffi/abi.ts";
import { encodeNumeric, hostOf } from "../ffi/address.ts";
import type { System } from "../ffi/system.ts";
import { type Control, type ControlMessage, encodeControl } from "./control.ts";
import { RingletError } from "./errors.ts";
import { bigInteger, integer, text } from "./validate.ts";

const { in_pktinfo, in6_pktinfo } = layout;

/** What can be said for one datagram, or train; what is not said is as the socket has it. The names are those of `Metadata`. */
export interface SendMetadata {
  /** The local address to send from, one of this host's, of the destination's family (IP_PKTINFO, IPV6_PKTINFO). */
  localAddress?: string;
  /** The index of the interface to send through (IP_PKTINFO, IPV6_PKTINFO). */
  interfaceIndex?: number;
  /** The traffic class (TOS) byte, 0 to 255 (IP_TOS, IPV6_TCLASS). */
  trafficClass?: number;
  /** Explicit congestion notification, 0 to 3: the two lowest bits of the traffic class, whose others are 0 if it is not given. */
  ecn?: number;
  /** Hops that it may take, 1 to 255 (IP_TTL, IPV6_HOPLIMIT). */
  hopLimit?: number;
  /**
   * When it may leave, in nanoseconds of `io.monotonicNs()`, for a socket that was bound with `transmitTimes: true` (SCM_TXTIME). Only
   * the queueing discipline `fq` of the device it leaves through holds it back; others send it at once.
   */
  transmitNs?: bigint;
}

/** Names of {@linkcode SendMetadata}. */
export const SEND_METADATA = [
  "localAddress",
  "interfaceIndex",
  "trafficClass",
  "ecn",
  "hopLimit",
  "transmitNs",
] as const satisfies (keyof SendMetadata)[];

/** Control messages kept encoded by one socket. */
const MAX_KNOWN = 256;

/** Makes the control messages of one socket's datagrams. */
export class MetadataEncoder {
  readonly #system: System;
  readonly #transmitTimes: boolean;
  /** By everything that is in them. */
  readonly #known = new Map<string, Control>();
  /** For the last datagram, or train, without metadata: mostly the next one is cut as it was. */
  #last = { control: encodeControl([], 1), said: true };

  /** @param transmitTimes The socket may say when datagrams leave. */
  constructor(system: System, transmitTimes: boolean) {
    this.#system = system;
    this.#transmitTimes = transmitTimes;
  }

  /**
   * The control messages for a datagram with this metadata.
   *
   * @param v4 It goes over IPv4.
   * @param segmentBytes It is a train of segments so long; 0 for a single datagram.
   * @param said That has to be said, because the socket does otherwise by itself.
   * @throws {RingletError} for metadata that cannot be.
   */
  encode(metadata: SendMetadata, v4: boolean, segmentBytes: number, said: boolean): Control | undefined {
    if (!checkMetadata(metadata)) {
      if (segmentBytes === 0 && !said) return undefined;
      const last = this.#last;
      if (segmentBytes === last.control.segmentBytes && said === last.said) return last.control;
      this.#last = { control: encodeControl([], segmentBytes, said), said };
      return this.#last.control;
    }
    const { localAddress = "", interfaceIndex = "", trafficClass = "", ecn = "", hopLimit = "", transmitNs } = metadata;
    if (transmitNs !== undefined) return encodeControl(this.#messages(metadata, v4), segmentBytes, said);
    const key = `${segmentBytes} ${said} ${v4} ${localAddress} ${interfaceIndex} ${trafficClass} ${ecn} ${hopLimit}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const control = encodeControl(this.#messages(metadata, v4), segmentBytes, said);
    if (this.#known.size >= MAX_KNOWN) this.#known.clear();
    this.#known.set(key, control);
    return control;
  }

  #messages(metadata: SendMetadata, v4: boolean): ControlMessage[] {
    const { localAddress, interfaceIndex, trafficClass, ecn, hopLimit, transmitNs } = metadata;
    const messages: ControlMessage[] = [];
    const add = (level: number, type: number, data: ArrayBufferView<ArrayBuffer>) => {
      messages.push({ level, type, data: new Uint8Array(data.buffer) });
    };
    if (localAddress !== undefined || interfaceIndex !== undefined) {
      const source = localAddress === undefined ? undefined : this.#source(localAddress, v4);
      const info = new Uint8Array(v4 ? in_pktinfo.size : in6_pktinfo.size);
      if (source !== undefined) info.set(source, v4 ? in_pktinfo.ipi_spec_dst : in6_pktinfo.ipi6_addr);
      new DataView(info.buffer).setInt32(
        v4 ? in_pktinfo.ipi_ifindex : in6_pktinfo.ipi6_ifindex,
        interfaceIndex ?? 0,
        true,
      );
      if (v4) add(C.IPPROTO_IP, C.IP_PKTINFO, info);
      else add(C.IPPROTO_IPV6, C.IPV6_PKTINFO, info);
    }
    if (trafficClass !== undefined || ecn !== undefined) {
      const whole = trafficClass ?? 0;
      const value = Int32Array.of(ecn === undefined ? whole : whole & ~3 | ecn);
      if (v4) add(C.IPPROTO_IP, C.IP_TOS, value);
      else add(C.IPPROTO_IPV6, C.IPV6_TCLASS, value);
    }
    if (hopLimit !== undefined) {
      const value = Int32Array.of(hopLimit);
      if (v4) add(C.IPPROTO_IP, C.IP_TTL, value);
      else add(C.IPPROTO_IPV6, C.IPV6_HOPLIMIT, value);
    }
    if (transmitNs !== undefined) add(C.SOL_SOCKET, C.SCM_TXTIME, BigUint64Array.of(this.#transmitTime(transmitNs)));
    return messages;
  }

  #source(localAddress: string, v4: boolean): Uint8Array {
    const encoded = encodeNumeric(this.#system, localAddress, 0);
    if (encoded === undefined) {
      throw new RingletError(
        "ERR_INVALID_ARG",
        `localAddress must be an IP address: current value is "${localAddress}"`,
      );
    }
    if ((encoded.family === C.AF_INET) !== v4) {
      throw new RingletError(
        "EAFNOSUPPORT",
        `Cannot send from ${localAddress}: the destination is an IPv${v4 ? 4 : 6} address`,
      );
    }
    return hostOf(encoded);
  }

  #transmitTime(transmitNs: bigint): bigint {
    if (this.#transmitTimes) return transmitNs;
    throw new RingletError("ERR_INVALID_ARG", "transmitNs goes with a socket that asks for it", {
      advice: "bind it with `transmitTimes: true`",
    });
  }
}

/**
 * Whether there is any metadata among the options of a datagram.
 *
 * @throws {RingletError} for a value out of bounds.
 */
export function checkMetadata(metadata: SendMetadata): boolean {
  const { localAddress, interfaceIndex, trafficClass, ecn, hopLimit, transmitNs } = metadata;
  if (localAddress !== undefined) text("localAddress", localAddress);
  if (interfaceIndex !== undefined) integer("interfaceIndex", interfaceIndex, 0, 2 ** 31 - 1);
  if (trafficClass !== undefined) integer("trafficClass", trafficClass, 0, 255);
  if (ecn !== undefined) integer("ecn", ecn, 0, 3);
  if (hopLimit !== undefined) integer("hopLimit", hopLimit, 1, 255);
  if (transmitNs !== undefined) bigInteger("transmitNs", transmitNs, 0n, 2n ** 63n - 1n);
  return localAddress !== undefined || interfaceIndex !== undefined || trafficClass !== undefined ||
    ecn !== undefined || hopLimit !== undefined || transmitNs !== undefined;
}
