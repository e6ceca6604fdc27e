// `node --import ./test/tools/typescript.mjs FILE` runs TypeScript as `--import tsx` does, and in worker threads too: on Node 20 tsx alone leaves those out.
import { register } from "tsx/esm/api";

register();
