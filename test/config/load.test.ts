import { writeFileSync } from "node:fs";
import { join } from "node:path";

import t, { type Test } from "tap";
import { z } from "zod";

import { loadConfig } from "../../agent/config/load.ts";
import { problemText } from "../../agent/config/problem.ts";
import { defineDriver, MODULE_CONTRACT, MOTION_LEASE } from "../../agent/contract/device.ts";
import { createLanguage } from "../../analytics/expression.ts";
import { checkRule } from "../../analytics/rule.ts";
import { gpio } from "../../drivers/gpio/index.ts";
import type { LoadOptions, LoadedConfig } from "../../agent/config/load.ts";
import { pwmRefSchema, pwmText } from "../../agent/contract/board.ts";
import type { DeviceModule } from "../../agent/contract/device.ts";

/** A driver that moves, and one whose schema is not strict. */
const motion: DeviceModule = {
  contract: MODULE_CONTRACT,
  name: "motion",
  drivers: [
    defineDriver({
      name: "servo",
      summary: "moves",
      options: z.object({
        line: z.string(),
        range: z.tuple([z.number(), z.number()]).optional(),
        speedDegPerS: z.number().gt(0).max(360).optional(),
      }),
      moves: true,
      lease: MOTION_LEASE,
      claims: ({ line }) => [`line ${line}`],
      open: () => Promise.reject(new Error("nothing is opened here")),
    }),
    defineDriver({
      name: "arm",
      summary: "moves in the motion thread",
      options: z.strictObject({ pwm: pwmRefSchema }),
      moves: true,
      lease: MOTION_LEASE,
      thread: "motion",
      claims: ({ pwm }) => [pwmText(pwm)],
      open: () => Promise.reject(new Error("nothing is opened here")),
    }),
  ],
};

const MODULES = [gpio, motion];

type Files = Readonly<Record<string, string | Readonly<Record<string, string>>>>;

function load(t: Test, text: string, files: Files = {}, options: LoadOptions = {}): LoadedConfig & { readonly folder: string } {
  const folder = t.testdir({ ...files, "virgo.yaml": text });
  const language = createLanguage();
  const loaded = loadConfig(join(folder, "virgo.yaml"), MODULES, {
    checkRule: (name, rule) => checkRule(name, rule, language),
    ...options,
  });
  return { ...loaded, folder };
}

/** The problems as they are printed, without the folder. */
function problems(t: Test, text: string, files: Files = {}, options: LoadOptions = {}): readonly string[] {
  const loaded = load(t, text, files, options);
  t.equal(loaded.config, undefined, "there is no configuration");
  return loaded.problems.map((problem) => problemText(problem).replaceAll(`${loaded.folder}/`, ""));
}

interface Case {
  readonly name: string;
  readonly yaml: string;
  readonly files?: Files;
  readonly problems: readonly string[];
}

const LAMP = "lamp: { driver: light, line: GPIO17 }";

