/**
 * A name server for guests, which have no network: it knows no name, and says so at once.
 */
import { createSocket } from "node:dgram";

/** Answers every question on 127.0.0.1 with "no such name", as long as the program runs. */
export function denyAllNames(): void {
  const socket = createSocket("udp4");
  socket.on("message", (question, { port, address }) => {
    const answer = question.slice();
    // A response, recursion wanted and available; NXDOMAIN.
    answer.set([0x81, 0x83], 2);
    socket.send(answer, port, address);
  });
  socket.bind(53, "127.0.0.1");
  socket.unref();
}
