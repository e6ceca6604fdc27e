// One process of the campaign: is told its share, tells each outcome, then the rest of its result, and ends.
import { runShare, type Share, type ShareResult } from "./share.ts";
import type { Outcome } from "../../../test/driving/scenario.ts";

/** What it tells. */
export type Told = { readonly outcome: Outcome } | { readonly result: ShareResult };

function tell(told: Told, sent: () => void = () => undefined): void {
  process.send?.(told, sent);
}

process.once("message", (share: Share) => {
  void runShare(share, (outcome) => {
    tell({ outcome });
  }).then((result) => {
    tell({ result }, () => process.disconnect());
  });
});