const BAD: readonly Case[] = [
  {
    name: "five mistakes",
    yaml: `node: garage door
listen: { gatway: "127.0.0.1:0" }
devices:
  lamp: { driver: light, line: GPIO17, onLoss: hol }
  pump: { driver: rellay, line: GPIO27 }
  door: { driver: button, line: GPIO22, debounceMs: 5000 }
`,
    problems: [
      'virgo.yaml:1:7: node is "garage door"; a node is named by 1 to 64 letters, digits, - and _',
      "virgo.yaml:2:11: unknown key gatway in listen; did you mean gateway?",
      'virgo.yaml:4:48: devices.lamp.onLoss is "hol"; did you mean hold?',
      'virgo.yaml:5:19: no driver is called "rellay"; did you mean relay?',
      "virgo.yaml:6:53: devices.door.debounceMs is 5000, above 1000 ms; write a number from 0 to 1000 ms",
    ],
  },
  {
    name: "a key that is like nothing",
    yaml: "log: { colour: red }",
    problems: ["virgo.yaml:1:8: unknown key colour in log; it may hold level"],
  },
  {
    name: "numbers that are too small, not whole, or text",
    yaml: 'limits: { maxConnections: 0, idleMs: 1.5, drainMs: "200" }',
    problems: [
      "virgo.yaml:1:27: limits.maxConnections is 0, below 1; write a whole number from 1 to 100000",
      "virgo.yaml:1:38: limits.idleMs is 1.5; write a whole number from 1000 to 86400000 ms",
      'virgo.yaml:1:52: limits.drainMs is "200"; write a whole number from 0 to 10000 ms',
    ],
  },
  {
    name: "addresses, one for each way to get it wrong",
    yaml: 'listen: { clone: localhost, gateway: "127.0.0.1:70000" }\nclassic: { allow: [192.168.2.0/24, 192.168.2.0/33, garage] }',
    problems: [
      'virgo.yaml:1:18: listen.clone is "localhost"; an address is host:port, for example 127.0.0.1:10000',
      'virgo.yaml:1:38: listen.gateway is "127.0.0.1:70000"; a port is 0 to 65535',
      'virgo.yaml:2:36: classic.allow[1] is "192.168.2.0/33"; an address or a network, for example 192.168.2.80 or 192.168.2.0/24',
      'virgo.yaml:2:52: classic.allow[2] is "garage"; an address or a network, for example 192.168.2.80 or 192.168.2.0/24',
    ],
  },
  {
    name: "two listeners on one port",
    yaml: 'listen:\n  clone: "127.0.0.1:7000"\n  gateway: "127.0.0.1:7000"',
    problems: ["virgo.yaml:3:12: listen.clone and listen.gateway are both 127.0.0.1:7000; give one of them another port"],
  },
  {
    name: "a secure listener without certificates",
    yaml: "listen: { secure: 0.0.0.0:6391 }",
    problems: [
      "virgo.yaml:1:19: listen.secure needs tls, which is not there; name certificate, key and ca under tls; virgo cert makes them",
    ],
  },
  {
    name: "a reply that would disconnect whoever asked for it",
    yaml: "limits: { maxOutputBytes: 1048576 }\nevents: { maxReplyBytes: 2097152 }\nmemory: { maxReplyBytes: 65536 }",
    problems: [
      "virgo.yaml:2:26: events.maxReplyBytes is 2097152, not below limits.maxOutputBytes, 1048576: such a reply would disconnect its client; make one of them smaller or the other larger",
    ],
  },
  {
    name: "a work handler with two kinds of work, and a user nobody can be",
    yaml: "queue: { handlers: [{ topic: a, call: lamp.on, run: /bin/true }] }\nauth: { users: [{ name: nobody }] }",
    problems: [
      "virgo.yaml:1:21: queue.handlers[0]: a handler has either call or run",
      "virgo.yaml:2:17: auth.users[0]: a user has tokenSha256, certificate, or both",
    ],
  },
  {
    name: "a switch between words and between numbers",
    yaml: "clone: { parameterIsExecutable: 3, executables: [bin/ls] }\nlog: { level: warning }",
    problems: [
      "virgo.yaml:1:33: clone.parameterIsExecutable is 3; write 0, 1 or 2",
      'virgo.yaml:1:50: clone.executables[0] is "bin/ls"; an executable is an absolute path',
      'virgo.yaml:2:15: log.level is "warning"; did you mean warn?',
    ],
  },
  {
    name: "a token that is not hashed is not repeated",
    yaml: "auth: { users: [{ name: operator, tokenSha256: swordfish }, { name: operator, tokenSha256: hunter2 }] }",
    problems: [
      "virgo.yaml:1:48: auth.users[0].tokenSha256 is not what it should be; the SHA-256 of the token, 64 lower-case hex digits: printf %s TOKEN | sha256sum",
      "virgo.yaml:1:92: auth.users[1].tokenSha256 is not what it should be; the SHA-256 of the token, 64 lower-case hex digits: printf %s TOKEN | sha256sum",
    ],
  },
  {
    name: "two users of one name",
    yaml: `auth: { users: [{ name: operator, tokenSha256: ${"a".repeat(64)} }, { name: operator, tokenSha256: ${"b".repeat(64)} }] }`,
    problems: ["virgo.yaml:1:124: auth.users[0] is called operator too; give each user a name of its own"],
  },
  {
    name: "derived variables and sinks",
    yaml: `analytics:
  derived: { a: { of: b, rate: {} }, b: { of: a, rate: {} }, c: { of: load, ewma: { halflifeMs: 5 } }, "d.e": { of: x, rate: {} } }
  sinks: [{ tcp: abc }, { file: a.log, fsnyc: never }, { tcp: "127.0.0.1:1", rateHz: 0 }]
  sources: [{ log: kern.log, key: who }]`,
    problems: [
      "virgo.yaml:2:85: unknown key halflifeMs in analytics.derived.c.ewma; did you mean halfLifeMs?",
      'virgo.yaml:2:104: analytics.derived cannot hold the name "d.e"; a derived variable is named by letters, digits and _, not starting with a digit',
      'virgo.yaml:3:18: analytics.sinks[0].tcp is "abc"; an address is host:port, for example 127.0.0.1:10000',
      "virgo.yaml:3:40: unknown key fsnyc in analytics.sinks[1]; did you mean fsync?",
      "virgo.yaml:3:86: analytics.sinks[2].rateHz is 0, below 0.001 Hz; write a number from 0.001 to 1000 Hz",
      'virgo.yaml:4:35: analytics.sources[0].key is "who"; name a group of the pattern: it has no (?<who>',
    ],
  },
  {
    name: "variables that are made from each other",
    yaml: "analytics: { derived: { a: { of: b, rate: {} }, b: { of: a, rate: {} } } }",
    problems: [
      "virgo.yaml:1:25: analytics.derived.a: it is made from itself: a from b from a",
      "virgo.yaml:1:49: analytics.derived.b: it is made from itself: b from a from b",
    ],
  },
  {
    name: "sources in a form that is nearly one of two, neither, or none",
    yaml: 'analytics:\n  sources: [{ tcpp: "127.0.0.1:1" }, {}, { tcp: abc }, { file: 7 }, nope, { tcp: "127.0.0.1:1", idle: 3 }]',
    problems: [
      "virgo.yaml:2:15: unknown key tcpp in analytics.sources[0]; did you mean tcp?",
      "virgo.yaml:2:38: analytics.sources[1] is a map; write { tcp: host:port where `nc -l` or the analytics serves pairs }, { file: text }, { mqtt: text } or { log: text }",
      'virgo.yaml:2:49: analytics.sources[2].tcp is "abc"; an address is host:port, for example 127.0.0.1:10000',
      "virgo.yaml:2:64: analytics.sources[3].file is 7; write text",
      'virgo.yaml:2:69: analytics.sources[4] is "nope"; write { tcp: host:port where `nc -l` or the analytics serves pairs }, { file: text }, { mqtt: text } or { log: text }',
      "virgo.yaml:2:97: unknown key idle in analytics.sources[5]; did you mean idleMs?",
    ],
  },
  {
    name: "a variable whose range is upside down",
    yaml: "analytics: { variables: { t: { unit: °C, min: 5, max: 1 } } }",
    problems: ["virgo.yaml:1:47: analytics.variables.t: min 5 is above max 1; swap them"],
  },
  {
    name: "devices that are none",
    yaml: "devices:\n  x: { line: GPIO4 }\n  y: 5\n  1z: { driver: switch }\n  constructor: { driver: switch }\n  __proto__: { driver: light }",
    problems: [
      "virgo.yaml:2:3: devices.x needs driver; add driver: the name of a driver, for example light",
      "virgo.yaml:3:6: devices.y is 5; write { driver: text }",
      'virgo.yaml:4:3: devices cannot hold the name "1z"; a device is named by letters, digits and _, not starting with a digit',
      "virgo.yaml:5:3: a device cannot be named constructor; choose another name",
      "virgo.yaml:6:3: a device cannot be named __proto__; choose another name",
    ],
  },
  {
    name: "a misspelt option is one mistake, not also a missing one",
    yaml: "devices: { lamp: { driver: light, lin: GPIO17 }, s: { driver: servo, lnie: GPIO4 } }",
    problems: [
      "virgo.yaml:1:35: unknown key lin in devices.lamp; did you mean line?",
      "virgo.yaml:1:70: unknown key lnie in devices.s; did you mean line?",
    ],
  },
  {
    name: "a misspelt common option of a device is looked for among all of them",
    yaml: "devices: { s: { driver: servo, line: GPIO4, leasMs: 100, priority: 3 } }",
    problems: [
      "virgo.yaml:1:45: unknown key leasMs in devices.s; did you mean leaseMs?",
      "virgo.yaml:1:58: unknown key priority in devices.s; it may hold line, range, speedDegPerS, driver, enabled, leaseMs, onLoss, onExit, exclusive, group or callMs",
    ],
  },
  {
    name: "what a driver says of its options together",
    yaml: "devices: { a: { driver: light }, b: { driver: light, line: GPIO1, beam: { low: 90, high: 30 } } }",
    problems: [
      "virgo.yaml:1:12: devices.a: a light needs exactly one of line, lines and pwm",
      "virgo.yaml:1:67: devices.b.beam: the low beam has to be less than the high one",
    ],
  },
  {
    name: "lists of a fixed length, and bounds that are not part of the range",
    yaml: "devices: { a: { driver: servo, line: GPIO1, range: [1], speedDegPerS: 0 }, b: { driver: servo, line: 4 } }",
    problems: [
      "virgo.yaml:1:52: devices.a.range is a list, shorter than 2; write a list",
      "virgo.yaml:1:71: devices.a.speedDegPerS is 0, not above 0 degrees per second; write a number of at most 360 and above 0 degrees per second",
      "virgo.yaml:1:102: devices.b.line is 4; write text",
    ],
  },
  {
    name: "leases a driver does not take, and holding on to what moves",
    yaml: "devices:\n  lamp: { driver: light, line: GPIO17, leaseMs: 5 }\n  pan: { driver: servo, line: GPIO4, leaseMs: 6000, onLoss: hold }",
    problems: [
      "virgo.yaml:2:49: devices.lamp.leaseMs is 5, below 30 ms; a light takes leases from 30 to 60000 ms",
      "virgo.yaml:3:47: devices.pan.leaseMs is 6000, above 5000 ms; a servo takes leases from 30 to 5000 ms",
      'virgo.yaml:3:61: devices.pan.onLoss is "hold", and a servo moves: it must not go on without orders; write safe, off or a value',
    ],
  },
  {
    name: "two devices on one port",
    yaml: `devices:
  ${LAMP}
  pump: { driver: relay, line: GPIO17 }
  dim: { driver: light, pwm: { chip: sim, channel: 0 } }
  dim2: { driver: light, pwm: { chip: sim, channel: 0 } }
  two: { driver: light, lines: { low: GPIO5, high: GPIO5 } }
  spare: { driver: relay, line: GPIO17, enabled: false }`,
    problems: [
      "virgo.yaml:3:32: line GPIO17 is used by lamp (virgo.yaml:2:32) and by pump; give one of them another port",
      "virgo.yaml:5:31: pwm sim:0 is used by dim (virgo.yaml:4:30) and by dim2; give one of them another port",
      "virgo.yaml:6:39: two uses line GPIO5 twice; name two ports",
    ],
  },
  {
    name: "one PCA9685 inside and outside of the motion thread",
    yaml: `devices:
  lamp: { driver: light, pwm: { pca9685: { bus: 1, channel: 0 } } }
  arm: { driver: arm, pwm: { pca9685: { bus: 1, channel: 1 } } }
  hand: { driver: arm, pwm: { pca9685: { bus: 1, address: 0x41, channel: 1 } } }
  glow: { driver: light, pwm: { pca9685: { bus: 1, channel: 2 } } }`,
    problems: [
      "virgo.yaml:3:28: channels of pca9685@1:0x40 are used by lamp and by arm, of which one runs in the motion thread and the other does not; give the vehicle a PCA9685 of its own",
    ],
  },
  {
    name: "one port under two names of its board file",
    yaml: `board: boards/mine.yaml
devices:
  ${LAMP}
  pump: { driver: relay, line: "chip:17" }
  a: { driver: light, pwm: { chip: FAN, channel: 0 } }
  b: { driver: light, pwm: { chip: 1.pwm, channel: 3 } }`,
    files: { boards: { "mine.yaml": 'name: mine\nlines: { GPIO17: "chip:17" }\npwm: { FAN: { chip: 1.pwm, channel: 3 } }' } },
    problems: [
      "virgo.yaml:4:32: line chip:17 (which is line GPIO17) is used by lamp (virgo.yaml:3:32) and by pump; give one of them another port",
      "virgo.yaml:6:28: pwm 1.pwm:3 (which is pwm FAN:0) is used by a (virgo.yaml:5:28) and by b; give one of them another port",
    ],
  },
  {
    name: "a board file with mistakes of its own",
    yaml: "board: mine.yaml\nnoed: x",
    files: { "mine.yaml": "name: mine\ngpoi: cdev\nlines: { GPIO17: 17 }\n" },
    problems: [
      "virgo.yaml:2:1: unknown key noed in the file; did you mean node?",
      "mine.yaml:2:1: unknown key gpoi in the file; did you mean gpio?",
      "mine.yaml:3:18: lines.GPIO17 is 17; write text",
    ],
  },
  {
    name: "a board file that is no YAML",
    yaml: "board: mine.yaml",
    files: { "mine.yaml": "name: [" },
    problems: [
      "mine.yaml:1:8: flow sequence in block collection must be sufficiently indented and end with a ]; look at the indentation, colons, quotes and brackets here and on the line before",
    ],
  },
  {
    name: "boards that are not there",
    yaml: "board: simm",
    problems: ['virgo.yaml:1:8: board is "simm", and there is no such board file; did you mean sim?'],
  },
  {
    name: "lines of a board that has none",
    yaml: `board: no-gpio
devices:
  ${LAMP}
  off: { driver: relay, line: GPIO5, enabled: false }
  dim: { driver: light, pwm: { chip: PWM, channel: 0 } }
  uno: { driver: switch }
  led: { driver: relay, line: "uno:13" }
  far: { driver: relay, line: "due:13" }
  sonar: { driver: ultrasonic, trigger: GPIO23, echo: GPIO24 }`,
    problems: [
      "virgo.yaml:3:32: lamp uses line GPIO17, and board no-gpio has no GPIO (gpio: none); write board: auto on a machine with GPIO, or board: sim to run without hardware",
      "virgo.yaml:8:31: far uses line due:13, and board no-gpio has no GPIO (gpio: none); write board: auto on a machine with GPIO, or board: sim to run without hardware",
      "virgo.yaml:9:41: sonar uses line GPIO23, and board no-gpio has no GPIO (gpio: none); write board: auto on a machine with GPIO, or board: sim to run without hardware",
      "virgo.yaml:9:55: sonar uses line GPIO24, and board no-gpio has no GPIO (gpio: none); write board: auto on a machine with GPIO, or board: sim to run without hardware",
    ],
  },
  {
    name: "a board that comes with the agent, misspelt",
    yaml: "board: rasberry-pi-4",
    problems: ['virgo.yaml:1:8: board is "rasberry-pi-4", and there is no such board file; did you mean raspberry-pi-4?'],
  },
  {
    name: "rules that name what is not there",
    yaml: `devices: { lights: { driver: switch }, ${LAMP}, bad: { driver: lihgt } }
analytics: { variables: { battery_v: { unit: V } } }
rules:
  a: { when: lights.on && batery_v < 11.5, call: lamp.beam("low") }
  b: { when: lights && battery_v < 1, call: lampp.on() }
  c: { when: lights.on, call: bad.on() }
  d: { when: lights.on, call: lamp.on(wanted), leaseMs: 5 }
  e: { when: lihts.on, call: nothing.on() }`,
    problems: [
      'virgo.yaml:1:94: no driver is called "lihgt"; did you mean light?',
      "virgo.yaml:4:27: rules.a reads batery_v, and there is no such variable; did you mean battery_v?",
      "virgo.yaml:5:14: rules.b reads lights, and there is no such variable; a device is no value by itself: write for example lights.on",
      "virgo.yaml:5:45: rules.b calls lampp.on, and there is no device lampp; did you mean lamp?",
      "virgo.yaml:7:57: rules.d.leaseMs is 5, below 30 ms; a light takes leases from 30 to 60000 ms",
      "virgo.yaml:8:14: rules.e reads lihts.on, and there is no such variable; did you mean lights.on?",
      "virgo.yaml:8:30: rules.e calls nothing.on, and there is no device nothing; declare it under devices",
    ],
  },
  {
    name: "rules that are none",
    yaml: `devices: { ${LAMP} }
rules:
  a: { when: "lamp.on &&", call: lamp.on }
  b: { when: lamp.on }
  c: { when: 1 + 1, call: lamp.on(, priority: 100 }`,
    problems: [
      "virgo.yaml:3:25: rules.a.when: unexpected token: EOF; write a condition over variables, for example battery_v < 11.5",
      'virgo.yaml:3:34: rules.a.call: a call is device.function(arguments), for example lamp.beam("low")',
      'virgo.yaml:4:3: rules.b needs call; add call: device function, for example lamp.beam("low"); arguments are CEL too',
      "virgo.yaml:5:47: rules.c.priority is 100, above 99; write a whole number from 0 to 99",
    ],
  },
  {
    name: "a key that is there twice, and what else is wrong",
    yaml: "node: a\nnode: b b",
    problems: [
      "virgo.yaml:2:1: node is here twice, first at virgo.yaml:1:1; keep one of the two",
      'virgo.yaml:2:7: node is "b b"; a node is named by 1 to 64 letters, digits, - and _',
    ],
  },
  {
    name: "text that is no YAML",
    yaml: "node: a\n\tlisten: [1\nx: 3",
    problems: [
      "virgo.yaml:2:1: tabs are not allowed as indentation; look at the indentation, colons, quotes and brackets here and on the line before",
      "virgo.yaml:3:1: flow sequence in block collection must be sufficiently indented and end with a ]; look at the indentation, colons, quotes and brackets here and on the line before",
    ],
  },
  { name: "a list", yaml: "- node: a", problems: ["virgo.yaml:1:1: the file is a list; write a map"] },
  {
    name: "an alias without an anchor",
    yaml: "node: *x",
    problems: ["virgo.yaml:1:1: Unresolved alias (the anchor must be set before the alias): x"],
  },
  {
    name: "what is on a broker, without one",
    yaml: "fleet: { mqtt: { enabled: true } }\nanalytics: { sources: [{ mqtt: a/# }] }",
    problems: [
      "virgo.yaml:1:27: fleet.mqtt is on a broker, but none is configured; name one with mqtt.url",
      "virgo.yaml:2:32: analytics.sources[0] is on a broker, but none is configured; name one with mqtt.url",
    ],
  },
  {
    name: "permits over a broker that are none",
    yaml: 'mqtt: { url: "mqtt://b", devices: { allow: [lamp] } }\nfleet: { mqtt: { allow: ["lamp.*", "car:*"] } }',
    problems: [
      "virgo.yaml:1:45: mqtt.devices.allow[0]: lamp names no function; write lamp.on, lamp.*, or * for everything",
      "virgo.yaml:2:36: fleet.mqtt.allow[1]: car:*: there are no permits for car; they start with vars:, files:, queue:, memory:, events:, or name a function as lamp.on does",
    ],
  },
  {
    name: "a name from JavaScript's inside",
    yaml: "__proto__: { x: 1 }",
    problems: [
      "virgo.yaml:1:1: unknown key __proto__ in the file; it may hold node, board, isolation, modules, listen, clone, kingcobra, host, keeper, link, motion, watchdog, memory, files, events, queue, fleet, mqtt, classic, auth, tls, audit, limits, log, devices, analytics or rules",
    ],
  },
];

