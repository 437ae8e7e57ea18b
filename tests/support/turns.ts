/**
 * Waiting for what happens elsewhere, without measuring time.
 */
import { setTimeout as sleep } from "node:timers/promises";

/** Lets the event loop come round `n` times, so that everything that could happen now has happened. */
export async function turns(n = 5): Promise<void> {
  for (let i = 0; i < n; i++) await sleep(2);
}

/** Waits until `condition` holds; the test's own timeout is the limit. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(2);
}

/** Whether `promise` is settled after a few turns of the event loop. */
export async function settled(promise: Promise<unknown>): Promise<boolean> {
  let done = false;
  promise.then(() => done = true, () => done = true);
  await turns();
  return done;
}
