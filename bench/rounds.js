// What every contender of this runtime or another does with its payloads. JavaScript, because Node runs it too.
import process from "node:process";
import { createInterface } from "node:readline";

/**
 * @typedef {object} Job
 * @property {number} depth Sends in flight at once.
 * @property {number} sockets
 * @property {{ hostname: string, port: number }} to Where to send to.
 * @property {number} bytes Size of a payload.
 * @property {number} count How many there are.
 * @property {number} segmentBytes Size of the datagrams that a payload is sent as; 0 when it is one.
 * @property {number} destinations Ports that each payload goes to, from `to.port` on.
 */

/**
 * @typedef {object} Sender A ring of payloads and a way to send them.
 * @property {(i: number) => Uint8Array} payload
 * @property {(from: number, count: number) => Promise<void>} send Resolves when the payloads may be written again.
 * @property {() => unknown} close
 */

/**
 * @typedef {object} Traveller A way to send a message and to wait for its answer.
 * @property {() => Promise<number | void>} trip Answers how many milliseconds of it count, if not all.
 * @property {() => unknown} close
 */

/** The exit code of a contender that cannot work on this machine. */
const NOT_HERE = 3;
/** What a machine may not have: an engine, memory that can be locked, descriptors. */
const LACKS = ["ERR_UNSUPPORTED", "ENOMEM", "EMFILE", "EPERM"];

/**
 * Sends the first `count` payloads once and again, each written anew before each time: all of them off the clock (`before`),
 * or those in flight together on the clock (`within`).
 *
 * @param {Sender} sender
 * @param {Job} job
 * @param {string} writing
 * @param {number} count
 * @param {number} roundSeconds
 */
async function sendRound(sender, { bytes, depth, destinations }, writing, count, roundSeconds) {
  const result = { bytes: 0, seconds: 0, cpuSeconds: 0 };
  /** @param {number} from @param {number} n */
  const write = (from, n) => {
    for (let i = from; i < from + n; i++) sender.payload(i).fill(i + result.bytes);
  };
  while (result.seconds < roundSeconds) {
    if (writing === "before") write(0, count);
    const cpu = process.cpuUsage();
    const start = performance.now();
    const step = writing === "before" ? count : depth;
    for (let at = 0; at < count; at += step) {
      const n = Math.min(step, count - at);
      if (writing === "within") write(at, n);
      await sender.send(at, n);
    }
    result.seconds += (performance.now() - start) / 1000;
    const { user, system } = process.cpuUsage(cpu);
    result.cpuSeconds += (user + system) / 1e6;
    result.bytes += bytes * count * destinations;
  }
  return result;
}

/**
 * Trip after trip; the result is that of the median trip.
 *
 * @param {Traveller} traveller
 * @param {Job} job
 * @param {number} roundSeconds
 */
async function tripRound(traveller, { bytes }, roundSeconds) {
  const cpu = process.cpuUsage();
  const milliseconds = [];
  for (let start = performance.now(), end = start + roundSeconds * 1000; start < end;) {
    const counted = await traveller.trip();
    const now = performance.now();
    milliseconds.push(counted ?? now - start);
    start = now;
  }
  const { user, system } = process.cpuUsage(cpu);
  milliseconds.sort((a, b) => a - b);
  const trips = milliseconds.length;
  return { bytes, seconds: milliseconds[trips >> 1] / 1000, cpuSeconds: (user + system) / 1e6 / trips };
}

/**
 * Serves one contender: its name and job come as arguments, it says "ready", and each line of standard input asks for a round.
 *
 * @param {Record<string, (job: Job) => Promise<Sender | Traveller>>} contenders
 */
export async function serve(contenders) {
  const [name, depth, sockets, hostname, ...numbers] = process.argv.slice(2);
  const [port, bytes, count, segmentBytes, destinations] = numbers.map(Number);
  const to = { hostname, port };
  const job = { depth: Number(depth), sockets: Number(sockets), to, bytes, count, segmentBytes, destinations };
  const contender = await contenders[name](job).catch((error) => {
    if (!LACKS.includes(error.code)) throw error;
    console.error(`SKIP ${name}: ${error.message}`);
    process.exit(NOT_HERE);
  });
  console.log("ready");
  for await (const line of createInterface({ input: process.stdin })) {
    const [writing, count, roundSeconds] = line.split(" ");
    const result = "trip" in contender
      ? await tripRound(contender, job, Number(roundSeconds))
      : await sendRound(contender, job, writing, Number(count), Number(roundSeconds));
    console.log(result.bytes, result.seconds, result.cpuSeconds);
  }
  await contender.close();
}

/**
 * Payloads in ordinary memory.
 *
 * @param {Job} job
 */
export function buffers({ bytes, count }) {
  const memory = new Uint8Array(bytes * count);
  return Array.from({ length: count }, (_, i) => memory.subarray(i * bytes, (i + 1) * bytes));
}

/**
 * The datagrams of payloads, for those who have no trains and no fan-out: as many of each payload.
 *
 * @param {Uint8Array[]} payloads
 * @param {Job} job
 */
export function datagrams(payloads, { bytes, segmentBytes, destinations, to }) {
  const length = segmentBytes || bytes;
  const starts = Array.from({ length: Math.ceil(bytes / length) }, (_, i) => i * length);
  const ports = Array.from({ length: destinations }, (_, i) => to.port + i);
  return payloads.flatMap((payload) =>
    ports.flatMap((port) => starts.map((start) => ({ bytes: payload.subarray(start, start + length), port })))
  );
}
