import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { CommandError, EXIT, messageOf, outcomeOf } from "../../cli/failure.ts";
import { bytesText, clockText, countText, hexText } from "../../cli/format.ts";
import { type OptionName, OPTIONS, parseOptions, portOf, targetOf } from "../../cli/options.ts";
import { progressLine } from "../../cli/progress.ts";
import { VERSION } from "../../cli/version.ts";
import { decodeHeader, decodeReply, encodeHeader, encodeReply, HEADER_BYTES, REPLY_BYTES } from "../../cli/wire.ts";
import { RingletError } from "../../mod.ts";

const ALL = Object.keys(OPTIONS) as OptionName[];

test("the version is that of deno.json", () => {
  const config = JSON.parse(readFileSync(new URL("../../deno.json", import.meta.url), "utf8"));
  assertEquals(VERSION, config.version);
});

test("numbers as people read them", () => {
  const cases: [string, string][] = [
    [bytesText(0), "0 B"],
    [bytesText(999), "999 B"],
    [bytesText(1000), "1.00 kB"],
    [bytesText(999_499), "999 kB"],
    [bytesText(999_500), "1.00 MB"],
    [bytesText(1_234_567_890), "1.23 GB"],
    [bytesText(5e18), "5.00e+3 PB"],
    [clockText(0), "0:00"],
    [clockText(6.2), "0:07"],
    [clockText(59.9), "1:00"],
    [clockText(3600), "1:00:00"],
    [clockText(NaN), "-:--"],
    [clockText(Infinity), "-:--"],
    [countText(1234567), "1,234,567"],
    [hexText(Uint8Array.of(0, 15, 255)), "000fff"],
  ];
  for (const [actual, expected] of cases) assertEquals(actual, expected);
});

test("the progress line has a rate and the time left", () => {
  assertEquals(
    progressLine("send", 50e6, 200e6, 50e6),
    "send [######------------------]  25%  50.0 MB of 200 MB  50.0 MB/s  0:03 left",
  );
  assertMatch(progressLine("send", 0, 100, 0), /0%.*-:-- left$/);
  assertMatch(progressLine("recv", 0, 0, 0), /100%/);
  assertMatch(progressLine("send", 300, 200, 1), /\[#{24}\] 100%/);
});

test("sizes, and what is no size", () => {
  const arena = (text: string) => parseOptions(["--chunk=1", `--arena=${text}`], ALL).values.arena;
  const good: [string, number][] = [
    ["65536", 65_536],
    ["64k", 65_536],
    ["64KiB", 65_536],
    ["1.5M", 1_572_864],
    ["1G", 2 ** 30],
    ["16MB", 2 ** 24],
  ];
  for (const [text, bytes] of good) assertEquals(arena(text), bytes);
  for (const text of ["", "0", "-1", "1", "65535", "4G", "1T", "1e6", "NaN", "64 K", "0x10000", "Infinity"]) {
    const error = assertThrows(() => arena(text), CommandError, "--arena must be a size");
    assertEquals(error.outcome, "usage");
  }
});

test("each option is checked, and says what is allowed", () => {
  const bad: [string[], RegExp][] = [
    [["--engine=fast"], /^--engine must be one of auto, .*"fast"$/],
    [["--zero-copy="], /^--zero-copy must be one of auto, always, never/],
    [["--chunk=0"], /^--chunk must be a size/],
    [["--chunk=5M", "--arena=16M"], /^--chunk must be at most a quarter/],
    [["--copies=1.5"], /^--copies must be a number/],
    [["--copies=0"], /^--copies must be a number/],
    [["--timeout=0"], /^--timeout must be a number/],
    [["--timeout=1e3"], /^--timeout must be a number/],
    [["--output="], /^--output must be/],
    [["--output=a\0b"], /^--output must be/],
    [["--unknown"], /--unknown/],
    [["--json=yes"], /--json/],
    [["--arena"], /--arena/],
  ];
  for (const [args, message] of bad) {
    const error = assertThrows(() => parseOptions(args, ALL), CommandError);
    assertEquals(error.outcome, "usage");
    assertMatch(error.message, message);
  }
  assertThrows(() => parseOptions(["--output=x"], ["json"]), CommandError, "--output");
});

test("defaults, and options that were given", () => {
  const { values, positionals } = parseOptions(["a", "-qo", "f", "--timeout", "2.5", "--", "-b"], ALL);
  assertEquals(positionals, ["a", "-b"]);
  assertEquals([values.quiet, values.output, values.timeout], [true, "f", 2.5]);
  assertEquals([values.json, values.engine, values["zero-copy"], values.copies], [false, "auto", "auto", undefined]);
  assert(values.chunk <= values.arena / 4);
});

test("ports and targets", () => {
  assertEquals(targetOf("10.0.0.2:9000"), { hostname: "10.0.0.2", port: 9000 });
  assertEquals(targetOf("[::1]:1"), { hostname: "::1", port: 1 });
  assertEquals(targetOf("some.host:65535"), { hostname: "some.host", port: 65_535 });
  for (
    const text of [
      "",
      "host",
      ":1",
      "::1:9",
      "[::1]",
      "[]:1",
      "host:",
      "host:0",
      "host:65536",
      "host:-1",
      "host: 1",
      "h:1e3",
    ]
  ) {
    assertThrows(() => targetOf(text), CommandError);
  }
  assertEquals(portOf("0", 0), 0);
  for (const text of ["0", "", "65536", "1.5", "x", "-1", "0x10"]) {
    assertThrows(() => portOf(text, 1), CommandError, "PORT");
  }
});

test("the wire format", () => {
  for (const length of [0, 1, 2 ** 32, Number.MAX_SAFE_INTEGER]) {
    const header = encodeHeader(length);
    assertEquals(header.length, HEADER_BYTES);
    assertEquals(decodeHeader(header), length);
  }
  const tooLong = encodeHeader(0).fill(255, 8);
  assertEquals(decodeHeader(tooLong), undefined);
  assertEquals(decodeHeader(new Uint8Array(HEADER_BYTES)), undefined);

  const digest = new Uint8Array(32).fill(7);
  const reply = encodeReply("differs", digest);
  assertEquals(reply.length, REPLY_BYTES);
  assertEquals(decodeReply(reply), { status: "differs", digest });
  assertEquals(decodeReply(reply.with(15, 9)), undefined);
  assertEquals(decodeReply(reply.with(0, 0)), undefined);
});

test("errors and their exit codes", () => {
  const cases: [unknown, number][] = [
    [new CommandError("differs", "x"), 3],
    [new RingletError("ERR_UNSUPPORTED", "x"), 4],
    [new RingletError("ERR_OUT_OF_RANGE", "x"), 2],
    [new RingletError("ECONNRESET", "x"), 1],
    [new CommandError("SIGINT", "x"), 130],
    [Object.assign(new Error("x"), { name: "NotCapable" }), 4],
    [new TypeError("x"), 1],
    [undefined, 1],
  ];
  for (const [error, code] of cases) assertEquals(EXIT[outcomeOf(error)].code, code);
  assertEquals(messageOf(new RingletError("ECONNRESET", "gone", { advice: "try again" })), "gone (try again)");
  assertMatch(messageOf(new TypeError("a mistake")), /a mistake\n\s+at /);
});
