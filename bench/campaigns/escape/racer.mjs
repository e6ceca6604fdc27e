// Replaces names under the folder it is given, as fast as it can, until it is told to end; then prints how often it did.
//   flip    a link, to a folder inside or out of it
//   swap    a folder, by a link that leads out
//   file    a file, by a link to one outside, a FIFO and a second name of one outside
import { execFileSync } from "node:child_process";
import { linkSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const [kind, race, outside, inside] = process.argv.slice(2);
const at = (name) => join(race, name);
let ended = false;
let replaced = 0;
let aside = 0;
process.on("SIGTERM", () => {
  ended = true;
});

/** Whoever makes folders on demand may make one, again and again, where the name is missing for a moment. */
function renameOver(from, to) {
  for (;;) {
    try {
      renameSync(from, to);
      replaced += 1;
      return;
    } catch (error) {
      if (!["EISDIR", "ENOTDIR", "ENOTEMPTY", "EEXIST"].includes(error.code)) throw error;
      renameSync(to, at(`aside-${(aside += 1)}`));
    }
  }
}

const kinds = {
  flip() {
    for (const target of ["flip-inside", outside, "../../outside"]) {
      symlinkSync(target, at("flip.new"));
      renameOver(at("flip.new"), at("flip"));
    }
  },
  swap() {
    renameSync(at("swap"), at("swap-inside"));
    renameOver(at("swap-out"), at("swap"));
    renameSync(at("swap"), at("swap-out"));
    renameOver(at("swap-inside"), at("swap"));
  },
  file() {
    renameOver(at("file-link"), at("file"));
    renameSync(at("file"), at("file-link"));
    renameOver(at("file-fifo"), at("file"));
    renameSync(at("file"), at("file-fifo"));
    renameOver(at("file-hard"), at("file"));
    renameSync(at("file"), at("file-hard"));
    writeFileSync(at("file-new"), inside);
    renameOver(at("file-new"), at("file"));
  },
};

const prepare = {
  flip() {
    mkdirSync(at("flip-inside"));
    writeFileSync(at("flip-inside/canary"), inside);
  },
  swap() {
    mkdirSync(at("swap"));
    writeFileSync(at("swap/canary"), inside);
    symlinkSync(outside, at("swap-out"));
  },
  file() {
    symlinkSync(join(outside, "canary"), at("file-link"));
    execFileSync("mkfifo", [at("file-fifo")]);
    linkSync(join(outside, "canary"), at("file-hard"));
  },
};

prepare[kind]();
console.log("ready");

function race1000() {
  for (let i = 0; i < 1000 && !ended; i++) kinds[kind]();
  if (!ended) {
    setImmediate(race1000);
    return;
  }
  rmSync(at("file-hard"), { force: true });
  console.log(replaced);
}
race1000();
