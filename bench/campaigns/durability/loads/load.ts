import type { Findings } from "../findings.ts";
import type { RunningAgent } from "../running-agent.ts";

/** One kind of durable things: who writes them, and who looks afterwards. */
export interface Load {
  /** `queue messages`: for the table. */
  readonly name: string;
  /** Writes until the agent is gone or `stop` is aborted, then answers what is under way and returns. */
  write(agent: RunningAgent, stop: AbortSignal): Promise<void>;
  /** Compares what is there with what was acknowledged. Throws when the agent does not answer. */
  check(agent: RunningAgent): Promise<void>;
  /** Whether the text files that show it say the same; they may follow later while there is no room for them. */
  readonly checkTexts?: (agent: RunningAgent) => Promise<void>;
  /** Changes acknowledged so far. */
  readonly acknowledged: number;
  readonly findings: Findings;
}

/** Runs `work` over and over in `count` chains at once, until each of them says that it is over. */
export async function inParallel(count: number, work: () => Promise<boolean>): Promise<void> {
  await Promise.all(
    Array.from({ length: count }, async () => {
      while (await work());
    }),
  );
}
