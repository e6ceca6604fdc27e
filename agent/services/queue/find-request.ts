import type { ReplyToken } from "./header.ts";
import type { Ledger } from "./ledger.ts";
import type { Message } from "./message.ts";
import { readStamp } from "./request-reply-records.ts";

/** The queued message whose header a reply names: by its sender's own mark, else by the time, which holds the last digits of its id. */
export function findRequest(ledger: Pick<Ledger, "find" | "idOf" | "idsEndingWith">, { ip, stamp }: ReplyToken): Message | undefined {
  const marked = ledger.idOf(`${ip}#${stamp}`);
  if (marked !== undefined) return ledger.find(marked);
  const time = readStamp(stamp);
  if (time === undefined) return undefined;
  for (const id of ledger.idsEndingWith(time.idDigits)) {
    const message = ledger.find(id);
    if (message?.wallMs === time.wallMs && message.ip === ip) return message;
  }
  return undefined;
}
