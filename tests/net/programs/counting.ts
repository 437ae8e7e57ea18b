/**
 * A peer in a process of its own: prints the port it listens on, and once the first connection has ended how many bytes came.
 */
import { type AddressInfo, createServer } from "node:net";

const server = createServer((socket) => {
  let bytes = 0;
  socket.on("data", (chunk) => bytes += chunk.length);
  socket.on("close", () => {
    console.log(bytes);
    server.close();
  });
});
server.listen(0, "127.0.0.1", () => console.log((server.address() as AddressInfo).port));
