/**
 * Checks of what users pass in: everything is refused before the kernel sees it, with what was wrong and what is allowed.
 *
 * @module
 */
import { RingletError } from "./errors.ts";

/** `value` as it is shown in messages. */
export function shown(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "bigint") return `${value}n`;
  return value === null || typeof value !== "object" ? String(value) : Object.prototype.toString.call(value);
}

/**
 * `value` as a whole number within `min..max`.
 *
 * @throws {RingletError} `ERR_INVALID_ARG` when it is no number, `ERR_OUT_OF_RANGE` when it is fractional, NaN or out of bounds.
 */
export function integer(name: string, value: unknown, min: number, max: number): number {
  if (typeof value !== "number") {
    throw new RingletError("ERR_INVALID_ARG", `${name} must be a number: current value is ${shown(value)}`);
  }
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new RingletError(
      "ERR_OUT_OF_RANGE",
      `${name} must be a whole number from ${min} to ${max}: current value is ${value}`,
    );
  }
  return value;
}

/** The same for a bigint. */
export function bigInteger(name: string, value: unknown, min: bigint, max: bigint): bigint {
  if (typeof value !== "bigint") {
    throw new RingletError("ERR_INVALID_ARG", `${name} must be a bigint: current value is ${shown(value)}`);
  }
  if (value >= min && value <= max) return value;
  throw new RingletError("ERR_OUT_OF_RANGE", `${name} must be from ${min}n to ${max}n: current value is ${value}n`);
}

/** `value` as a port; `min` is 0 where the system may choose one. */
export function port(name: string, value: unknown, min: 0 | 1): number {
  return integer(name, value, min, 65_535);
}

/** `value` as a string that C can read. */
export function text(name: string, value: unknown): string {
  if (typeof value !== "string" || value === "") {
    throw new RingletError("ERR_INVALID_ARG", `${name} must be a non-empty string: current value is ${shown(value)}`);
  }
  if (value.includes("\0")) {
    throw new RingletError("ERR_INVALID_ARG", `${name} must not contain NUL: current value is ${shown(value)}`);
  }
  return value;
}

/** `value` as the path of a Unix socket; a leading NUL puts it in the abstract namespace. */
export function path(value: unknown): string {
  const abstract = typeof value === "string" && value.startsWith("\0");
  return abstract ? `\0${text("path", value.slice(1))}` : text("path", value);
}

/** `value` as one of `allowed`. */
export function oneOf<T extends string>(name: string, value: unknown, allowed: readonly T[]): T {
  if (!allowed.includes(value as T)) {
    throw new RingletError(
      "ERR_INVALID_ARG",
      `${name} must be one of ${allowed.join(", ")}: current value is ${shown(value)}`,
    );
  }
  return value as T;
}

/** `value` as a boolean. */
export function boolean(name: string, value: unknown): boolean {
  if (typeof value !== "boolean") {
    throw new RingletError("ERR_INVALID_ARG", `${name} must be a boolean: current value is ${shown(value)}`);
  }
  return value;
}

/** The options of a hot path that none were given to: nothing to check. */
export const NO_OPTIONS: Readonly<Record<never, never>> = Object.freeze({});

/** `value` as an options object without names nobody reads: a misspelt option is an error, not a default. */
export function options<T extends object>(name: string, value: T, known: readonly (keyof T & string)[]): T {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new RingletError("ERR_INVALID_ARG", `${name} must be an object: current value is ${shown(value)}`);
  }
  for (const key in value) {
    if (known.includes(key)) continue;
    throw new RingletError("ERR_INVALID_ARG", `${name} has no option "${key}": there are ${known.join(", ")}`);
  }
  return value;
}

/** `value` as something to iterate over. */
export function iterable<T>(name: string, value: Iterable<T>): Iterable<T> {
  if (
    typeof (value as Partial<Iterable<T>> | undefined)?.[Symbol.iterator] === "function" && typeof value !== "string"
  ) {
    return value;
  }
  throw new RingletError("ERR_INVALID_ARG", `${name} must be iterable: current value is ${shown(value)}`);
}

/** Throws the signal's reason if it is aborted; an error if it is no signal. */
export function notAborted(signal: AbortSignal | undefined): void {
  if (signal === undefined) return;
  if (!(signal instanceof AbortSignal)) {
    throw new RingletError("ERR_INVALID_ARG", `signal must be an AbortSignal: current value is ${shown(signal)}`);
  }
  signal.throwIfAborted();
}
