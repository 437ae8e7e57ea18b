/**
 * Forbids some of io_uring's calls to itself, and runs a command, which inherits that. Arguments: the rules as JSON, and the command.
 */
import { spawn } from "node:child_process";
import process from "node:process";
import { forbid } from "../seccomp_filter.ts";

const [, , rules, command, ...args] = process.argv;
forbid(JSON.parse(rules));
const child = spawn(command, args, { stdio: "inherit" });
child.on("exit", (code, signal) => process.exit(signal === null ? code! : 1));
