/**
 * The receiver of the TCP benchmark: reads and forgets, and answers a byte for every so many, so that a sender knows when all has
 * arrived.
 *
 * @module
 */
const READ_BYTES = 256 * 1024;

const answerEvery = Number(Deno.args[0]);
const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
console.log(listener.addr.port);
// The end of standard input is the end of the benchmark.
Deno.stdin.read(new Uint8Array(1)).then(() => Deno.exit());
for await (const conn of listener) discard(conn);

async function discard(conn: Deno.Conn): Promise<void> {
  const into = new Uint8Array(READ_BYTES);
  const answer = new Uint8Array(1);
  let bytes = 0;
  try {
    for (let n = await conn.read(into); n !== null; n = await conn.read(into)) {
      bytes += n;
      for (; bytes >= answerEvery; bytes -= answerEvery) await conn.write(answer);
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.ConnectionReset)) throw error;
  }
  conn.close();
}