t.test("a configuration with mistakes says where each is, what it is and what to do about it", (t) => {
  for (const { name, yaml, files, problems: expected } of BAD) {
    t.test(name, (t) => {
      t.strictSame(problems(t, yaml, files), expected);
      t.end();
    });
  }
  t.end();
});

t.test("what an alias stands for is checked where it is written", (t) => {
  t.strictSame(problems(t, "devices:\n  a: &a { driver: relay, line: GPIO1, safe: maybe }\n  b: *a"), [
    'virgo.yaml:2:45: devices.a.safe is "maybe"; write on or off',
    'virgo.yaml:2:45: devices.b.safe is "maybe"; write on or off',
  ]);
  t.end();
});

t.test("a file that cannot be read is one problem", (t) => {
  const folder = t.testdir({});
  const missing = loadConfig(join(folder, "none.yaml"), MODULES);
  t.strictSame(missing.problems.map(problemText), [
    `${folder}/none.yaml:1:1: cannot read the file: there is none; name the configuration with --config FILE`,
  ]);
  t.match(loadConfig(folder, MODULES).problems[0]?.reason, "it is a folder");
  writeFileSync(join(folder, "big.yaml"), `# ${"x".repeat(5_000_000)}`);
  t.match(loadConfig(join(folder, "big.yaml"), MODULES).problems[0]?.reason, /^the file has 5000002 bytes, more than 4194304$/);
  t.end();
});

