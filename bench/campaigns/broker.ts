// What is queued for a broker arrives once and in order however the broker and the agent end, and costs start-up nothing.
import { outageRows } from "./broker/outage.ts";
import { startRows } from "./broker/start.ts";
import type { Row, SuiteOptions } from "../report.ts";

export async function run(options: SuiteOptions): Promise<readonly Row[]> {
  return [...(await outageRows(options)), ...(await startRows(options))];
}
