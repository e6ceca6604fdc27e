/** What an audit entry is about. */
export type AuditKind = "actuate" | "refuse" | "authenticate" | "connect" | "safe" | "estop" | "reset" | "fault" | "start" | "stop";

/** The record of who moved what and who was refused: kept on disk, every entry chained to the one before. */
export interface Audit {
  /** `caller`: a user, an address, a rule. `detail`: what was asked and what came of it; never a token. */
  record(kind: AuditKind, caller: string, subject: string, detail: string): void;
}