t.test("an empty file is a configuration of defaults", (t) => {
  const { config, problems, warnings } = load(t, "");
  t.strictSame([problems, warnings], [[], []]);
  t.match(config, { node: "virgo", board: "auto", devices: [], listen: { clone: "127.0.0.1:10000", gateway: "127.0.0.1:6390" } });
  t.end();
});

t.test("a configuration without mistakes has its devices in order, with drivers, filled-in options and places", (t) => {
  const { config, problems } = load(
    t,
    `devices:
  pan: { driver: servo, line: GPIO4, onLoss: { value: 0 }, range: [-90, 90] }
  lamp: { driver: light, line: GPIO17, leaseMs: 500, onExit: hold }`,
  );
  t.strictSame(problems, []);
  const [pan, lamp] = config?.devices ?? [];
  t.match(pan, {
    id: "pan",
    options: { line: "GPIO4", range: [-90, 90] },
    common: { driver: "servo", onLoss: { value: 0 }, onExit: "safe" },
  });
  t.equal(pan?.driver, motion.drivers[0]);
  t.strictSame(pan?.position, { line: 2, column: 3 });
  t.match(lamp, {
    id: "lamp",
    options: { line: "GPIO17", activeLow: false, safe: "off" },
    common: { leaseMs: 500, onExit: "hold", enabled: true },
  });
  t.notOk("driver" in (lamp?.options ?? {}), "common options are not the driver's");
  t.end();
});

