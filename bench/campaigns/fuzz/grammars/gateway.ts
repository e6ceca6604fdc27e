import fc from "fast-check";

import { clone } from "./clone.ts";
import { eventnet } from "./eventnet.ts";
import { files } from "./files.ts";
import type { Grammar } from "./grammar.ts";
import { memory } from "./memory.ts";
import { queue } from "./queue.ts";
import { variables } from "./variables.ts";

/** The gateway answers everything, in the modern dialect only. */
export const gateway: Grammar = {
  requests: fc.oneof(clone.requests, variables, eventnet.requests, memory.requests, files.requests, queue.requests),
};
