/**
 * Control messages of a datagram, as the kernel reads them from its send's record.
 *
 * @module
 */
import { C, layout } from "../ffi/abi.ts";
import { layout as core } from "../wasm/mod.ts";

const { cmsghdr } = layout;

/** A control message. */
export interface ControlMessage {
  readonly level: number;
  readonly type: number;
  readonly data: Uint8Array;
}

/** Control messages in one piece. */
export interface Control {
  readonly words: Uint32Array;
  readonly byteLength: number;
  /** The payload is a train of segments so long, which the last of them or the socket itself has the kernel cut; 0 for a single datagram. */
  readonly segmentBytes: number;
}

/** Where the data of a control message starts, and what one with so many bytes takes (CMSG_LEN and CMSG_SPACE of 64-bit Linux). */
const ALIGN = 8;
const spaceOf = (dataBytes: number) => cmsghdr.size + Math.ceil(dataBytes / ALIGN) * ALIGN;

/**
 * Lays out `messages`, and behind them the one that says into what segments the payload is cut.
 *
 * @param segmentBytes Bytes of a segment, below 65,536; 0 for a single datagram.
 * @param said Whether it has to be said: otherwise the socket does so by itself.
 * @throws {RangeError} when a record has no room for them.
 */
export function encodeControl(
  messages: readonly ControlMessage[],
  segmentBytes = 0,
  said: boolean = segmentBytes !== 0,
): Control {
  const all = said ? [...messages, segmentMessage(segmentBytes)] : messages;
  const byteLength = all.reduce((sum, { data }) => sum + spaceOf(data.length), 0);
  if (byteLength > core.SEND.CONTROL_BYTES) {
    throw new RangeError(`control messages of ${byteLength} bytes do not fit into a send's record`);
  }
  const bytes = new Uint8Array(byteLength);
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const { level, type, data } of all) {
    view.setBigUint64(at + cmsghdr.cmsg_len, BigInt(cmsghdr.size + data.length), true);
    view.setInt32(at + cmsghdr.cmsg_level, level, true);
    view.setInt32(at + cmsghdr.cmsg_type, type, true);
    bytes.set(data, at + cmsghdr.size);
    at += spaceOf(data.length);
  }
  return { words: new Uint32Array(bytes.buffer), byteLength, segmentBytes };
}

function segmentMessage(segmentBytes: number): ControlMessage {
  return { level: C.IPPROTO_UDP, type: C.UDP_SEGMENT, data: Uint8Array.of(segmentBytes & 0xff, segmentBytes >> 8) };
}
