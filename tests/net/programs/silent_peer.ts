/**
 * A peer that accepts and never reads. Prints its port; ends when its input does. Argument: the address to listen at.
 */
import { createServer } from "node:net";
import process from "node:process";

const server = createServer({ pauseOnConnect: true }, (socket) => socket.on("error", () => {}));
server.listen(0, process.argv[2], () => console.log((server.address() as { port: number }).port));
process.stdin.on("end", () => process.exit(0)).resume();
