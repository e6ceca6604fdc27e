import type { DeviceContext } from "../../agent/contract/device.ts";
import type { VariableValue } from "../../agent/contract/variable.ts";

/** Publishes a variable when its value is another one than before. */
export function publishChanges(context: DeviceContext): (name: string, value: VariableValue) => void {
  const published = new Map<string, VariableValue>();
  return (name, value) => {
    if (published.get(name) === value) return;
    context.publish(name, value);
    published.set(name, value);
  };
}
