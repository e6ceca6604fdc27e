// The entry of the thread in i2c-thread.ts, which needs its loader before it can be read.
import { register } from "tsx/esm/api";

register();
await import("./i2c-thread.ts");
