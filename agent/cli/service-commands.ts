import { withTarget, wholeNumber } from "./options.ts";
import type { Command } from "commander";
import type { AskOptions } from "./ask.ts";
import type { AuditShowOptions, AuditVerifyOptions } from "./audit.ts";
import type { CertOptions } from "./cert.ts";
import type { EventsCommandOptions } from "./events.ts";
import type { FsOptions } from "./fs.ts";
import type { CliIo } from "./io.ts";
import type { LbOptions } from "./lb.ts";
import type { NodesOptions } from "./nodes.ts";
import type { TokenOptions } from "./token.ts";
import type { WhyOptions } from "./why.ts";

type Ended = (code: number) => void;

/** The commands about files, events, the queue, nodes, and who may. */
export function addServiceCommands(program: Command, io: CliIo, ended: Ended): void {
  addFs(program, io, ended);
  addEvents(program, io, ended);
  addQueue(program, io, ended);
  addNodes(program, io, ended);
  addAccess(program, io, ended);
  addAudit(program, io, ended);
}

function addFs(program: Command, io: CliIo, ended: Ended): void {
  const fs = program.command("fs").description("copy, list and remove the files an agent keeps");
  withTarget(fs.command("put"))
    .description("copy a file to the agent; it is there as a whole or not at all")
    .argument("<local>", "the file here")
    .argument("<remote>", "its path there, or a folder that ends with /")
    .action(async (local: string, remote: string, options: FsOptions) => {
      const { fsPutCommand } = await import("./fs.ts");
      ended(await fsPutCommand(local, remote, options, io));
    });
  withTarget(fs.command("get"))
    .description("copy a file from the agent")
    .argument("<remote>", "its path there")
    .argument("[local]", "the file or folder here", ".")
    .action(async (remote: string, local: string, options: FsOptions) => {
      const { fsGetCommand } = await import("./fs.ts");
      ended(await fsGetCommand(remote, local, options, io));
    });
  withTarget(fs.command("ls"))
    .description("list a folder")
    .argument("[path]", "the folder; the root without it")
    .action(async (path: string | undefined, options: FsOptions) => {
      const { fsLsCommand } = await import("./fs.ts");
      ended(await fsLsCommand(path, options, io));
    });
  withTarget(fs.command("rm"))
    .description("remove a file or an empty folder")
    .argument("<path>", "its path")
    .action(async (path: string, options: FsOptions) => {
      const { fsRmCommand } = await import("./fs.ts");
      ended(await fsRmCommand(path, options, io));
    });
}

function addEvents(program: Command, io: CliIo, ended: Ended): void {
  withTarget(program.command("why"))
    .description("explain a device's state or an event: what it follows from, newest first")
    .argument("<id>", "a device, an event, or @number of the journal")
    .option("--count <n>", "causes to show at most", wholeNumber)
    .action(async (id: string, options: WhyOptions) => {
      const { whyCommand } = await import("./why.ts");
      ended(await whyCommand(id, options, io));
    });
  withTarget(program.command("events"))
    .description("list the latest events of EventNet")
    .option("--count <n>", "how many", wholeNumber)
    .option("--tail", "go on with what happens, until Ctrl-C")
    .option("--dot", "print the graph in DOT, for Graphviz")
    .action(async (options: EventsCommandOptions) => {
      const { eventsCommand } = await import("./events.ts");
      ended(await eventsCommand(options, io));
    });
}

function addQueue(program: Command, io: CliIo, ended: Ended): void {
  const queue = program.command("queue").description("look at the queue");
  withTarget(queue.command("stat"))
    .description("messages by topic: waiting, delivered, dead")
    .argument("[topic]", "one topic only")
    .action(async (topic: string | undefined, options: AskOptions) => {
      const { queueStatCommand } = await import("./queue.ts");
      ended(await queueStatCommand(topic, options, io));
    });
  queue
    .command("records")
    .description("print the requests in a REQUEST_REPLY.queue, of this agent or of an original kernel")
    .argument("<file>", "the file")
    .option("--json", "print JSON")
    .action(async (file: string, options: { json?: boolean }) => {
      const { queueRecordsCommand } = await import("./queue.ts");
      ended(queueRecordsCommand(file, options, io));
    });
}