t.test("files are meant from the configuration on, and what is not there yet is a warning", (t) => {
  const { config, warnings, folder } = load(
    t,
    `clone: { plugins: [plug.mjs, gone.mjs], executables: [/bin/sh, /no/such/program] }
analytics: { sources: [{ file: a.conf }, { file: /etc/hostname }, { tcp: "127.0.0.1:1" }] }
files: { root: shared }
fleet: { nodes: { barn: { address: "192.168.2.80:6390", tokenFile: /etc/virgo/barn }, shed: { address: "192.168.2.81:6390", tokenFile: shed.token } } }
tls: { certificate: node.crt, key: node.key, ca: /etc/ca.crt }`,
    { "plug.mjs": "" },
  );
  t.equal(config?.files.root, join(folder, "shared"));
  t.notOk(config?.queue.file, "what is not said stays unsaid");
  t.strictSame(
    Object.values(config?.fleet.nodes ?? {}).map(({ tokenFile }) => tokenFile),
    ["/etc/virgo/barn", join(folder, "shed.token")],
  );
  t.match(config?.tls, { certificate: join(folder, "node.crt"), key: join(folder, "node.key"), ca: "/etc/ca.crt" });
  t.strictSame(config?.clone.plugins, [join(folder, "plug.mjs"), join(folder, "gone.mjs")]);
  t.strictSame(
    config?.analytics.sources.map((source) => ("file" in source ? source.file : "tcp" in source && source.tcp)),
    [join(folder, "a.conf"), "/etc/hostname", "127.0.0.1:1"],
  );
  t.strictSame(
    warnings.map((warning) => problemText(warning).replaceAll(`${folder}/`, "")),
    [
      "virgo.yaml:1:64: /no/such/program cannot be executed; chmod +x /no/such/program, or take it off the list",
      "virgo.yaml:1:30: there is no plugin gone.mjs; put it there, or take it off the list",
      "virgo.yaml:2:32: there is no a.conf yet; it is read as soon as it is there",
    ],
  );
  t.end();
});

