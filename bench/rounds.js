// What every contender of this runtime or another does with its payloads. JavaScript, because Node runs it too.
import process from "node:process";
import { createInterface } from "node:readline";

/** Payloads written and sent at a time where writing is timed, and sends in flight at once. */
export const BATCH = 32;

/**
 * @typedef {object} Sender A ring of payloads and a way to send them.
 * @property {(i: number) => Uint8Array} payload
 * @property {(from: number, count: number) => Promise<void>} send Resolves when the payloads may be written again.
 * @property {() => unknown} close
 */

/**
 * @typedef {object} Job
 * @property {{ hostname: string, port: number }} to Where to send to.
 * @property {number} bytes Size of a payload.
 * @property {number} count How many there are.
 */

/**
 * Sends the first `count` payloads once and again, at least `roundBytes`, each written anew before each time: all of them off the clock
 * (`before`), or a batch at a time on the clock (`within`).
 *
 * @param {Sender} sender
 * @param {number} bytes
 * @param {number} count
 * @param {string} writing
 * @param {number} roundBytes
 */
async function round(sender, bytes, count, writing, roundBytes) {
  const result = { bytes: 0, seconds: 0, cpuSeconds: 0 };
  /** @param {number} from @param {number} n */
  const write = (from, n) => {
    for (let i = from; i < from + n; i++) sender.payload(i).fill(i + result.bytes);
  };
  while (result.bytes < roundBytes) {
    if (writing === "before") write(0, count);
    const cpu = process.cpuUsage();
    const start = performance.now();
    if (writing === "before") {
      await sender.send(0, count);
    } else {
      for (let at = 0; at < count; at += BATCH) {
        write(at, BATCH);
        await sender.send(at, BATCH);
      }
    }
    result.seconds += (performance.now() - start) / 1000;
    const { user, system } = process.cpuUsage(cpu);
    result.cpuSeconds += (user + system) / 1e6;
    result.bytes += bytes * count;
  }
  return result;
}

/**
 * Serves one contender: its name and job come as arguments, and each line of standard input asks for a round.
 *
 * @param {Record<string, (job: Job) => Promise<Sender>>} senders
 */
export async function serve(senders) {
  const [name, hostname, port, bytes, count] = process.argv.slice(2);
  const job = { to: { hostname, port: Number(port) }, bytes: Number(bytes), count: Number(count) };
  const sender = await senders[name](job);
  for await (const line of createInterface({ input: process.stdin })) {
    const [writing, count, roundBytes] = line.split(" ");
    const result = await round(sender, job.bytes, Number(count), writing, Number(roundBytes));
    console.log(result.bytes, result.seconds, result.cpuSeconds);
  }
  await sender.close();
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
