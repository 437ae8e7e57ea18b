/**
 * The options of all commands: one table for parsing, checking and `--help`.
 *
 * @module
 */
import { parseArgs } from "node:util";
import type { EngineName, ZeroCopyMode } from "../mod.ts";
import { CommandError } from "./failure.ts";

/** An option. Without `metavar` it is a flag. */
export interface Option<T> {
  readonly short?: string;
  readonly metavar?: string;
  readonly help: string;
  readonly fallback: T;
  /** The value that `text` stands for; throws an `Error` that says what is allowed. */
  parse(text: string): T;
}

const KIB = 1024;
const MIB = KIB * KIB;

/** Sizes and durations: all that `--help` and the checks must agree on. */
const LIMITS = {
  arenaBytes: { min: 64 * KIB, max: 2 ** 32 - 64 * KIB },
  chunkBytes: { min: 1, max: 2 ** 30 },
  seconds: { min: 0.1, max: 86_400 },
  copies: { min: 1, max: 1_000_000 },
} as const;

function flag(help: string, short?: string): Option<boolean> {
  return { help, short, fallback: false, parse: () => true };
}

function text(metavar: string, help: string, short?: string): Option<string | undefined> {
  return {
    metavar,
    help,
    short,
    fallback: undefined,
    parse(text) {
      if (text === "" || text.includes("\0")) throw new Error("must be a non-empty text without NUL");
      return text;
    },
  };
}

function choice<T extends string>(metavar: string, values: readonly T[], help: string): Option<T> {
  return {
    metavar,
    help: `${help}: ${values.join(", ")} (default ${values[0]})`,
    fallback: values[0],
    parse(text) {
      const value = values.find((value) => value === text);
      if (value === undefined) throw new Error(`must be one of ${values.join(", ")}`);
      return value;
    },
  };
}

function number<F extends number | undefined>(
  metavar: string,
  { min, max }: { min: number; max: number },
  fallback: F,
  help: string,
  pattern = /^\d+$/,
): Option<number | F> {
  return {
    metavar,
    help: fallback === undefined ? help : `${help} (default ${fallback})`,
    fallback,
    parse(text) {
      const value = Number(text);
      if (!pattern.test(text) || value < min || value > max) throw new Error(`must be a number from ${min} to ${max}`);
      return value;
    },
  };
}

const SIZE = /^(\d+(?:\.\d+)?)([KMG]?)(?:i?B)?$/i;
const FACTORS: Readonly<Record<string, number>> = { "": 1, K: KIB, M: MIB, G: KIB * MIB };

function size({ min, max }: { min: number; max: number }, fallback: string, help: string): Option<number> {
  const bytesOf = (text: string) => {
    const [, digits, unit] = SIZE.exec(text) ?? [];
    return digits === undefined ? NaN : Math.round(Number(digits) * FACTORS[unit.toUpperCase()]);
  };
  return {
    metavar: "SIZE",
    help: `${help} (default ${fallback})`,
    fallback: bytesOf(fallback),
    parse(text) {
      const value = bytesOf(text);
      if (value >= min && value <= max) return value;
      throw new Error(`must be a size from ${min} to ${max} bytes, such as 65536, 256K, 64M or 1G (K is 1024)`);
    },
  };
}

const DECIMAL = /^\d+(\.\d+)?$/;

/** Every option there is. */
export const OPTIONS = {
  engine: choice<"auto" | EngineName>("NAME", ["auto", "uring", "errqueue", "copy"], "the way to the kernel"),
  "zero-copy": choice<ZeroCopyMode>("MODE", ["auto", "always", "never"], "which sends ask for zero-copy"),
  arena: size(LIMITS.arenaBytes, "16M", "memory to lend to the kernel"),
  chunk: size(LIMITS.chunkBytes, "512K", "size of one lease; at most a quarter of the arena"),
  copies: number("N", LIMITS.copies, undefined, "send the file so many times, each verified"),
  output: text("FILE", "where to store the file; it appears when it is complete and verified", "o"),
  host: text("ADDRESS", "local address to listen at (default 0.0.0.0)"),
  timeout: number("SECONDS", LIMITS.seconds, 30, "give up on a peer that is silent for so long", DECIMAL),
  wait: number("SECONDS", LIMITS.seconds, undefined, "give up when no sender has come by then", DECIMAL),
  "no-off-host": flag("leave out the second leg"),
  json: flag(
    "print one JSON object as the last line instead of the table; when nothing could be started, it has error and exitCode only",
  ),
  quiet: flag("print neither progress nor table", "q"),
  help: flag("show this help", "h"),
} as const satisfies Record<string, Option<unknown>>;

/** The name of an option. */
export type OptionName = keyof typeof OPTIONS;

/** The values of all options; those that were not given have their defaults. */
export type OptionValues = { readonly [K in OptionName]: ReturnType<(typeof OPTIONS)[K]["parse"]> };

/** Parses and checks `args`, which may use the options `allowed`. */
export function parseOptions(
  args: readonly string[],
  allowed: readonly OptionName[],
): { values: OptionValues; positionals: string[] } {
  const config = Object.fromEntries(allowed.map((name) => {
    const { metavar, short }: Option<unknown> = OPTIONS[name];
    const type = metavar === undefined ? "boolean" as const : "string" as const;
    return [name, short === undefined ? { type } : { type, short }];
  }));
  const { values: given, positionals } = parsed(() =>
    parseArgs({ args: [...args], options: config, allowPositionals: true })
  );
  const values: Record<string, unknown> = {};
  for (const [name, option] of Object.entries<Option<unknown>>(OPTIONS)) {
    const text = given[name];
    values[name] = text === undefined ? option.fallback : checked(name, option, String(text));
  }
  const result = values as OptionValues;
  if (result.chunk > result.arena / 4) {
    throw usage(`--chunk must be at most a quarter of --arena: ${result.chunk} of ${result.arena} bytes`);
  }
  return { values: result, positionals };
}

function parsed<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw usage(error instanceof Error ? error.message.split(/\. |\n/)[0] : String(error));
  }
}

function checked(name: string, option: Option<unknown>, text: string): unknown {
  try {
    return option.parse(text);
  } catch (error) {
    throw usage(`--${name} ${(error as Error).message}: current value is ${JSON.stringify(text)}`);
  }
}

/** The error for wrong arguments. */
export function usage(message: string): CommandError {
  return new CommandError("usage", message);
}

/** A port from the command line; `min` is 0 where the system may choose one. */
export function portOf(text: string, min: 0 | 1): number {
  const port = Number(text);
  if (/^\d{1,5}$/.test(text) && port >= min && port <= 65_535) return port;
  throw usage(`PORT must be a number from ${min} to 65535: current value is ${JSON.stringify(text)}`);
}

/** `HOST:PORT`, where an IPv6 address stands in brackets. */
export function targetOf(text: string): { hostname: string; port: number } {
  const [, v6, name, port] = /^(?:\[([^\]]+)\]|([^:[\]]+)):(.*)$/s.exec(text) ?? [];
  const hostname = v6 ?? name;
  if (hostname !== undefined) return { hostname, port: portOf(port, 1) };
  throw usage(`expected HOST:PORT, such as 10.0.0.2:9000 or [::1]:9000: current value is ${JSON.stringify(text)}`);
}
