import { InvalidArgumentError, type Command } from "commander";

/** What every command takes that talks to an agent. */
export function withTarget(command: Command): Command {
  return command
    .option("--host <host>", "where the agent is (default: VIRGO_ADDRESS, then listen.json of the state folder, then 127.0.0.1)")
    .option("--port <port>", "port of its gateway (default: 6390), or of its secure listener with --ca")
    .option("--state <folder>", "state folder of an agent on this machine")
    .option("--user <name>", "name to authenticate with (default: VIRGO_USER)")
    .option("--token <token>", "token to authenticate with (default: VIRGO_TOKEN, which other users of this machine cannot see)")
    .option("--ca <file>", "speak TLS, to an agent whose certificate this authority signed (default: VIRGO_CA)")
    .option("--cert <file>", "certificate to show it (default: VIRGO_CERT)")
    .option("--key <file>", "key of that certificate (default: VIRGO_KEY)")
    .option("--json", "print JSON");
}

export function wholeNumber(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("A whole number is expected.");
}