t.test("a board file is found beside the configuration, by its path, or by its name among those that come with the agent", (t) => {
  const mine = { "mine.yaml": "name: mine\nlines: { RED: 'chip:3' }" };
  t.match(load(t, "board: mine.yaml", mine).config?.board, { name: "mine", lines: { RED: "chip:3" }, kind: "linux" });
  t.match(load(t, "board: raspberry-pi-5").config?.board, { name: "Raspberry Pi 5" });
  t.match(load(t, "board: auto", mine, { board: "mine.yaml" }).config?.board, { name: "mine" }, "an option of the caller wins");
  t.equal(load(t, "board: nonsense", {}, { board: "sim" }).config?.board, "sim");
  t.end();
});

t.test("a device with a name that is a topic of the node is not seen over MQTT: that is a warning", (t) => {
  const { warnings } = load(t, "mqtt: { url: mqtt://b }\ndevices: { td: { driver: switch }, lamp: { driver: switch } }");
  t.match(warnings.map(problemText), [
    /:2:12: a device called td is not seen over MQTT; call it otherwise: the node has a topic of that name$/,
  ]);
  t.equal(warnings.length, 1);
  t.end();
});

t.test("a rule may read what driving publishes, where there is driving", (t) => {
  const rules = `devices: { ${LAMP} }\nrules: { a: { when: driving.ok && driving.velocity > 1.0, call: lamp.on() } }`;
  const known = load(t, `analytics: { driving: {} }\n${rules}`);
  t.strictSame([...known.problems, ...known.warnings], []);
  t.match(load(t, rules).problems.map(problemText), [
    /reads driving\.ok, and there is no such variable; there is no device driving$/,
    /driving\.velocity/,
  ]);
  const [mistake, ...more] = load(t, `analytics: { driving: {} }\n${rules.replace("driving.velocity", "driving.velocty")}`).problems;
  t.match(mistake?.suggestion, "did you mean driving.velocity?");
  t.same(more, []);
  t.end();
});

