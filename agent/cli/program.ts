import { Command, CommanderError, Option } from "commander";

import { AgentError } from "../contract/errors.ts";
import { packageVersion } from "../version.ts";
import { configFile, looksIsolated } from "./config-file.ts";
import { EXIT } from "./exit.ts";
import { createProcessIo } from "./io.ts";
import { withTarget, wholeNumber } from "./options.ts";
import { addServiceCommands } from "./service-commands.ts";
import type { AgentCommandOptions } from "./agent.ts";
import type { AskOptions } from "./ask.ts";
import type { CloneCommandOptions } from "./clone.ts";
import type { DoctorOptions } from "./doctor.ts";
import type { EstopOptions } from "./stop.ts";
import type { SafeStateCommandOptions } from "./safe-state.ts";
import type { HostProcess } from "../keeper/process.ts";
import type { CliIo } from "./io.ts";
import type { TdOptions } from "./td.ts";
import type { VarsOptions } from "./vars.ts";

const EXIT_HELP = `
Exit codes: 0 done; 1 the agent answered an error, or doctor found something to mend; 2 the command line or the configuration is wrong;
3 no agent answers there; 70 the agent ended by an error that nobody caught.

Environment: VIRGO_ADDRESS host:port of the gateway, VIRGO_USER and VIRGO_TOKEN to authenticate, VIRGO_CA,
VIRGO_CERT and VIRGO_KEY for TLS, STATE_DIRECTORY the agent's state folder.`;

/**
 * Runs one command line (without node and script) and returns its exit code. Each command's code is loaded when it is called: `agent` must not wait
 * for what only `doctor` needs, nor a client for the agent.
 */
export async function runCli(argv: readonly string[], io: CliIo = createProcessIo()): Promise<number> {
  let code: number = EXIT.ok;
  const program = createProgram(io, (ended) => {
    code = ended;
  });
  try {
    await program.parseAsync(argv, { from: "user" });
    return code;
  } catch (thrown) {
    // It has printed its message, or the help that was asked for.
    if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? EXIT.ok : EXIT.usage;
    if (!(thrown instanceof AgentError)) throw thrown;
    io.error(`${thrown.code} ${thrown.message}\n`);
    return codeOf(thrown);
  }
}

/** What commands throw is what kept them from asking; the agent's own errors are answers. */
function codeOf(error: AgentError): number {
  if (error.code === "ARGUMENT") return EXIT.usage;
  return error.code === "DENIED" ? EXIT.failure : EXIT.unreachable;
}

type Ended = (code: number) => void;

function createProgram(io: CliIo, ended: Ended): Command {
  const program = new Command("virgo")
    .description(
      "An agent for single-board computers: named functions of real devices, invoked from the network and driven by streamed variables.",
    )
    .version(packageVersion())
    .addHelpText("after", EXIT_HELP)
    .exitOverride()
    .configureOutput({ writeOut: (text) => io.out(text), writeErr: (text) => io.error(text) });
  addAgent(program, io, ended);
  addClone(program, io, ended);
  addQuestions(program, io, ended);
  addServiceCommands(program, io, ended);
  addStops(program, io, ended);
  addModules(program, io, ended);
  addConfig(program, io, ended);
  addSafeState(program, io, ended);
  addDoctor(program, io, ended);
  return program;
}

function addAgent(program: Command, io: CliIo, ended: Ended): void {
  program
    .command("agent")
    .description("run the agent until Ctrl-C or SIGTERM")
    .option("-c, --config <file>", "configuration (default: virgo.yaml, then /etc/virgo/virgo.yaml)")
    .option("--state <folder>", "where listen.json and what is durable goes (default: $STATE_DIRECTORY, then state)")
    .option("--board <board>", "auto, sim or a board file, instead of the configuration's")
    .action(async (options: AgentCommandOptions) => {
      const deviceHost = looksIsolated(configFile(options.config)) ? await startEarly(io) : undefined;
      const { agentCommand } = await import("./agent.ts");
      ended(await agentCommand(options, io, undefined, undefined, deviceHost));
    });
}

/** While the agent's code is loaded, which takes as long, the device host loads its own. */
async function startEarly(io: CliIo): Promise<HostProcess> {
  const { startDeviceHost } = await import("../start-device-host.ts");
  return startDeviceHost({ env: io.env, onError: ({ message }) => io.error(`${message}\n`) });
}

function addClone(program: Command, io: CliIo, ended: Ended): void {
  withTarget(program.command("clone"))
    .description("call a function of a device on the agent: virgo clone lamp.beam low")
    .argument("<function>", "device.function")
    .argument("[args...]", "its arguments")
    .option("--lease <ms>", "how long the command stands without being repeated", wholeNumber)
    .option(
      "--keep",
      "repeat the command (lease 500 ms if none is given) until Ctrl-C; then the lease ends and the device makes itself safe",
    )
    .option("--priority <n>", "0 to 255; the highest live lease wins", wholeNumber)
    .option("--deadline <ms>", "give up when it has not been done by then", wholeNumber)
    .option("--node <id>", "the node to do it, or ANY")
    .action(async (name: string, args: string[], options: CloneCommandOptions) => {
      const { cloneCommand } = await import("./clone.ts");
      ended(await cloneCommand(name, args, options, io));
    });
}

