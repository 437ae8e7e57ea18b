/**
 * What a command is.
 *
 * @module
 */
import type { OptionName, OptionValues } from "./options.ts";

/** Everything a command is started with. */
export interface Invocation {
  readonly positionals: readonly string[];
  readonly values: OptionValues;
  /** Aborted by Ctrl-C; the reason carries the exit code. */
  readonly signal: AbortSignal;
}

/** A command of the table in main.ts. */
export interface Command {
  /** What follows the name, such as `FILE HOST:PORT`; what is in brackets can be left out. */
  readonly synopsis: string;
  readonly summary: string;
  /** More for `--help`. */
  readonly details?: string;
  readonly options: readonly OptionName[];
  /** Not listed: started by another command. */
  readonly hidden?: true;
  /** Answers the exit code. */
  run(invocation: Invocation): Promise<number>;
}
