import { AgentError, messageOf } from "../../../agent/contract/errors.ts";

/** The package koffi, and the C library to take functions of. Rejects NOT_READY naming the package when it is missing or does not run here. */
export async function loadKoffi() {
  const koffi = await import("koffi").then(
    (module) => module.default,
    (thrown: unknown) => {
      throw new AgentError(
        "NOT_READY",
        `package koffi does not load on linux-${process.arch} (${messageOf(thrown)}); run: npm install koffi`,
        { cause: thrown },
      );
    },
  );
  // The running program itself: Node is linked to the C library, whichever that is.
  return { koffi, library: koffi.load(null) };
}