function addQuestions(program: Command, io: CliIo, ended: Ended): void {
  withTarget(program.command("devices"))
    .description("list the devices with their state, who holds them, and their functions")
    .action(async (options: AskOptions) => {
      const { devicesCommand } = await import("./devices.ts");
      ended(await devicesCommand(options, io));
    });
  withTarget(program.command("describe"))
    .description("show everything about one device: options, functions, ranges, holder, last events")
    .argument("<id>", "the device")
    .action(async (id: string, options: AskOptions) => {
      const { describeCommand } = await import("./devices.ts");
      ended(await describeCommand(id, options, io));
    });
  withTarget(program.command("td"))
    .description("print the node as a W3C Thing Description: its configuration's devices, with the functions the running agent has")
    .option("-c, --config <file>", "the node's configuration (default: virgo.yaml, then /etc/virgo/virgo.yaml)")
    .option("--offline", "ask no agent: take the functions from devices opened on a simulated board")
    .action(async (options: TdOptions) => {
      const { tdCommand } = await import("./td.ts");
      ended(await tdCommand(options, io));
    });
  withTarget(program.command("vars"))
    .description("list the variables with value, unit, age and source")
    .argument("[pattern]", "names to show; * stands for any letters")
    .option("-w, --watch", "print every change until Ctrl-C")
    .action(async (pattern: string | undefined, options: VarsOptions) => {
      const { varsCommand } = await import("./vars.ts");
      ended(await varsCommand(pattern, options, io));
    });
}

function addStops(program: Command, io: CliIo, ended: Ended): void {
  withTarget(program.command("estop"))
    .description("latch the emergency stop: every device goes to its safe state, and nothing actuates until it is reset")
    .option("--reset", "clear the latch; the devices stay as they are")
    .action(async (options: EstopOptions) => {
      const { estopCommand } = await import("./stop.ts");
      ended(await estopCommand(options, io));
    });
  withTarget(program.command("reset"))
    .description("clear a device's fault, or try again to open it; HOST starts the device host afresh, out of safe mode too")
    .argument("<what>", "the device, or HOST")
    .action(async (what: string, options: AskOptions) => {
      const { resetCommand } = await import("./stop.ts");
      ended(await resetCommand(what, options, io));
    });
}

/** As for the kernel's modules. */
function addModules(program: Command, io: CliIo, ended: Ended): void {
  withTarget(program.command("lsmod"))
    .description("list the device modules with their state, drivers and devices")
    .action(async (options: AskOptions) => {
      const { lsmodCommand } = await import("./modules.ts");
      ended(await lsmodCommand(options, io));
    });
  withTarget(program.command("insmod"))
    .description("load a device module on the agent, and open the devices that waited for it")
    .argument("<source>", "a file, from the folder of the agent's configuration on, or an npm package")
    .action(async (source: string, options: AskOptions) => {
      const { insmodCommand } = await import("./modules.ts");
      ended(await insmodCommand(source, options, io));
    });
  withTarget(program.command("rmmod"))
    .description("take a module's devices to their exit state, close them, and forget the module")
    .argument("<name>", "the module")
    .action(async (name: string, options: AskOptions) => {
      const { rmmodCommand } = await import("./modules.ts");
      ended(await rmmodCommand(name, options, io));
    });
  withTarget(program.command("reload"))
    .description("the same, then load the module's code as it is now and open its devices again")
    .argument("<name>", "the module")
    .action(async (name: string, options: AskOptions) => {
      const { reloadCommand } = await import("./modules.ts");
      ended(await reloadCommand(name, options, io));
    });
}

function addConfig(program: Command, io: CliIo, ended: Ended): void {
  const config = program.command("config").description("check a configuration, or print its schema");
  config
    .command("check")
    .description("report every mistake in a configuration, without opening anything")
    .argument("[file]", "the configuration (default: virgo.yaml, then /etc/virgo/virgo.yaml)")
    .option("--json", "print JSON")
    .action(async (file: string | undefined, options: { json?: boolean }) => {
      const { configCheckCommand } = await import("./config.ts");
      ended(configCheckCommand(file, options, io));
    });
  config
    .command("schema")
    .description("print the JSON Schema of the configuration, for editors")
    .action(async () => {
      const { configSchemaCommand } = await import("./config.ts");
      ended(configSchemaCommand(io));
    });
}

function addDoctor(program: Command, io: CliIo, ended: Ended): void {
  program
    .command("doctor")
    .description("look at this machine: what the agent can use, what is missing, and the command that mends it")
    .option("-c, --config <file>", "look at what this configuration needs (default: virgo.yaml, then /etc/virgo/virgo.yaml, if there)")
    .option("--state <folder>", "the agent's state folder")
    .option("--json", "print JSON")
    .action(async (options: DoctorOptions) => {
      const { doctorCommand } = await import("./doctor.ts");
      ended(await doctorCommand(options, io));
    });
}

function addSafeState(program: Command, io: CliIo, ended: Ended): void {
  program
    .command("safe-state")
    .description("take every device to its safe state, for when no agent is there to do it; what an agent still holds is said")
    .option("-c, --config <file>", "its devices (default: those the agent ran last, then virgo.yaml, then /etc/virgo/virgo.yaml)")
    .option("--state <folder>", "the agent's state folder (default: $STATE_DIRECTORY, then state)")
    .addOption(new Option("--modules", "only the devices of modules").hideHelp())
    .option("--hold <seconds>", "stay that long, for what takes its time to come to a stop", wholeNumber)
    .action(async (options: SafeStateCommandOptions) => {
      const { safeStateCommand } = await import("./safe-state.ts");
      ended(await safeStateCommand(options, io));
    });
}
