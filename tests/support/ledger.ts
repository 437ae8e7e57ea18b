/**
 * The invariant of the library: `lent == released + inFlight`, whatever happened, and no id that nobody can explain.
 */
import { assertEquals } from "@std/assert";
import type { Io } from "../../mod.ts";

/** Asserts the invariant now. */
export function assertLedger(io: Io): void {
  const { lent, released, inFlight, idsUnknown, idsDuplicate } = io.stats();
  assertEquals(lent, released + inFlight, "lent == released + inFlight");
  assertEquals({ idsUnknown, idsDuplicate }, { idsUnknown: 0, idsDuplicate: 0 });
}

/** Asserts the invariant, and that the kernel holds nothing any more. */
export function assertAllReturned(io: Io): void {
  assertLedger(io);
  const { inFlight, inFlightBytes, quarantined } = io.stats();
  assertEquals({ inFlight, inFlightBytes, quarantined }, {
    inFlight: 0,
    inFlightBytes: 0,
    quarantined: { sockets: 0, sends: 0 },
  });
}
