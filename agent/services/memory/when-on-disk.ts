import { toAgentError } from "../../contract/errors.ts";
import { errorReply } from "../../contract/request.ts";
import type { Reply } from "../../contract/request.ts";

/** What a verb has decided on. */
export interface Decision {
  /** Makes the changes in memory and sends them to the disk; undefined when there are none. A promise for those that are durable. Throws when refused. */
  readonly make?: (() => Promise<void> | undefined) | undefined;
  /** Asked right after the changes are made. */
  readonly reply: () => Reply;
}

/**
 * Decides and does it; the answer waits until the changes are on disk. What changes nothing waits until what it was decided by is on disk, and is decided
 * again when that never will be: nobody is told of a value that may be gone after a power cut.
 */
export async function whenOnDisk(unsettled: () => readonly (Promise<boolean> | undefined)[], decide: () => Decision): Promise<Reply> {
  const based = unsettled().filter((waits) => waits !== undefined);
  let answer: Reply;
  try {
    const { make, reply } = decide();
    const written = make?.();
    answer = reply();
    if (make !== undefined) {
      await written;
      return answer;
    }
  } catch (thrown) {
    answer = errorReply(toAgentError(thrown));
  }
  const areOnDisk = await Promise.all(based);
  return areOnDisk.includes(false) ? whenOnDisk(unsettled, decide) : answer;
}
