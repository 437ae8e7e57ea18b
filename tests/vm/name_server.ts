/**
 * A name server for guests, which have no network: it knows no name, and says so at once.
 */

/** Answers every question on 127.0.0.1 with "no such name", as long as the program runs. */
export async function denyAllNames(): Promise<void> {
  const socket = Deno.listenDatagram({ transport: "udp", hostname: "127.0.0.1", port: 53 });
  for await (const [question, from] of socket) {
    const answer = question.slice();
    // A response, recursion wanted and available; NXDOMAIN.
    answer.set([0x81, 0x83], 2);
    await socket.send(answer, from);
  }
}
