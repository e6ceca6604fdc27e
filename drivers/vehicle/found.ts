import type { DeviceContext } from "../../agent/contract/device.ts";

/** What an earlier device of this name said last, when its process was lost or whoever made it safe hands it over. */
export interface Found {
  /** It was driven, or being stopped, or held. */
  readonly driven: boolean;
  /** It drove nothing. */
  readonly silent: boolean;
  /** A number it published; undefined when it did not. */
  numberOf(name: string): number | undefined;
}

/** To be asked before the device publishes anything itself. Neither driven nor silent when nobody said anything, as at the first start. */
export function findDriven({ id, variable }: Pick<DeviceContext, "id" | "variable">): Found {
  const phase = variable(`${id}.phase`)?.value;
  return {
    driven: phase === "armed" || phase === "stopping" || phase === "held",
    silent: phase === "silent",
    numberOf(name) {
      const value = variable(`${id}.${name}`)?.value;
      return typeof value === "number" ? value : undefined;
    },
  };
}
