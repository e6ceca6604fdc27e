import { AgentError, messageOf } from "../../contract/errors.ts";
import type { ErrorCode } from "../../contract/errors.ts";

type Reason = readonly [code: ErrorCode, text: (path: string) => string];

const LEAVES: Reason = ["DENIED", (path) => `${path} leads out of the files root, or is a link that leads nowhere in it`];
const FORBIDDEN: Reason = ["DENIED", (path) => `the agent's user may not do that to ${path}; look at its owner and mode`];
const NO_SPACE: Reason = ["FULL", (path) => `no space left on the disk for ${path}; remove something`];
const NO_HANDLES: Reason = ["FULL", (path) => `the system has no file handle left for ${path}; close some, or raise its limit (ulimit -n)`];

const REASONS: Readonly<Record<string, Reason>> = {
  ENOENT: ["UNKNOWN", (path) => `no file ${path}`],
  ENOTDIR: ["ARGUMENT", (path) => `${path} goes on after something that is no folder`],
  EISDIR: ["ARGUMENT", (path) => `${path} is a folder; FLIST lists it`],
  ENOTEMPTY: ["ARGUMENT", (path) => `the folder ${path} is not empty; remove what is in it first`],
  ENAMETOOLONG: ["ARGUMENT", (path) => `a name in ${path} is too long for the disk it is on`],
  EINVAL: ["ARGUMENT", (path) => `the disk ${path} is on does not take that name or position`],
  EXDEV: ["ARGUMENT", (path) => `${path} would be on another disk; copy it instead`],
  EFBIG: ["FULL", (path) => `${path} would be larger than the disk's files may be`],
  ELOOP: LEAVES,
  EACCES: FORBIDDEN,
  EPERM: FORBIDDEN,
  ENOSPC: NO_SPACE,
  EDQUOT: NO_SPACE,
  EMFILE: NO_HANDLES,
  ENFILE: NO_HANDLES,
};

/** What the operating system said about `path`, in the agent's words. The system's own text, which names paths of this machine, is the cause only. */
export function fileError(thrown: unknown, path: string): AgentError {
  if (thrown instanceof AgentError) return thrown;
  const code = codeOf(thrown);
  const [word, text] = REASONS[code ?? ""] ?? (["IO", () => `${path}: ${code ?? messageOf(thrown)}`] satisfies Reason);
  return new AgentError(word, text(path), { cause: thrown });
}

/** `ENOENT` and the like. */
export function codeOf(thrown: unknown): string | undefined {
  return thrown instanceof Error ? (thrown as NodeJS.ErrnoException).code : undefined;
}

/** What leads out of the root. */
export function leavesRoot(path: string): AgentError {
  return new AgentError("DENIED", LEAVES[1](path));
}
