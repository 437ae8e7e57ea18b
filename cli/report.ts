/**
 * How a command ends: a table for people, or a JSON line for programs.
 *
 * @module
 */
import process from "node:process";
import { codeOf, EXIT, messageOf, outcomeOf } from "./failure.ts";
import { bytesText, countText } from "./format.ts";
import type { OptionValues } from "./options.ts";
import type { Hashes, Leg } from "./run.ts";

/** Everything a command has to tell. */
export interface Report extends Leg, Hashes {
  [more: string]: unknown;
}

/** A column of the closing table. */
export interface Column {
  readonly title: string;
  readonly leg: Leg;
}

const ROWS: readonly (readonly [label: string, value: (leg: Leg) => string])[] = [
  ["engine", (leg) => leg.engine],
  ["why", (leg) => leg.reason],
  ["bytes", (leg) => bytesText(leg.bytes)],
  ["time", (leg) => `${leg.seconds.toFixed(2)} s, ${bytesText(Math.round(leg.bytes / leg.seconds))}/s`],
  ["CPU per GB", (leg) => leg.cpuSecondsPerGB === null ? "-" : `${leg.cpuSecondsPerGB.toFixed(2)} s`],
  ["sends", (leg) => countText(leg.sends)],
  ["  copied by the kernel", (leg) => countText(leg.copied)],
  ["  read in place", (leg) => countText(leg.notCopied)],
  ["loans lent", (leg) => countText(leg.lent)],
  ["  released", (leg) => countText(leg.released)],
  ["  in flight", (leg) => countText(leg.inFlight)],
  ["  most at once", (leg) => `${countText(leg.maxInFlight)} (${bytesText(leg.maxInFlightBytes)})`],
];

/** The closing table, one column for each side. */
export function table(columns: readonly Column[]): string {
  const lines = [["", ...columns.map(({ title }) => title)]];
  for (const [label, value] of ROWS) lines.push([label, ...columns.map(({ leg }) => value(leg))]);
  const widths = lines[0].map((_, i) => Math.max(...lines.map((cells) => cells[i].length)));
  return lines.map((cells) => cells.map((cell, i) => cell.padEnd(widths[i])).join("  ").trimEnd()).join("\n");
}

/** The hashes of both ends, under the table. */
export function hashLines({ sha256Sent, sha256Received }: Hashes): string {
  const verdict = sha256Sent === sha256Received ? "equal" : "DIFFERENT";
  return `SHA-256 sent      ${sha256Sent}\nSHA-256 received  ${sha256Received}  ${verdict}`;
}

/** Tells a person something that is not a result. */
export function note(text: string): void {
  process.stderr.write(`ringlet: ${text}\n`);
}

/** Prints to standard output. */
export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Prints the end of a command and answers its exit code. `people` makes what people read when all went well. */
export function conclude(
  report: Report,
  failure: unknown,
  { json, quiet }: Pick<OptionValues, "json" | "quiet">,
  people: () => string,
): number {
  const { code: exitCode } = EXIT[failure === undefined ? "ok" : outcomeOf(failure)];
  if (failure !== undefined) {
    note(messageOf(failure));
    if (report.lent > 0) note(`${bytesText(report.bytes)} went through; ${books(report)}`);
  } else if (!quiet && !json) {
    print(people());
  }
  if (json) print(JSON.stringify({ ...report, ...errorJson(failure), exitCode }));
  return exitCode;
}

/** A failure as programs read it. */
export function errorJson(failure: unknown): { error?: { code: string; message: string } } {
  if (failure === undefined) return {};
  return { error: { code: codeOf(failure) ?? outcomeOf(failure), message: messageOf(failure) } };
}

/** The books in one line. */
function books({ lent, released, inFlight }: Leg): string {
  return `${countText(lent)} loans lent, ${countText(released)} released, ${countText(inFlight)} in flight`;
}
