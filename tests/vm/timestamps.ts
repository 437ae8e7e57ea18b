/**
 * Packets of guests have times from the start on. The kernel writes to its own code when the first socket asks for them and when the last
 * one is closed, and of two emulated processors one may run what the other is changing: a guest on a busy machine has died of it (int3
 * in __netif_receive_skb_core).
 */

const [AF_INET, SOCK_DGRAM, SOL_SOCKET, SO_TIMESTAMPNS] = [2, 2, 1, 35];

/** Has the kernel note when each packet comes, as long as the program runs. */
export function wantTimestamps(): void {
  const { symbols: { socket, setsockopt } } = Deno.dlopen("libc.so.6", {
    socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
    setsockopt: { parameters: ["i32", "i32", "i32", "buffer", "u32"], result: "i32" },
  });
  const on = Int32Array.of(1);
  if (setsockopt(socket(AF_INET, SOCK_DGRAM, 0), SOL_SOCKET, SO_TIMESTAMPNS, on, on.byteLength) < 0) {
    throw new Error("no socket has timestamps");
  }
}