t.test("a rule may read what nobody declared, since a stream may set it: that is a warning", (t) => {
  const { config, problems, warnings } = load(t, `devices: { ${LAMP} }\nrules: { a: { when: speed_mps > 3, call: lamp.on() } }`);
  t.strictSame(problems, []);
  t.same(Object.keys(config?.rules ?? {}), ["a"]);
  t.match(warnings.map(problemText), [
    /virgo\.yaml:2:21: rules\.a reads speed_mps, and there is no such variable; declare it under analytics\.variables$/,
  ]);
  t.end();
});

t.test(
  "a driver that is not there may be one of a module of others: its device waits for it, and the common options are checked now",
  (t) => {
    const yaml = `modules: [./fan.js]
devices: { fan: { driver: pwm-fan, speed: 3, leaseMs: 500 }, lamp: { driver: light, line: GPIO17 } }
rules: { cool: { when: lamp.on, call: fan.speed(50.0) } }`;
    const { config, problems } = load(t, yaml);
    t.same(problems, []);
    t.strictSame(config?.modules, ["./fan.js"]);
    t.match(config?.pending, [{ id: "fan", driver: "pwm-fan", fields: { speed: 3 }, common: { leaseMs: 500, onLoss: "safe" } }]);
    t.strictSame(
      config?.devices.map(({ id }) => id),
      ["lamp"],
    );
    t.match(load(t, yaml.replace("modules: [./fan.js]\n", "")).problems, [{ reason: 'no driver is called "pwm-fan"' }]);
    t.match(load(t, yaml.replace("leaseMs: 500", "leaseMs: soon")).problems, [{ line: 2 }]);
    t.end();
  },
);
