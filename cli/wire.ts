/**
 * What `ringlet send` and `ringlet recv` say to each other over one TCP connection. Integers are big-endian.
 *
 * For each file the sender writes
 *
 * | bytes | |
 * |---|---|
 * | 8 | `RINGLET1` |
 * | 8 | length of the file |
 * | length | the file |
 * | 32 | SHA-256 of the file |
 *
 * and the receiver answers, after the file or as soon as it cannot go on,
 *
 * | bytes | |
 * |---|---|
 * | 8 | `RINGLET1` |
 * | 8 | a {@linkcode STATUS} |
 * | 32 | SHA-256 of what it received; zeros when that is not the whole file |
 *
 * The sender closes its side after the answer to the last file. There is no encryption and no authentication.
 *
 * @module
 */
const MAGIC = new TextEncoder().encode("RINGLET1");
const WORD_AT = MAGIC.length;
const DIGEST_AT = WORD_AT + 8;

/** Length of a SHA-256 digest. */
export const DIGEST_BYTES = 32;
/** Length of what precedes a file. */
export const HEADER_BYTES = DIGEST_AT;
/** Length of the receiver's answer. */
export const REPLY_BYTES = DIGEST_AT + DIGEST_BYTES;

/** The receiver's answers. */
export const STATUS = {
  verified: 0,
  differs: 1,
  notStored: 2,
  stopped: 3,
} as const;

/** The name of an answer. */
export type Status = keyof typeof STATUS;

/** The receiver's answer. */
export interface Reply {
  readonly status: Status;
  readonly digest: Uint8Array;
}

function encode(word: number, digest: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(DIGEST_AT + digest.length);
  bytes.set(MAGIC);
  new DataView(bytes.buffer).setBigUint64(WORD_AT, BigInt(word));
  bytes.set(digest, DIGEST_AT);
  return bytes;
}

/** The number after the magic; `undefined` where either is not ours. */
function decode(bytes: Uint8Array): number | undefined {
  if (MAGIC.some((byte, i) => bytes[i] !== byte)) return undefined;
  const word = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(WORD_AT));
  return Number.isSafeInteger(word) ? word : undefined;
}

/** What precedes a file of `length` bytes. */
export function encodeHeader(length: number): Uint8Array {
  return encode(length, new Uint8Array(0));
}

/** The length of the file that follows, or `undefined` when this is no header. */
export function decodeHeader(bytes: Uint8Array): number | undefined {
  return decode(bytes);
}

/** The receiver's answer. */
export function encodeReply(status: Status, digest: Uint8Array = new Uint8Array(DIGEST_BYTES)): Uint8Array {
  return encode(STATUS[status], digest);
}

/** The receiver's answer, or `undefined` when this is none. */
export function decodeReply(bytes: Uint8Array): Reply | undefined {
  const word = decode(bytes);
  const status = (Object.keys(STATUS) as Status[]).find((name) => STATUS[name] === word);
  return status && { status, digest: bytes.slice(DIGEST_AT, REPLY_BYTES) };
}
