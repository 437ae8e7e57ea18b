/**
 * Asserting errors: every one has a code, and says what is wrong.
 */
import { assert, assertEquals } from "@std/assert";
import { RingletError } from "../../mod.ts";

/** What an error must say. */
export interface Expected {
  syscall?: string;
  /** A part of the message or of the advice. */
  says?: string;
}

/** Asserts that `action` fails with `code`, and answers the error. */
export async function fails(
  code: string,
  action: () => unknown,
  { syscall, says }: Expected = {},
): Promise<RingletError> {
  try {
    await action();
  } catch (error) {
    if (!(error instanceof RingletError)) throw error;
    assertEquals(error.code, code, error.message);
    if (syscall !== undefined) assertEquals(error.syscall, syscall);
    if (says !== undefined) assert(`${error.message} ${error.advice ?? ""}`.includes(says), error.message);
    return error;
  }
  throw new Error(`expected ${code}, but it succeeded`);
}

/** Asserts that `promise` is rejected with exactly `reason`. */
export async function rejectsWith(reason: unknown, promise: Promise<unknown>): Promise<void> {
  const [succeeded, outcome] = await promise.then(() => [true], (error) => [false, error]);
  assert(!succeeded, "expected a rejection, but it succeeded");
  assert(outcome === reason, `expected the signal's own reason, not ${outcome}`);
}
