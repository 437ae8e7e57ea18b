/**
 * Signals that give something up, and listening to those that thousands may share: one listener for all of them, because to remove one takes the longer the more there
 * are.
 *
 * It is removed when nobody listens any more: a timeout signal keeps the process alive as long as it has listeners, and Deno does not
 * count those that `once` has removed.
 *
 * @module
 */

/** Those who listen, by signal, in the order in which they came. */
const listening = new Map<AbortSignal, Set<() => void>>();

/** Calls `call` when `signal`, which is not aborted yet, is. Answers what ends that. */
export function onAbort(signal: AbortSignal, call: () => void): () => void {
  let calls = listening.get(signal);
  if (calls === undefined) {
    listening.set(signal, calls = new Set());
    signal.addEventListener("abort", tell);
  }
  calls.add(call);
  return () => {
    if (calls.delete(call) && calls.size === 0 && listening.get(signal) === calls) forget(signal);
  };
}

/** A signal that is aborted when `signal`, if there is one, or `other` is. */
export function either(signal: AbortSignal | undefined, other: AbortSignal): AbortSignal {
  return signal === undefined ? other : AbortSignal.any([signal, other]);
}

function forget(signal: AbortSignal): void {
  listening.delete(signal);
  signal.removeEventListener("abort", tell);
}

function tell(this: AbortSignal): void {
  const calls = listening.get(this)!;
  forget(this);
  for (const call of calls) call();
  calls.clear();
}
