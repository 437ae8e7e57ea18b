/**
 * Runs out of descriptors in every way, under whatever limit this process has, and prints what each came to. Argument: the engine.
 */
import process from "node:process";
import type { EngineName, TcpConn, UdpSocket } from "../../../mod.ts";
import { withIo } from "../../support/engines.ts";

const hostname = "127.0.0.1";

async function outcome(action: () => unknown): Promise<string> {
  try {
    await action();
    return "done";
  } catch (error) {
    const { code, syscall, advice } = error as { code?: string; syscall?: string; advice?: string };
    return `${code} ${syscall}: ${advice}`;
  }
}

// The runtime watches for signals with descriptors of its own, which it takes when it first has time, and panics where there are none.
const onSignal = () => {};
process.on("SIGUSR2", onSignal);
process.off("SIGUSR2", onSignal);

await withIo({ engine: process.argv[2] as EngineName }, async (io) => {
  const listener = await io.listen({ hostname, port: 0 });
  const at = listener.localAddr as { hostname: string; port: number };
  const hogs: UdpSocket[] = [];
  const bind = async () => void hogs.push(await io.bindUdp({ hostname }));
  /** Takes every descriptor but `n`. */
  const leave = async (n: number) => {
    while (await outcome(bind) === "done");
    for (let i = 0; i < n; i++) await hogs.pop()!.close();
  };

  await leave(0);
  const results: Record<string, string> = {
    bindUdp: await outcome(bind),
    connect: await outcome(() => io.connect(at)),
    listen: await outcome(() => io.listen({ hostname, port: 0 })),
    lookup: await outcome(() => io.connect({ hostname: "localhost", port: at.port })),
    lookupOfNone: await outcome(() => io.connect({ hostname: "nosuch.invalid", port: 9 })),
  };
  await leave(1);
  results.lookupAgain = await outcome(() => io.bindUdp({ hostname: "nosuch.invalid" }));

  // The client takes the last descriptor.
  const waiting = outcome(() => listener.accept());
  const client = await io.connect(at);
  results.acceptWaiting = await waiting;
  results.accept = await outcome(() => listener.accept());
  results.loop = await outcome(async () => {
    for await (const _conn of listener);
  });
  await hogs.pop()!.close();
  const accepted: TcpConn[] = [];
  for await (const conn of listener) {
    accepted.push(conn);
    break;
  }
  await client.send(new Uint8Array([7]));
  using into = await io.lease(1);
  await accepted[0].recv(into);
  results.afterwards = `${into.bytes[0]}`;
  results.sockets = `${io.stats().sockets - hogs.length}`;
  console.log(JSON.stringify(results));
});
