/**
 * Results as tables, for the terminal and for docs/kernels.md.
 */
import { type Count, countOf, engineOf, finding, type Result, sum, testsOf, totalOf } from "./results.ts";
import { SUITES } from "./suites.ts";

const ENGINES = ["uring", "errqueue", "copy"];

/** A markdown table; columns are as wide as they need to be. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((text, i) => Math.max(text.length, ...rows.map((row) => row[i].length)));
  const line = (cells: readonly string[]) => `| ${cells.map((text, i) => text.padEnd(widths[i])).join(" | ")} |`;
  return [line(head), line(widths.map((width) => "-".repeat(width))), ...rows.map(line)].join("\n");
}

function cell({ passed, failed, skipped }: Count): string {
  if (passed + failed + skipped === 0) return "";
  if (failed > 0) return `**${failed} failed**, ${passed} passed`;
  if (passed === 0) return `${skipped} skipped`;
  return skipped > 0 ? `${passed} passed, ${skipped} skipped` : `${passed} passed`;
}

const yes = (value: unknown) => value === true ? "yes" : value === false ? "no" : "";

/** Kernel × capability: what `open()` finds. */
export function capabilityTable(results: readonly Result[]): string {
  const head = [
    "kernel",
    "exact version",
    "`auto` takes",
    "zero-copy TCP, UDP",
    "ring",
    "gathers registered",
    "`uring` when asked for",
  ];
  const rows = results.map((result) => {
    const auto = finding(result, "auto");
    const uring = finding(result, "uring");
    const { zeroCopyTcp, zeroCopyUdp, uring: ring, gathersRegistered } = auto?.capabilities ?? {};
    return [
      result.name,
      result.kernel,
      auto?.name ?? "",
      [yes(zeroCopyTcp), yes(zeroCopyUdp)].filter((text) => text !== "").join(", "),
      yes(ring),
      yes(gathersRegistered),
      uring === undefined
        ? ""
        : uring.name === undefined
        ? `refused: ${uring.reason.split(": ").slice(1).join(": ")}`
        : "works",
    ];
  });
  return table(head, rows);
}

/** Kernel × suite. */
export function suiteTable(results: readonly Result[]): string {
  const head = ["kernel", ...SUITES.map(({ name }) => name), "whole run"];
  const rows = results.map((result) => [
    result.name,
    ...SUITES.map(({ name }) => cell(countOf(testsOf(result, ({ suite }) => suite === name)))),
    result.missing !== undefined
      ? "not run"
      : result.run!.troubles.length > 0
      ? `**${result.run!.troubles.length} troubles**`
      : `${Math.round(result.run!.seconds)} s`,
  ]);
  return table(head, rows);
}

/** Kernel × engine: the tests that run once for each engine. */
export function engineTable(results: readonly Result[]): string {
  const rows = results.map((result) => [
    result.name,
    ...ENGINES.map((engine) => cell(countOf(testsOf(result, (test) => engineOf(test) === engine)))),
  ]);
  return table(["kernel", ...ENGINES], rows);
}

/** What failed and what was skipped, with reasons; equal reasons once. */
export function explanations(results: readonly Result[]): string {
  const lines: string[] = [];
  for (const result of results) {
    const reasons = new Map<string, number>();
    if (result.missing !== undefined) {
      lines.push(`- ${result.name}: not run${result.run === undefined ? "" : " to its end"}: ${result.missing}`);
    }
    for (const { outcome, why = "no reason was given" } of testsOf(result)) {
      if (outcome === "skipped") reasons.set(why, (reasons.get(why) ?? 0) + 1);
    }
    for (const [why, count] of reasons) lines.push(`- ${result.name}: ${count} skipped: ${why}`);
    for (const { suite, name, why } of testsOf(result, ({ again }) => again === true)) {
      lines.push(`- ${result.name}: passed the second time only, in ${suite}: ${name}: ${why?.split("\n")[0]}`);
    }
    for (const { suite, name, why } of testsOf(result, ({ outcome }) => outcome === "failed")) {
      lines.push(`- ${result.name}: **failed** in ${suite}: ${name}: ${why?.split("\n")[0]}`);
    }
    for (const trouble of result.run?.troubles ?? []) lines.push(`- ${result.name}: **trouble**: ${trouble}`);
  }
  return lines.join("\n");
}

/** The page that the documentation has. */
export function page(results: readonly Result[], date: string): string {
  return `# Kernels

What Ringlet finds and does on the kernels that people run: Debian's, each booted in a virtual machine without any hardware
help, and the one of the machine that ran the suites. Written by \`deno task test:vm --save\` on ${date}; run it to see the
same for today's kernels.

## What \`open()\` finds

${capabilityTable(results)}

## The suites

"wrap" sets the kernel's counter of zero-copy ids just before 2^32 and crosses it; "limits" takes privileges, memory and
io_uring away; "netem" loses, delays, reorders, repeats and corrupts what is on the wire; "pacing" sends at times. The others are the suites of
\`deno task test\` that depend on the kernel.

${suiteTable(results)}

## By engine

Tests that run once for each engine.

${engineTable(results)}

## What was skipped or needed a second attempt, and why

${explanations(results)}
`;
}

/** One line with all that was counted, as test runners print it. */
export function totalLine(results: readonly Result[], seconds: number): string {
  const { passed, failed, skipped } = sum(results.map(totalOf));
  const time = `${Math.floor(seconds / 60)}m${Math.round(seconds % 60)}s`;
  return `${failed > 0 ? "FAILED" : "ok"} | ${passed} passed | ${failed} failed | ${skipped} ignored (${time})`;
}
