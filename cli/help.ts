/**
 * `--help`, made from the tables that are parsed.
 *
 * @module
 */
import type { Command } from "./command.ts";
import { EXIT } from "./failure.ts";
import { type Option, type OptionName, OPTIONS } from "./options.ts";

const WIDTH = 100;

/** Help about everything. */
export function generalHelp(commands: Readonly<Record<string, Command>>): string {
  const listed = Object.entries(commands).filter(([, { hidden }]) => !hidden);
  return [
    "ringlet lends buffers to the Linux kernel, sends them, and gets every one of them back.",
    section("Usage", listed.map(([name, { synopsis, summary }]) => [`ringlet ${name} ${synopsis}`, summary])),
    "  ringlet COMMAND --help         all options of a command\n  ringlet --version",
    exitCodes(),
  ].join("\n\n");
}

/** Help about one command. */
export function commandHelp(name: string, { synopsis, summary, details, options }: Command): string {
  return [
    `Usage: ringlet ${name} [options] ${synopsis}`,
    `${summary[0].toUpperCase()}${summary.slice(1)}.`,
    ...details === undefined ? [] : [wrapped(details, "")],
    section("Options", options.map((name) => [optionText(name), OPTIONS[name].help])),
    exitCodes(),
  ].join("\n\n");
}

function optionText(name: OptionName): string {
  const { short, metavar }: Option<unknown> = OPTIONS[name];
  return `${short === undefined ? "    " : `-${short}, `}--${name}${metavar === undefined ? "" : ` ${metavar}`}`;
}

function exitCodes(): string {
  return section("Exit codes", Object.values(EXIT).map(({ code, meaning }) => [String(code), meaning]));
}

function section(title: string, rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([left]) => left.length));
  const lines = rows.map(([left, right]) => `  ${left.padEnd(width)}  ${wrapped(right, " ".repeat(width + 4))}`);
  return [`${title}:`, ...lines].join("\n");
}

/** Breaks lines between words; those after the first begin with `indent`. */
function wrapped(text: string, indent: string): string {
  const lines = [""];
  for (const word of text.split(" ")) {
    const line = lines.at(-1)!;
    if (line !== "" && indent.length + line.length + 1 + word.length > WIDTH) lines.push(word);
    else lines[lines.length - 1] = line === "" ? word : `${line} ${word}`;
  }
  return lines.join(`\n${indent}`);
}
