import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";

const PRODUCT = ["agent", "drivers", "analytics"];

/** Every TypeScript file of the product, relative to the project's folder. */
export function productFiles(): readonly string[] {
  return PRODUCT.filter((folder) => existsSync(folder)).flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".ts"))
      .map((name) => join(folder, name)),
  );
}