function addNodes(program: Command, io: CliIo, ended: Ended): void {
  withTarget(program.command("nodes"))
    .description("list the nodes the agent knows, with health, load and devices")
    .option("--known", "what it knows already, without asking them")
    .action(async (options: NodesOptions) => {
      const { nodesCommand } = await import("./nodes.ts");
      ended(await nodesCommand(options, io));
    });
  program
    .command("lb")
    .description("draw nodes as the balancer does and print how often each came, beside the original's published formula")
    .option("--requests <n>", "how many draws", wholeNumber)
    .option("--seed <n>", "the same seed draws the same nodes", wholeNumber)
    .option("--nodes <names>", "the nodes, with commas between them")
    .option("--conf <file>", "take them from a virgo_client.conf (default: /etc/virgo_client.conf)")
    .option("--json", "print JSON")
    .action(async (options: LbOptions) => {
      const { lbCommand } = await import("./lb.ts");
      ended(lbCommand(options, io));
    });
}

function addAccess(program: Command, io: CliIo, ended: Ended): void {
  program
    .command("token")
    .description("print a fresh token, and the hash of it for auth.users")
    .argument("[name]", "the user it is for")
    .option("--json", "print JSON")
    .action(async (name: string | undefined, options: TokenOptions) => {
      const { tokenCommand } = await import("./token.ts");
      ended(tokenCommand(name, options, io));
    });
  const cert = program.command("cert").description("a small private certificate authority for a fleet");
  withAuthority(cert.command("init"))
    .description("make the authority")
    .action(async (options: CertOptions) => {
      const { certInitCommand } = await import("./cert.ts");
      ended(await certInitCommand(options, io));
    });
  for (const [kind, what] of [
    ["node", "a board"],
    ["client", "somebody who may use the boards"],
  ] as const) {
    withAuthority(cert.command(kind))
      .description(`make key and certificate for ${what}`)
      .argument("<name>", "its name")
      .option("--host <host...>", "further names and addresses it is reached by")
      .action(async (name: string, options: CertOptions) => {
        const { certIssueCommand } = await import("./cert.ts");
        ended(await certIssueCommand(kind, name, options, io));
      });
  }
  withAuthority(cert.command("revoke"))
    .description("put a certificate on the revocation list")
    .argument("<name>", "whose")
    .action(async (name: string, options: CertOptions) => {
      const { certRevokeCommand } = await import("./cert.ts");
      ended(await certRevokeCommand(name, options, io));
    });
  withAuthority(cert.command("list"))
    .description("list what was issued, and until when it is valid")
    .action(async (options: CertOptions) => {
      const { certListCommand } = await import("./cert.ts");
      ended(await certListCommand(options, io));
    });
}

function withAuthority(command: Command): Command {
  return command
    .option("--dir <folder>", "the authority's folder (default: virgo-authority)")
    .option("--days <n>", "how long it is valid", wholeNumber)
    .option("--json", "print JSON");
}

function addAudit(program: Command, io: CliIo, ended: Ended): void {
  const audit = program.command("audit").description("the record of who moved what and who was refused");
  audit
    .command("verify")
    .description("check that nothing in it was changed, left out or cut off")
    .argument("[file]", "the log (default: audit.log of the state folder)")
    .option("--state <folder>", "the agent's state folder")
    .option("--hash <hash>", "a hash noted elsewhere, which the log must hold")
    .option("--json", "print JSON")
    .action(async (file: string | undefined, options: AuditVerifyOptions) => {
      const { auditVerifyCommand } = await import("./audit.ts");
      ended(await auditVerifyCommand(file, options, io));
    });
  audit
    .command("show")
    .description("print it for people")
    .argument("[file]", "the log (default: audit.log of the state folder)")
    .option("--state <folder>", "the agent's state folder")
    .option("--since <time>", "entries since then: a date and time, or a time before now such as 2h")
    .option("--json", "print JSON")
    .action(async (file: string | undefined, options: AuditShowOptions) => {
      const { auditShowCommand } = await import("./audit.ts");
      ended(await auditShowCommand(file, options, io));
    });
}
