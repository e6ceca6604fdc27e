// Starts the motion thread from source also where only the main thread was told how to read TypeScript.
import { register } from "tsx/esm/api";

register();
await import("../../agent/motion-thread.ts");
