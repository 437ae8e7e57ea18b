import { assert, assertEquals, assertMatch } from "@std/assert";
import { readlinkSync } from "node:fs";
import { chmod } from "node:fs/promises";
import process from "node:process";
import { test } from "node:test";
import { Folder, lastLine, run } from "./command.ts";

const SELF = process.execPath;

test("what is asked for on standard output ends with 0", async () => {
  const cases: [string[], RegExp][] = [
    [["--version"], /^ringlet \d+\.\d+\.\d+\n$/],
    [["--help"], /ringlet demo \[FILE\][^]*ringlet send FILE HOST:PORT[^]*ringlet recv PORT[^]*Exit codes:[^]*130 /],
    [["demo", "--help"], /--engine[^]*--no-off-host[^]*Exit codes:/],
    [["send", "-h"], /--chunk SIZE[^]*Exit codes:/],
    [["recv", "--help"], /-o, --output FILE[^]*Exit codes:/],
  ];
  for (const [args, pattern] of cases) {
    const { code, stdout, stderr } = await run(args);
    assertEquals([code, stderr], [0, ""]);
    assertMatch(stdout, pattern);
    assert(!stdout.includes("off-host OUTER"), "a hidden command is listed");
    assert(stdout.split("\n").every((line) => line.length <= 100), "a line is too long");
  }
});

test("wrong arguments end with 2, say what is wrong and print no result", async () => {
  const cases: [string[], RegExp][] = [
    [[], /a command is missing/],
    [["sned"], /no command "sned"/],
    [["constructor"], /no command "constructor"/],
    [["send", SELF], /takes FILE HOST:PORT/],
    [["send", SELF, "127.0.0.1:65536"], /PORT must be a number from 1 to 65535/],
    [["send", SELF, "127.0.0.1:0"], /PORT must be a number from 1 to 65535/],
    [["send", SELF, "::1:9000"], /expected HOST:PORT/],
    [["recv", "65536"], /PORT must be a number from 0 to 65535/],
    [["recv", "1", "2"], /takes PORT/],
    [["recv", "0", "--engine", "warp"], /--engine must be one of/],
    [["demo", "--output", "x"], /Unknown option '--output'/],
    [["demo", "--arena", "1K"], /--arena must be a size/],
    [["off-host", "net:[1"], /started by the demo/],
  ];
  for (const [args, pattern] of cases) {
    const { code, stdout, stderr } = await run(args);
    assertEquals([code, stdout], [2, ""], args.join(" "));
    assertMatch(stderr, pattern);
  }
});

test("the second leg refuses to run in the namespace it must not touch", async () => {
  const { code, stderr } = await run(["off-host", readlinkSync("/proc/self/ns/net")]);
  assertEquals(code, 2);
  assertMatch(stderr, /started by the demo/);
});

test("files and places that cannot be used end with 1", async () => {
  await using folder = await Folder.make();
  const { path } = await folder.file("locked", 10);
  await chmod(path, 0);
  const cases: [string[], RegExp][] = [
    [["send", folder.join("missing"), "127.0.0.1:9"], /Cannot open .*missing: ENOENT/],
    [["send", folder.path, "127.0.0.1:9"], /it is a directory/],
    [["send", "/dev/zero", "127.0.0.1:9"], /not a regular file/],
    [["demo", folder.join("missing")], /Cannot open .*missing: ENOENT/],
    [["recv", "0", "-o", folder.path], /Cannot write to .*: it is a directory/],
    [["recv", "0", "-o", folder.join("no/such/place")], /Cannot write to .*: ENOENT/],
    [["recv", "0", "--host", "192.0.2.1"], /EADDRNOTAVAIL/],
    [["recv", "0", "--wait", "0.1"], /No sender for 0.1 s/],
  ];
  if (process.getuid?.() !== 0) cases.push([["send", path, "127.0.0.1:9"], /Cannot open .*locked: EACCES/]);
  for (const [args, pattern] of cases) {
    const ended = await run([...args, "--json"]);
    assertEquals(ended.code, 1, args.join(" "));
    assertMatch(ended.stderr, pattern);
    assertMatch(lastLine(ended).error.message, pattern);
    assertEquals(lastLine(ended).exitCode, 1);
    // Where nothing was opened there is nothing else to tell.
    const keys = Object.keys(lastLine(ended)).join();
    assertEquals(keys.includes("lent"), args[0] === "recv" && !args.includes("-o"), keys);
    if (!keys.includes("lent")) assertEquals(keys, "error,exitCode");
  }
});
