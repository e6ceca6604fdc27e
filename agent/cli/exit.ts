/** Exit codes of every command; docs/cli.md explains each. */
export const EXIT = {
  ok: 0,
  /** The agent answered an error, a check found something to mend, or the agent could not start. */
  failure: 1,
  /** The command line or the configuration is wrong: nothing was opened or sent. */
  usage: 2,
  /** No agent answers at the address. */
  unreachable: 3,
  /** The agent ended by itself after an error that nobody caught, everything in its exit state (EX_SOFTWARE of sysexits.h). */
  crash: 70,
} as const;
