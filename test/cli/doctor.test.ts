import { once } from "node:events";
import { symlinkSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { join } from "node:path";

import t, { type Test } from "tap";

import { examine } from "../../agent/cli/examination.ts";
import { virgo } from "../helpers/fake-io.ts";
import { NO_PORTS } from "../helpers/free-ports.ts";
import { startAgent } from "../helpers/start-agent.ts";
import type { Finding } from "../../agent/cli/finding.ts";

const SIM = `board: sim\n${NO_PORTS}`;
const PWM_LAMP = "devices: { lamp: { driver: light, pwm: { chip: fe20c000.pwm, channel: 0 } } }\n";
const LINE_LAMP = "devices: { lamp: { driver: light, line: GPIO17 } }\n";
const QUIET = NO_PORTS;

const EMPTY = { dev: {}, sys: {}, proc: {} };

interface Machine {
  readonly config?: string;
  readonly dev?: object;
  readonly sys?: object;
  readonly proc?: object;
  readonly group?: string;
  readonly nodeVersion?: string;
  /** Links to make below the machine's folder, with what they lead to. */
  readonly links?: Readonly<Record<string, string>>;
}

/** What doctor finds on a machine made of folders. */
async function findings(t: Test, machine: Machine): Promise<readonly Finding[]> {
  const { config, group = "root:x:0:\n", nodeVersion = "20.19.0", links = {}, ...folders } = machine;
  const root = t.testdir({ ...EMPTY, ...folders, etc: { group }, ...(config !== undefined && { "virgo.yaml": config }) });
  for (const [path, target] of Object.entries(links)) symlinkSync(target, join(root, path));
  const roots = { dev: join(root, "dev"), sys: join(root, "sys"), proc: join(root, "proc") };
  const options = { state: join(root, "state"), ...(config !== undefined && { config: join(root, "virgo.yaml") }) };
  return examine(options, {}, { roots, groupFile: join(root, "etc", "group"), nodeVersion });
}

function about(found: readonly Finding[], name: string): readonly Finding[] {
  return found.filter((finding) => finding.about === name);
}

function toMend(found: readonly Finding[]): readonly Finding[] {
  return found.filter((finding) => finding.verdict === "mend");
}

/** Raspberry Pi 4: one PWM chip by its device's name. */
const PI_4 = {
  proc: { "device-tree": { model: "Raspberry Pi 4 Model B Rev 1.5\0" } },
  sys: {
    devices: { "fe20c000.pwm": {} },
    class: {
      pwm: { pwmchip0: { npwm: "2\n", export: "" } },
      gpio: { export: "", gpiochip512: { label: "pinctrl-bcm2711\n", ngpio: "58\n", base: "512\n" } },
    },
  },
  links: { "sys/class/pwm/pwmchip0/device": "../../../devices/fe20c000.pwm" },
};

t.test("a simulated board needs nothing of the machine", async (t) => {
  const found = await findings(t, { config: SIM });
  t.same(toMend(found), []);
  t.match(about(found, "config"), [{ verdict: "ok", text: /virgo\.yaml, 0 devices$/ }]);
  t.match(about(found, "node"), [{ verdict: "ok", text: "Node 20.19.0" }]);
  t.match(about(found, "state"), [{ verdict: "ok", text: /state will be made$/ }]);
  t.match(about(found, "user"), [{ verdict: "note", text: /in groups/ }]);
});

t.test("a machine without GPIO is told how to run without", async (t) => {
  const found = await findings(t, { config: QUIET + LINE_LAMP });
  t.match(toMend(found), [{ about: "gpio", text: /has no GPIO/, fix: "virgo agent --board sim" }]);
  t.match(toMend(await findings(t, {})), [{ about: "gpio" }], "also without a configuration");
});

t.test("the machine is named with its board file", async (t) => {
  const [machine] = await findings(t, { config: SIM, ...PI_4 });
  t.match(machine, { about: "machine", text: /^Raspberry Pi 4 Model B Rev 1\.5, board file Raspberry Pi 4, Linux / });
});

t.test("an old Node, and a configuration with mistakes, are to be mended", async (t) => {
  const found = await findings(t, { config: "board: sim\nnoed: x\n", nodeVersion: "18.19.1" });
  t.match(about(found, "node"), [{ verdict: "mend", text: "Node 18.19.1, older than 20.19", fix: /apt-get install nodejs/ }]);
  t.match(about(found, "config"), [{ verdict: "mend", text: /has 1 mistakes$/, fix: /^virgo config check .*virgo\.yaml$/ }]);
  for (const nodeVersion of ["20.19.5", "22.0.0", "24.11.1"])
    t.match(about(await findings(t, { config: SIM, nodeVersion }), "node"), [{ verdict: "ok" }]);
  t.match(about(await findings(t, { config: SIM, nodeVersion: "20.18.9" }), "node"), [{ verdict: "mend" }]);
});

t.test("a character device that is none is tried and reported, and sysfs is looked at instead", async (t) => {
  const found = await findings(t, { ...PI_4, config: QUIET + LINE_LAMP, dev: { gpiochip0: "" } });
  t.match(about(found, "gpio"), [{ verdict: "mend", text: /gpiochip0 is no GPIO chip/, fix: /usermod -aG gpio/ }]);
  const onoffLoads = await import("onoff").then(
    () => true,
    () => false,
  );
  t.match(about(found, "sysfs"), [
    onoffLoads ? { verdict: "ok", text: /^pinctrl-bcm2711 \(58 lines\), and onoff loads$/ } : { verdict: "mend", fix: /npm install onoff/ },
  ]);
});

t.test("access that is missing is mended with the group, the rules, and the group first where it does not exist", async (t) => {
  const { gpiochip512 } = PI_4.sys.class.gpio;
  const noExport = { config: QUIET + LINE_LAMP, sys: { class: { gpio: { gpiochip512 } } } };
  const [without] = about(await findings(t, noExport), "sysfs");
  t.match(without, {
    verdict: "mend",
    text: /export may not be written$/,
    fix: /^sudo groupadd --system gpio && sudo usermod -aG gpio \S+ && sudo cp \S+60-virgo-gpio\.rules /,
  });
  const [withGroup] = about(await findings(t, { ...noExport, group: "root:x:0:\ngpio:x:997:\n" }), "sysfs");
  t.match(withGroup, { fix: /^sudo usermod -aG gpio / });
});

t.test("PWM counts when the configuration uses it", async (t) => {
  const proc = PI_4.proc;
  t.match(about(await findings(t, { ...PI_4, config: QUIET + PWM_LAMP }), "pwm"), [{ verdict: "ok", text: "fe20c000.pwm, 2 channels" }]);
  const missing = about(await findings(t, { proc, config: QUIET + PWM_LAMP }), "pwm");
  t.match(missing, [
    {
      verdict: "mend",
      text: "the kernel offers no PWM chip",
      fix: /dtoverlay=pwm-2chan,.* \| sudo tee -a \/boot\/firmware\/config\.txt && sudo reboot$/,
    },
  ]);
  const elsewhere = about(await findings(t, { config: QUIET + PWM_LAMP }), "pwm");
  t.match(elsewhere, [{ verdict: "mend" }]);
  t.equal(elsewhere[0]?.fix, undefined, "no overlay on other machines");
  t.match(about(await findings(t, { proc, config: QUIET + LINE_LAMP }), "pwm"), [{ verdict: "note" }]);
  const denied = { config: QUIET + PWM_LAMP, sys: { class: { pwm: { pwmchip0: { npwm: "2\n" } } } } };
  t.match(about(await findings(t, denied), "pwm"), [{ verdict: "mend", text: /pwmchip0\/export may not be written/, fix: /usermod/ }]);
  const off = { config: `${QUIET}devices: { lamp: { driver: light, enabled: false, pwm: { chip: x, channel: 0 } } }`, sys: denied.sys };
  t.match(about(await findings(t, off), "pwm"), [{ verdict: "note" }]);
});

t.test("ports are tried: free, taken, ours, or not to be had", async (t) => {
  const taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  t.teardown(() => taken.close());
  const { port } = taken.address() as AddressInfo;
  const found = await findings(t, {
    config: `board: sim\n${NO_PORTS.replace("clone: false", `clone: "127.0.0.1:${port}"`).replace("gateway: false", "gateway: 127.0.0.1:0")}`,
  });
  t.match(about(found, "listen.clone"), [
    { verdict: "mend", text: `127.0.0.1:${port} is in use by another program`, fix: `sudo ss -ltnp 'sport = :${port}'` },
  ]);
  t.match(about(found, "listen.gateway"), [{ verdict: "ok", text: "127.0.0.1:0 is free" }]);
  const foreign = await findings(t, { config: `board: sim\n${NO_PORTS.replace("clone: false", "clone: 192.0.2.1:7000")}` });
  t.match(about(foreign, "listen.clone"), [{ verdict: "mend", text: /is not an address of this machine/ }]);
  t.same(about(foreign, "listen.gateway"), []);
});

t.test("a port on which our own agent listens is well", async (t) => {
  const { agent, stateFolder } = await startAgent(t, "");
  const folder = t.testdir({
    "virgo.yaml": `board: sim\n${NO_PORTS.replace("gateway: false", `gateway: "${agent.addresses["gateway"] ?? ""}"`)}`,
  });
  const { code, out } = await virgo(["doctor", "--config", join(folder, "virgo.yaml"), "--state", stateFolder]);
  t.match(out, /listen\.gateway +127\.0\.0\.1:\d+, an agent is running there\n/);
  t.match(out, /\nAll is well\.\n$/);
  t.equal(code, 0);
});

t.test("the command prints each finding with its command, or JSON, and exits 1 when something is to be mended", async (t) => {
  const folder = t.testdir({ "virgo.yaml": "board: sim\nnoed: x" });
  const args = ["doctor", "--config", join(folder, "virgo.yaml"), "--state", folder];
  const { code, out } = await virgo(args);
  t.equal(code, 1);
  t.match(out, /\n!! {2}config +\S+virgo\.yaml has 1 mistakes\n +run: virgo config check \S+\n/);
  t.match(out, /\d to mend\.\n$/);
  const json = JSON.parse((await virgo([...args, "--json"])).out) as { readonly ok: boolean; readonly findings: readonly Finding[] };
  t.equal(json.ok, false);
  t.match(about(json.findings, "config"), [{ verdict: "mend" }]);
});
