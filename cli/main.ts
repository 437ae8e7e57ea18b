/**
 * The `ringlet` command. `deno run -A cli/main.ts --help` says what it does.
 *
 * @module
 */
import process from "node:process";
import type { Command } from "./command.ts";
import { demo } from "./demo.ts";
import { EXIT, messageOf, outcomeOf } from "./failure.ts";
import { commandHelp, generalHelp } from "./help.ts";
import { Interrupt } from "./interrupt.ts";
import { offHost } from "./off_host.ts";
import { parseOptions, usage } from "./options.ts";
import { recv } from "./recv.ts";
import { errorJson, note, print } from "./report.ts";
import { send } from "./send.ts";
import { VERSION } from "./version.ts";

const COMMANDS: Readonly<Record<string, Command>> = { demo, send, recv, "off-host": offHost };

/**
 * Runs the command.
 *
 * @param args What follows `ringlet` on the command line.
 * @returns The exit code; `ringlet --help` lists them.
 */
export async function main(args: readonly string[]): Promise<number> {
  // Whoever reads our output may stop early.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});
  const [name, ...rest] = args;
  try {
    if (["--help", "-h", "help"].includes(name)) return answer(generalHelp(COMMANDS));
    if (["--version", "-V", "version"].includes(name)) return answer(`ringlet ${VERSION}`);
    if (name === undefined) throw usage("a command is missing");
    if (!Object.hasOwn(COMMANDS, name)) throw usage(`there is no command ${JSON.stringify(name)}`);
    return await runCommand(name, COMMANDS[name], rest);
  } catch (error) {
    const outcome = outcomeOf(error);
    note(messageOf(error));
    if (outcome === "usage") note("`ringlet --help` and `ringlet COMMAND --help` say what there is");
    const exitCode = EXIT[outcome].code;
    if (rest.includes("--json")) print(JSON.stringify({ ...errorJson(error), exitCode }));
    return exitCode;
  }
}

async function runCommand(name: string, command: Command, args: readonly string[]): Promise<number> {
  const { values, positionals } = parseOptions(args, command.options);
  if (values.help) return answer(commandHelp(name, command));
  const all = command.synopsis === "" ? [] : command.synopsis.split(" ");
  const needed = all.filter((part) => !part.startsWith("["));
  if (positionals.length < needed.length || positionals.length > all.length) {
    throw usage(`\`ringlet ${name}\` takes ${command.synopsis || "no arguments"}`);
  }
  using interrupt = new Interrupt();
  return await command.run({ positionals, values, signal: interrupt.signal });
}

function answer(text: string): number {
  print(text);
  return EXIT.ok.code;
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2));
