/**
 * Names a lease, a socket or a send: one safe integer, slot and generation in one, so that a handle kept too long is
 * refused instead of reaching what lives in its slot now.
 */
export type Handle = number;

const SLOTS = 2 ** 21;

/**
 * Puts a handle together.
 *
 * @param slot below 2^21
 * @param generation unsigned 32 bits
 * @returns the handle
 *
 * @example
 * ```ts
 * import { handleGeneration, handleSlot, makeHandle } from "@ringlet/ringlet/core";
 * import { assert, assertEquals } from "@std/assert";
 *
 * const handle = makeHandle(7, 4_294_967_295);
 * assert(Number.isSafeInteger(handle));
 * assertEquals(handleSlot(handle), 7);
 * assertEquals(handleGeneration(handle), 4_294_967_295);
 * ```
 */
export function makeHandle(slot: number, generation: number): Handle {
  return (generation >>> 0) * SLOTS + slot;
}

/**
 * The slot a handle names.
 *
 * @param handle of any kind
 * @returns the index of its record
 *
 * @example
 * ```ts
 * import { handleSlot, makeHandle } from "@ringlet/ringlet/core";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(handleSlot(makeHandle(3, 1)), 3);
 * ```
 */
export function handleSlot(handle: Handle): number {
  return handle % SLOTS;
}

/**
 * Which use of the slot a handle names.
 *
 * @param handle of any kind
 * @returns the generation, unsigned
 *
 * @example
 * ```ts
 * import { handleGeneration, makeHandle } from "@ringlet/ringlet/core";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(handleGeneration(makeHandle(3, 9)), 9);
 * ```
 */
export function handleGeneration(handle: Handle): number {
  return Math.floor(handle / SLOTS);
}
