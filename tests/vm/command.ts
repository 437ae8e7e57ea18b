/**
 * Programs of the host.
 */

/** Runs a program and answers what it prints; its errors are in the exception. */
export async function run(command: readonly string[], options: Deno.CommandOptions = {}): Promise<string> {
  const [program, ...args] = command;
  const child = new Deno.Command(program, { ...options, args, stdout: "piped", stderr: "piped" });
  const { success, code, stdout, stderr } = await child.output();
  const text = new TextDecoder();
  if (!success) throw new Error(`${command.join(" ")} ended with ${code}:\n${text.decode(stderr)}`);
  return text.decode(stdout);
}

/** Where a program lies, or `undefined` where it is not installed. */
export async function find(program: string): Promise<string | undefined> {
  for (const folder of `${Deno.env.get("PATH")}:/usr/sbin:/sbin`.split(":")) {
    const path = `${folder}/${program}`;
    if (await exists(path)) return path;
  }
  return undefined;
}

/** Whether there is something at `path`. */
export async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}
