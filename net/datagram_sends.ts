/**
 * The sends of one UDP socket: where they go, what goes with them, and whether they are trains.
 *
 * @module
 */
import { C } from "../ffi/abi.ts";
import type { InternetAddress } from "../ffi/address.ts";
import { type Control, encodeControl } from "./control.ts";
import { type Destination, Destinations } from "./destinations.ts";
import type { Endpoint } from "./endpoint.ts";
import { RingletError } from "./errors.ts";
import { Lease } from "./lease.ts";
import { type BatchReceipt, ManySends, type Outgoing, type Use } from "./many_sends.ts";
import { either } from "./on_abort.ts";
import type { Receipt } from "./receipt.ts";
import { checkMetadata, MetadataEncoder, SEND_METADATA, type SendMetadata } from "./send_metadata.ts";
import type { Header, Part } from "./send_queue.ts";
import { SEND_OPTIONS, type SendData, type SendOptions, type SendTurns, TRY_SEND_OPTIONS } from "./send_turns.ts";
import type { WaitOptions } from "./tcp.ts";
import { TrainSends } from "./train_sends.ts";
import { iterable, NO_OPTIONS, notAborted, options as checkOptions } from "./validate.ts";

/** Options of a datagram. */
export interface DatagramOptions extends SendOptions, SendMetadata {
  /** The destination; not needed when the socket has a `remote` address. */
  to?: InternetAddress;
  /**
   * Sends trains of datagrams of so many bytes each, the last one shorter: one call into the kernel for up to 128 of them
   * (UDP_SEGMENT, Linux 4.18). At most what the path's MTU allows without its headers; larger segments fail with `EMSGSIZE`.
   * Default: the socket's own `segmentBytes`.
   */
  segmentBytes?: number;
}

/** A datagram, or train, of `sendMany`. */
export interface OutgoingDatagram extends Omit<DatagramOptions, "signal"> {
  /** A lease, which is consumed; bytes, which are copied into one; or up to 16 of them. */
  data: SendData | readonly SendData[];
}

const OWN_OPTIONS = ["to", "segmentBytes", ...SEND_METADATA] as const;
const TRY_DATAGRAM_OPTIONS = [...TRY_SEND_OPTIONS, ...OWN_OPTIONS] as const satisfies (keyof DatagramOptions)[];
const DATAGRAM_OPTIONS = [...SEND_OPTIONS, ...OWN_OPTIONS] as const satisfies (keyof DatagramOptions)[];
const OUTGOING = [...TRY_DATAGRAM_OPTIONS, "data"] as const satisfies (keyof OutgoingDatagram)[];
const FAN_OUT_OPTIONS = DATAGRAM_OPTIONS.filter((name) => name !== "to");

/** See the module. */
export class DatagramSends {
  readonly #endpoint: Endpoint;
  readonly #turns: SendTurns;
  readonly #destinations: Destinations;
  readonly #trains: TrainSends;
  readonly #metadata: MetadataEncoder;
  readonly #many: ManySends;
  /** Of sends that do not say it themselves. */
  readonly #segmentBytes: number | undefined;
  /** What goes with a train that says nothing at all. */
  readonly #train: Header;
  /** Datagrams to the socket's only peer go over IPv4. */
  readonly #remoteV4: boolean;

  /**
   * The socket's own size of segments is the endpoint's.
   *
   * @param maxBytes The most that one datagram carries.
   * @param transmitTimes The socket may say when datagrams leave.
   */
  constructor(endpoint: Endpoint, turns: SendTurns, maxBytes: number, transmitTimes: boolean) {
    const { system } = endpoint.hub;
    this.#endpoint = endpoint;
    this.#turns = turns;
    this.#destinations = new Destinations(system, endpoint.family);
    this.#trains = new TrainSends(endpoint, turns, maxBytes);
    this.#metadata = new MetadataEncoder(system, transmitTimes);
    this.#many = new ManySends(endpoint, turns);
    this.#segmentBytes = endpoint.sends.ownSegmentBytes || undefined;
    this.#train = { control: encodeControl([], this.#segmentBytes, false) };
    this.#remoteV4 = endpoint.family === C.AF_INET ||
      endpoint.remote !== undefined && !(endpoint.address("getpeername") as InternetAddress).hostname.includes(":");
  }

