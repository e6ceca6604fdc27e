// Devices with each kind of exit state, on lines of their own, and what they are told to do before the agent ends.

export const EXIT_STATE_DEVICES = `
devices:
  lamp: { driver: light, line: GPIO17 }
  beacon: { driver: light, line: GPIO18, safe: "on" }
  pump: { driver: relay, line: GPIO22, activeLow: true, onExit: "off" }
  contactor: { driver: relay, line: GPIO23, onExit: hold }
  siren: { driver: relay, line: GPIO24, onExit: { value: true } }
  idle: { driver: light, line: GPIO25 }
`;

export const EXIT_STATE_CALLS = ["lamp.on", "beacon.off", "pump.on", "contactor.on", "siren.on"];
