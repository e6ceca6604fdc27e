// A meter at the ports of the simulated board: each value is logged once it is there, with CLOCK_MONOTONIC, which all processes share.
import { openSync, writeSync } from "node:fs";

const file = openSync(process.env["VIRGO_SIM_LOG"], "a");

function note(port, value) {
  const atMs = Number(process.hrtime.bigint()) / 1e6;
  // One write is one line, whoever else appends.
  writeSync(file, `${atMs} ${process.pid} ${port} ${value}\n`);
}

const nameOf = (line) => `line:${line.name ?? line.offset}`;
const pwmName = (ref) => ("chip" in ref ? `pwm:${ref.channel}` : `pca9685:${ref.pca9685.channel}`);

/** Notes once `done` is. */
function after(done, tell) {
  if (!(done instanceof Promise)) return tell();
  return done.then(tell);
}

/** The board with everything that is written to its ports noted. */
export function metered(board) {
  return {
    ...board,
    async openOutput(owner, line, initial) {
      const output = await board.openOutput(owner, line, initial);
      note(nameOf(line), Number(initial));
      return {
        ...output,
        write(level) {
          output.write(level);
          note(nameOf(line), Number(level));
        },
      };
    },
    async openOutputs(owner, lines, initial) {
      const outputs = await board.openOutputs(owner, lines, initial);
      const tell = (levels) => lines.forEach((line, i) => note(nameOf(line), Number(levels[i])));
      tell(initial);
      return {
        ...outputs,
        write(levels) {
          outputs.write(levels);
          tell(levels);
        },
      };
    },
    async openPwm(owner, ref, periodNs) {
      const output = await board.openPwm(owner, ref, periodNs);
      note(pwmName(ref), 0);
      return {
        ...output,
        write: (dutyRatio) => after(output.write(dutyRatio), () => note(pwmName(ref), dutyRatio)),
        close: () => after(output.close(), () => note(pwmName(ref), 0)),
      };
    },
    async openCan(owner, name) {
      const channel = await board.openCan(owner, name);
      return {
        ...channel,
        send(frame) {
          channel.send(frame);
          note("can", `${frame.id.toString(16)}#${Buffer.from(frame.data).toString("hex")}`);
        },
      };
    },
  };
}
