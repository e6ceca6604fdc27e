import { createHash, randomBytes } from "node:crypto";

import { AgentError } from "../contract/errors.ts";
import { EXIT } from "./exit.ts";
import { jsonText } from "./print.ts";
import type { CliIo } from "./io.ts";

export interface TokenOptions {
  readonly json?: boolean;
}

/** Bits beyond any guessing, so that one round of a fast hash is enough to keep. */
const TOKEN_BYTES = 32;

/** `virgo token [NAME]`: prints a token that nobody has had before, and what the configuration keeps of it. Writes nothing down. */
export function tokenCommand(name: string | undefined, options: TokenOptions, io: CliIo): number {
  if (name !== undefined && !/^[^\s\p{Cc}"\\]{1,64}$/u.test(name)) {
    throw new AgentError("ARGUMENT", "a user is named by 1 to 64 characters without blanks and quotes");
  }
  const token = randomBytes(TOKEN_BYTES).toString("base64url");
  const tokenSha256 = createHash("sha256").update(token).digest("hex");
  if (options.json === true) io.out(jsonText({ token, tokenSha256 }));
  else {
    io.out(`token:       ${token}
tokenSha256: ${tokenSha256}

The token is shown this once: give it to ${name ?? "its user"}. Into auth.users of the configuration, or into auth.usersFile:

- { name: "${name ?? "NAME"}", tokenSha256: ${tokenSha256} }
`);
  }
  return EXIT.ok;
}
