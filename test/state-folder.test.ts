import { readFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";

import t from "tap";

import { lockStateFolder, makeStateFolder, writeWhole } from "../agent/state-folder.ts";

t.test("a folder is made when it is not there, and one that cannot be is said", async (t) => {
  const folder = t.testdir({ file: "" });
  await makeStateFolder(join(folder, "a", "b"));
  await makeStateFolder(join(folder, "a", "b"));
  await t.rejects(makeStateFolder(join(folder, "file", "x")), { code: "IO", message: /state folder .* cannot be written to: .*--state/ });
});

t.test("one agent at a time has a state folder, by whatever name it is called", async (t) => {
  const folder = t.testdir();
  symlinkSync(".", join(folder, "again"));
  const unlock = await lockStateFolder(folder);
  await t.rejects(lockStateFolder(join(folder, "again")), { code: "IN_USE", message: /used by another agent/ });
  await unlock();
  const unlockAgain = await lockStateFolder(join(folder, "again"));
  await unlockAgain();
});

t.test("a file is replaced as a whole", async (t) => {
  const file = join(t.testdir({ "listen.json": "old" }), "listen.json");
  await writeWhole(file, "new");
  t.equal(readFileSync(file, "utf8"), "new");
});
