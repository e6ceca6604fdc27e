// Starts the thread that waits for input, and ends the process so many milliseconds later, wherever that thread is by then.
import { createPoller } from "../../drivers/board/linux/poller.ts";
import { loadLibc } from "../../drivers/board/linux/libc.ts";

const libc = await loadLibc();
const poller = createPoller(libc);
poller.watch(
  libc.eventfd(),
  () => undefined,
  () => undefined,
);
setTimeout(() => process.exit(0), Number(process.argv[2]));
