/**
 * What the network answered to datagrams of one socket that could not be delivered, kept until somebody asks.
 *
 * @module
 */
import type { InternetAddress } from "../ffi/address.ts";
import type { Endpoint } from "./endpoint.ts";
import { Waiters } from "./waiters.ts";

/** A datagram could not be delivered, as an ICMP message or this host itself says. */
export interface NetworkError {
  /** The errno's name: `ECONNREFUSED` (nobody listens), `EHOSTUNREACH`, `ENETUNREACH`, `EMSGSIZE` (larger than the path takes), … */
  readonly code: string;
  /** Where the datagram was sent to. */
  readonly to: InternetAddress;
  /** Who says so: `icmp` and `icmp6` are messages of the network; `local` is this host, which has told the send as well. */
  readonly origin: "icmp" | "icmp6" | "local";
  /** Who sent the message: the destination, or a router on the way. Absent for `local`. */
  readonly reporter?: string;
  /** The message's type, such as 3 (ICMP) or 1 (ICMPv6) for what is unreachable. */
  readonly icmpType: number;
  /** The message's code, such as 3 (ICMP) or 4 (ICMPv6) for a port. */
  readonly icmpCode: number;
  /** For `EMSGSIZE`: the largest packet that passes, in bytes, headers included. */
  readonly mtuBytes?: number;
  /** Errors before this one that were dropped because nobody took them: the last 256 are kept. */
  readonly missed: number;
}

/** Errors kept when nobody takes them. */
const MAX_KEPT = 256;
/** What this host itself puts into the queue, and tells the send as well. */
const LOCAL_CODE = "EMSGSIZE";
/** How often something that failed is tried again without any further message: each failure takes one pending error away. */
const TRIES = 2;

/** See the module. */
export class NetworkErrors {
  readonly #kept: NetworkError[] = [];
  readonly #waiters = new Waiters<void, NetworkError>();
  #missed = 0;
  /** Messages of the network so far. */
  #heard = 0;
  /** This host refused a datagram since something was excused. */
  #refused = false;
  /** What was tried again, by its slot. */
  readonly #tried = new Map<number, { generation: number; heard: number; times: number }>();

  /** Hands an error to the first who waits, or keeps it. */
  push(error: Omit<NetworkError, "missed">): void {
    if (error.origin === "local") this.#refused = true;
    else this.#heard += 1;
    if (this.#kept.length === MAX_KEPT) {
      this.#kept.shift();
      this.#missed += 1;
    }
    this.#kept.push({ ...error, missed: 0 });
    this.#waiters.serve(() => this.#take());
  }

  #take(): NetworkError | undefined {
    const error = this.#kept.shift();
    if (error === undefined) return undefined;
    const missed = this.#missed;
    this.#missed = 0;
    return { ...error, missed };
  }

  /**
   * Whether a call that failed with `code` may have failed for another datagram: the kernel tells an error to whichever call comes next.
   * It is to be tried again then.
   */
  excuse(slot: number, generation: number, code: string): boolean {
    const refused = this.#refused && code === LOCAL_CODE;
    this.#refused = false;
    if (refused) return false;
    const last = this.#tried.get(slot);
    const heard = this.#heard;
    const times = last?.generation === generation && last.heard === heard ? last.times + 1 : 1;
    this.#tried.set(slot, { generation, heard, times });
    return times <= TRIES;
  }

  /** Errors as they come, until `ended`. */
  async *iterate(endpoint: Endpoint, ended: AbortSignal): AsyncIterableIterator<NetworkError> {
    while (!ended.aborted) {
      let error = this.#take();
      try {
        error ??= await endpoint.pending(() => this.#waiters.wait(undefined, ended));
      } catch {
        return; // only `ended` rejects
      }
      yield error;
    }
  }
}
