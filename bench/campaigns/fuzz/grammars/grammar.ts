import type fc from "fast-check";

import type { Words } from "../words.ts";

/** What one port is asked. */
export interface Grammar {
  /** Requests of the modern dialect, valid and not. */
  readonly requests: fc.Arbitrary<Words>;
  /** Requests of the classic dialect, without their end; absent where it is not spoken. None of them starts as a reserved verb does. */
  readonly classic?: fc.Arbitrary<string>;
}
