/**
 * Receiving datagrams, beside the runtime's own sockets.
 *
 * @module
 */
import { deno, Lines } from "./child.ts";
import { compete, type Contender, type Row, row, SPEED } from "./measure.ts";
import type { BenchOptions } from "./options.ts";

const PEERS = ["Deno.listenDatagram", "node:dgram"];
const WAYS = ["recvMany", "datagrams", "recv"];

/** The rows of receiving: every engine and way. */
export async function udpReceive({ quick, ...size }: BenchOptions): Promise<Row[]> {
  const ours = (quick ? ["uring"] : ["uring", "errqueue", "copy"]).flatMap((engine) =>
    (quick ? WAYS.slice(0, 1) : WAYS).map((way) => `${engine} ${way}`)
  );
  const contenders = new Map<string, Contender<number>>();
  try {
    for (const name of [...ours, ...PEERS]) {
      const lines = new Lines(deno("udp_receivers.ts", [name]));
      if (!await lines.ready()) continue;
      contenders.set(name, {
        async round(seconds) {
          lines.child.stdin!.write(`${seconds}\n`);
          const [bytes, taken] = (await lines.next()).split(" ").map(Number);
          return { bytes, seconds: taken, cpuSeconds: 0 };
        },
        close: () => lines.close(),
      });
    }
    const results = await compete(contenders, size.roundSeconds, size);
    const speeds = (name: string) => results.get(name)!.map(SPEED.of);
    return ours.flatMap((name) =>
      PEERS.map((peer) => row(`UDP receive 1,200 B: ${name}`, SPEED.unit, speeds(name), peer, speeds(peer)))
    );
  } finally {
    for (const contender of contenders.values()) await contender.close();
  }
}
