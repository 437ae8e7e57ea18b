/**
 * Network namespaces of programs, and the devices between them.
 */
import { spawnSync } from "node:child_process";

/** Runs a command; throws what it said when it fails. */
export function run(command: string, ...args: string[]): void {
  const { status, stderr } = spawnSync(command, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}: ${stderr}`);
}

/** One end of a pair: its device, and its address with the length of the prefix. */
type End = readonly [device: string, address: string];

/** Connects this namespace with that of process `pid` by a veth pair, both ends up. Answers what runs commands over there. */
export function connectTo(pid: number | undefined, here: End, there: End): typeof run {
  const runThere: typeof run = (...command) => run("nsenter", "-t", String(pid), "-n", ...command);
  run("ip", "link", "add", here[0], "type", "veth", "peer", "name", there[0], "netns", String(pid));
  for (const [at, [device, address]] of [[run, here], [runThere, there]] as const) {
    at("ip", "addr", "add", address, "dev", device);
    at("ip", "link", "set", device, "up");
  }
  return runThere;
}
