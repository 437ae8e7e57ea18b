/**
 * A lease that the program forgot is reported, and never reclaimed: a view of it may live on.
 */
import { assertEquals } from "@std/assert";
import { childJson } from "../support/child.ts";
import { testIf } from "../support/skip.ts";

testIf(undefined, "forgotten leases are reported once each; returned, sent and kept ones are not", async () => {
  const program = new URL("./programs/forgotten.ts", import.meta.url);
  const outcome = await childJson<Record<string, unknown>>(program, { flags: ["-A", "--v8-flags=--expose-gc"] });
  // 5000: what was left of a lease whose rest was cut off and returned.
  assertEquals(outcome, { reported: [1111, 2222, 5000], forgotten: 3, leases: 4, kept: "leased" });
});
