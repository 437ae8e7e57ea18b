/** Where the project is. */
import { fileURLToPath } from "node:url";

/** The project's folder. Guests have it at the same path, so that what was compiled here is found there. */
export const PROJECT: string = fileURLToPath(new URL("../../", import.meta.url)).replace(/\/$/, "");
