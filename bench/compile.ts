/**
 * The C ceiling: compiled where there is a compiler, with liburing, which is installed where it is missing and may be.
 *
 * @module
 */
import { execFile } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const SOURCE = fileURLToPath(new URL("ceiling.c", import.meta.url));
const PACKAGES = ["gcc", "libc6-dev", "liburing-dev"];

const run = promisify(execFile);

/** Compiles `ceiling.c` into `folder`; answers the program, or `undefined` (and says why) when that fails. */
export async function compileCeiling(folder: string): Promise<string | undefined> {
  const program = `${folder}/ceiling`;
  const compile = () => run("gcc", ["-O2", "-o", program, SOURCE, "-luring"]);
  try {
    await compile().catch(async (error) => {
      if (!await install()) throw error;
      await compile();
    });
    return program;
  } catch (error) {
    console.error(`SKIP what C reaches: ${(error as Error).message.trim()}`);
  }
}

/** Installs the packages on Debian, as root; `false` where that is not so. */
async function install(): Promise<boolean> {
  if (process.getuid?.() !== 0) return false;
  const apt = async (...args: string[]) =>
    await run("apt-get", args, { env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" } });
  console.error(`installing ${PACKAGES.join(", ")}`);
  return await apt("update").then(() => apt("install", "-y", "--no-install-recommends", ...PACKAGES))
    .then(() => true, () => false);
}
