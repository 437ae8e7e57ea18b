/**
 * The short form of `deno task soak:udp`: every datagram that was accepted is accounted for.
 */
import { assert } from "@std/assert";
import { soakUdp } from "../soak/udp.ts";
import { ENGINES, NO_ENGINE } from "../support/engines.ts";
import { testIf } from "../support/skip.ts";

const SECONDS = 2;

for (const engine of ENGINES) {
  testIf(NO_ENGINE[engine], `UDP soak, ${SECONDS} s of mixed traffic [${engine}]`, async () => {
    const accounts = await soakUdp(engine, SECONDS);
    assert(accounts.length === 18 && accounts.every(({ received }) => received > 0), "every receiver got something");
    assert(accounts.some(({ dropped }) => dropped > 0), "nothing was dropped: the counter was not tested");
    assert(accounts.some(({ trains }) => trains > 0), "no train came");
  });
}
