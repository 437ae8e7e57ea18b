/**
 * What goes one way between two sockets: what was sent, what became of each send, and what the other end must have got.
 */
import { assert, assertEquals } from "@std/assert";
import { concat } from "@std/bytes";
import {
  type Lease,
  type Receipt,
  type Release,
  RingletError,
  type SendEvent,
  type TcpConn,
  type UdpSocket,
} from "../../mod.ts";

/** A send, and what is known of it. */
export class Sent {
  /** Bytes that the kernel accepted, once that is known; `"some"` where nobody says how many. */
  accepted: number | "some" | undefined;
  /** Why it failed. */
  failure: string | undefined;
  /** It was the program that gave it up. */
  givenUp = false;
  /** Its flow ended before. */
  readonly late: boolean;
  #over = false;

  /** @param leases Those that the send consumes, and that come back if nothing is accepted. */
  constructor(readonly flow: Flow, readonly content: Uint8Array, readonly leases: readonly Lease[]) {
    this.late = flow.disturbed;
  }

  /** The kernel has let go of the memory, or never had it. */
  get over(): boolean {
    return this.#over;
  }

  /** Follows a promise to its end. */
  async follow(sending: Promise<Receipt>, signal?: AbortSignal): Promise<void> {
    let released: Promise<unknown> | undefined;
    try {
      const { bytes, released: release } = await sending;
      assertEquals(bytes, this.content.length, "a receipt is for everything");
      this.#isAccepted(bytes);
      released = release;
    } catch (error) {
      const reason = signal?.aborted ? signal.reason : undefined;
      if (error instanceof RingletError) {
        this.#hasFailed(error.code, error.bytesAccepted ?? 0, reason !== undefined && causes(error).includes(reason));
        released = error.released;
      } else {
        if (error !== reason) throw error;
        this.#hasFailed("given up", 0, true);
      }
    }
    if (released !== undefined) assertEquals(typeof (await released as Release).copied, "boolean");
    this.#end();
  }

  /** Takes an event of `reap`. */
  told(event: SendEvent, value: number): void {
    if (event === "accepted") {
      assertEquals(value, this.content.length);
      this.#isAccepted(value);
    } else if (event === "released") {
      assert(this.accepted !== undefined, "released, and not accepted before");
      this.#end();
    } else {
      this.#hasFailed(`errno ${value}`, event === "failed" ? "some" : 0, false);
      if (event === "refused") this.#end();
    }
  }

  #isAccepted(bytes: number | "some"): void {
    assertEquals(this.accepted, undefined, "settled twice");
    this.accepted = bytes;
  }

  #hasFailed(why: string, accepted: number | "some", givenUp: boolean): void {
    this.#isAccepted(accepted);
    this.failure = why;
    this.givenUp = givenUp;
    assert(givenUp || this.flow.disturbed, `a send failed for no reason: ${why}`);
  }

  #end(): void {
    assert(!this.#over, "ended twice");
    this.#over = true;
    const refused = this.failure !== undefined && this.accepted === 0;
    for (const lease of this.leases) {
      assertEquals(lease.state, refused ? "leased" : "free", "a lease at the end of its send");
      if (refused) lease.release();
    }
  }
}

/** What an error came from, and what that came from. */
function causes({ cause }: Error): unknown[] {
  return cause instanceof Error ? [cause, ...causes(cause)] : [cause];
}

/** One direction of a pair of sockets. */
export class Flow {
  readonly sends: Sent[] = [];
  /** What came: pieces of the stream, or datagrams. */
  readonly received: Uint8Array[] = [];
  /** The sender has said that nothing follows. */
  closing = false;
  /** An end was closed without patience, so that bytes may be missing. */
  cut = false;
  /** How the reader learnt of the end of the stream. */
  end: "orderly" | "reset" | undefined;

  /** @param into Where the reader reads to. */
  constructor(
    readonly transport: "tcp" | "udp" | "unix",
    readonly from: TcpConn | UdpSocket,
    readonly to: TcpConn | UdpSocket,
    readonly into: Lease,
  ) {}

  /** Sends may fail that nobody gave up. */
  get disturbed(): boolean {
    return this.closing || this.cut;
  }

  /** Datagrams that were accepted and have not been read. */
  get unread(): number {
    const accepted = this.sends.filter(({ failure, accepted }) => failure === undefined && accepted !== undefined);
    return accepted.length - this.received.length;
  }

  /** Checks the flow, all of whose sends have ended. `drained` when the reader read all there was. */
  check(drained: boolean): void {
    for (const { over } of this.sends) assert(over, "a send has no end");
    if (this.transport === "udp") this.#checkDatagrams(drained);
    else this.#checkStream(drained);
    if (this.end !== "orderly") return;
    const unsent = this.sends.find(({ failure, givenUp, late }) => failure !== undefined && !givenUp && !late);
    const acceptable = unsent === undefined || this.transport === "unix"; // which knows no reset
    assert(acceptable, `the reader saw an orderly end although a send had failed: ${unsent?.failure}`);
  }

  #checkStream(drained: boolean): void {
    const total = this.from.stats().bytesAccepted;
    const known = this.sends.reduce((sum, { accepted }) => sum + (accepted === "some" ? 0 : accepted!), 0);
    const [unclear, ...more] = this.sends.filter(({ accepted }) => accepted === "some");
    assertEquals(more.length, 0, "sends that were accepted in part, one after another");
    if (unclear !== undefined) {
      unclear.accepted = total - known;
      assert(unclear.accepted > 0 && unclear.accepted < unclear.content.length, `${unclear.accepted} bytes in part`);
    } else {
      assertEquals(known, total, "bytes that the socket counts as accepted");
    }
    const expected = concat(this.sends.map(({ content, accepted }) => content.subarray(0, accepted as number)));
    const received: Uint8Array = concat(this.received);
    assert(received.length <= expected.length, `${received.length} bytes received, ${expected.length} accepted`);
    const wrong = received.findIndex((byte, i) => byte !== expected[i]);
    assertEquals(wrong, -1, `byte ${wrong} of ${received.length} is wrong`);
    if (this.end === "orderly" || drained && !this.cut) {
      assertEquals(received.length, expected.length, "bytes are lost");
    }
  }

  #checkDatagrams(drained: boolean): void {
    const expected = this.sends.filter(({ failure }) => failure === undefined).map(({ content }) => textOf(content));
    for (const datagram of this.received) {
      const at = expected.indexOf(textOf(datagram));
      assert(at >= 0, `a datagram of ${datagram.length} bytes came twice, or was not accepted`);
      expected.splice(at, 1);
    }
    if (drained && !this.cut) assertEquals(expected.length, 0, "datagrams are lost");
  }
}

function textOf(bytes: Uint8Array): string {
  return new TextDecoder("latin1").decode(bytes);
}