  /** See `UdpSocket.send`. */
  send(data: SendData | readonly SendData[], options: DatagramOptions): Promise<Receipt> {
    try {
      if (options !== NO_OPTIONS) checkOptions("options", options, DATAGRAM_OPTIONS);
      return this.#send(data, options);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #send(
    data: SendData | readonly SendData[],
    options: DatagramOptions,
    use: Use = (send) => send(),
  ): Promise<Receipt> {
    const to = this.#now(options.to);
    if (options.to === undefined || to !== undefined) return this.#sendTo(to, data, options);
    this.#check(data, options);
    return this.destination(options.to, options).then((to) => use(() => this.#sendTo(to, data, options)));
  }

  /** Refuses what a send would, before anybody waits for an address or for room. */
  #check(data: SendData | readonly SendData[], options: DatagramOptions): void {
    const { segmentBytes = this.#segmentBytes } = options;
    if (segmentBytes === undefined) this.#turns.check(data, options);
    else this.#trains.check(data, segmentBytes, options);
    checkMetadata(options);
  }

  #sendTo(
    to: Destination | undefined,
    data: SendData | readonly SendData[],
    options: DatagramOptions,
  ): Promise<Receipt> {
    const { segmentBytes = this.#segmentBytes } = options;
    if (segmentBytes === undefined) return this.#turns.send(data, this.#header(to, options, 0), options);
    this.#endpoint.closing.requireWritable();
    return this.#trains.send(data, (bytes) => this.#header(to, options, bytes), segmentBytes, options);
  }

  /** What goes with so many bytes, which are a datagram or a train. The number matters for trains only. */
  #header(to: Destination | undefined, options: DatagramOptions, bytes: number): Header | undefined {
    if (options === NO_OPTIONS) return segmentOf(bytes, this.#segmentBytes) === 0 ? undefined : this.#train;
    return headerOf(to, this.#control(options, to === undefined ? this.#remoteV4 : to.header.name.v4, bytes));
  }

  /** The control messages that go with them, over IPv4 or IPv6. */
  #control(options: DatagramOptions, v4: boolean, bytes: number): Control | undefined {
    const own = segmentOf(bytes, this.#segmentBytes);
    const wanted = segmentOf(bytes, options.segmentBytes ?? this.#segmentBytes);
    return this.#metadata.encode(options, v4, wanted, wanted !== own);
  }

  /** The checked header of a send without a promise. */
  tryHeader(lease: Lease, options: Omit<DatagramOptions, "signal">): Header | undefined {
    if (options !== NO_OPTIONS) checkOptions("options", options, TRY_DATAGRAM_OPTIONS);
    else if (this.#segmentBytes === undefined) return this.#connected();
    const to = this.#now(options.to);
    if (options.to !== undefined && to === undefined) {
      throw new RingletError(
        "ERR_INVALID_ARG",
        `Cannot try to send to "${options.to.hostname}": trySend takes numeric addresses`,
        { advice: "resolve the name first, with destination(), or use send()" },
      );
    }
    const { segmentBytes = this.#segmentBytes } = options;
    const train = segmentBytes !== undefined && lease instanceof Lease;
    return this.#header(to, options, train ? this.#trains.bytesOfOne(lease, segmentBytes, options) : 0);
  }

  /** See `UdpSocket.destination`. */
  async destination(to: InternetAddress, { signal }: WaitOptions): Promise<Destination> {
    notAborted(signal);
    const { stopped } = this.#endpoint.closing;
    return this.#destinations.now(to) ??
      await this.#destinations.later(to, either(signal, stopped));
  }

  /** See `UdpSocket.sendMany`. */
  sendMany(batch: Iterable<OutgoingDatagram>, options: WaitOptions): Promise<BatchReceipt> {
    return this.#sendAll(options, ["signal"], ({ signal }) =>
      [...iterable("batch", batch)].map((datagram) => {
        const { data, to: address, ...options } = checkOptions("datagram", datagram, OUTGOING);
        const part = data instanceof Lease ? this.#partOf(data, options) : undefined;
        const to = this.#now(address);
        const known = part !== undefined && (address === undefined || to !== undefined);
        if (!known) return this.#later(data, address, options, signal);
        return { data, part, header: this.#header(to, options, part.byteLength) };
      }));
  }

  /** See `UdpSocket.fanOut`. */
  fanOut(
    lease: Lease,
    destinations: Iterable<InternetAddress>,
    options: Omit<DatagramOptions, "to">,
  ): Promise<BatchReceipt> {
    return this.#sendAll(options, FAN_OUT_OPTIONS, ({ signal, ...options }) => {
      if (!(lease instanceof Lease)) throw new RingletError("ERR_INVALID_ARG", "Cannot send: fanOut takes a Lease");
      const part = this.#partOf(lease, options);
      const controlOf = onceForEach((v4) => this.#control(options, v4, part!.byteLength));
      const batch: Outgoing[] = [];
      for (const address of iterable("destinations", destinations)) {
        const to = this.#now(address);
        if (part === undefined || to === undefined) batch.push(this.#later(lease, address, options, signal));
        else batch.push({ data: lease, part, header: headerOf(to, controlOf(to.header.name.v4)) });
      }
      return batch;
    });
  }

  #sendAll<T extends WaitOptions>(
    options: T,
    known: readonly (keyof T & string)[],
    prepare: (options: T) => Outgoing[],
  ): Promise<BatchReceipt> {
    try {
      const { signal } = checkOptions("options", options, known);
      this.#endpoint.closing.requireWritable();
      notAborted(signal);
      return this.#many.send(prepare(options), signal);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** The checked range of a lease, unless it takes several trains. */
  #partOf(lease: Lease, options: DatagramOptions): Part | undefined {
    const { segmentBytes = this.#segmentBytes } = options;
    const one = segmentBytes === undefined || this.#trains.isOne(lease, segmentBytes, options);
    return one ? this.#turns.range(lease, options) : undefined;
  }

  /** One of many that needs a promise of its own: its address is not known yet, or it is more than a part of a lease. */
  #later(
    data: SendData | readonly SendData[],
    to: InternetAddress | undefined,
    options: DatagramOptions,
    signal: AbortSignal | undefined,
  ): Outgoing {
    this.#check(data, options);
    return { data, part: undefined, send: (use) => this.#send(data, { ...options, to, signal }, use) };
  }

  /** Where datagrams to an address go; `undefined` for the socket's only peer, and for a name that has to be resolved. */
  #now(address: InternetAddress | undefined): Destination | undefined {
    return address === undefined ? this.#connected() : this.#destinations.now(address);
  }

  #connected(): undefined {
    if (this.#endpoint.remote !== undefined) return undefined;
    throw new RingletError("EDESTADDRREQ", "Cannot send: there is no destination", {
      advice: "pass `to`, or bind the socket with `remote`",
    });
  }
}

/** Into what segments a send is cut: 0 for one that is a single datagram. */
function segmentOf(bytes: number, segmentBytes: number | undefined): number {
  return segmentBytes !== undefined && bytes > segmentBytes ? segmentBytes : 0;
}

function headerOf(to: Destination | undefined, control: Control | undefined): Header | undefined {
  return control === undefined ? to?.header : { name: to?.header.name, control };
}

/** Asks `make` once for each of both, when it is needed first. */
function onceForEach<T>(make: (v4: boolean) => T): (v4: boolean) => T {
  const made: { readonly of: T }[] = [];
  return (v4) => (made[v4 ? 1 : 0] ??= { of: make(v4) }).of;
}
