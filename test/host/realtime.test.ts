import { readFileSync } from "node:fs";
import t from "tap";

import { takeRealtimePriority } from "../../agent/host/realtime.ts";

const SCHED_FIFO = 1;
const SCHED_RESET_ON_FORK = 0x40000000;

/** The calling thread's, as the kernel says (proc_pid_stat(5), fields 40 and 41). */
function scheduling(): { readonly priority: number; readonly policy: number } {
  const stat = readFileSync("/proc/thread-self/stat", "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return { priority: Number(fields[37]), policy: Number(fields[38]) & ~SCHED_RESET_ON_FORK };
}

t.test("the calling thread gets the priority, or the reason why not", async (t) => {
  const before = scheduling();
  const why = await takeRealtimePriority(5, 2);
  if (why === undefined) t.same(scheduling(), { priority: 5, policy: SCHED_FIFO });
  else {
    t.match(why, /not permitted|denied/i);
    t.same(scheduling(), before);
  }
});

t.test("a priority there is none of is refused with chrt's words", async (t) => {
  t.match(await takeRealtimePriority(1000, 2), /chrt.*(1000|range|Invalid)/i);
});

t.test("without chrt it is not taken", async (t) => {
  const path = process.env["PATH"];
  t.teardown(() => (process.env["PATH"] = path));
  process.env["PATH"] = t.testdir();
  t.match(await takeRealtimePriority(5, 2), /ENOENT/);
});

t.test("with one processor it is not taken", async (t) => {
  const before = scheduling();
  t.equal(await takeRealtimePriority(5, 1), "there is one processor only");
  t.same(scheduling(), before);
});
