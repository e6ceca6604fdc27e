import { AgentError } from "../contract/errors.ts";
import type { ErrorCode } from "../contract/errors.ts";

/** MQTT 3.1.1, section 3.2.2.3, and MQTT 5, section 2.4: the connection was refused for who we are. */
const NOT_ALLOWED: ReadonlySet<unknown> = new Set([4, 5, 134, 135, 138]);
/** Likewise, for the version of the protocol. */
const WRONG_VERSION: ReadonlySet<unknown> = new Set([1, 132]);

/** OpenSSL's results of verifying a chain, as Node names them: nobody we trust has signed the broker's certificate. */
const UNTRUSTED: ReadonlySet<unknown> = new Set([
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "CERT_SIGNATURE_FAILURE",
  "CERT_UNTRUSTED",
  "INVALID_CA",
]);

/** Alerts of TLS (RFC 8446, section 6.2) about our certificate, as Node names them. */
const ALERT_ABOUT_US = /ALERT_(BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|CERTIFICATE_\w+|UNKNOWN_CA|HANDSHAKE_FAILURE|ACCESS_DENIED)$/;

/** `what` the broker does or is, and what to do about it. */
interface Verdict {
  readonly code: ErrorCode;
  readonly what: string;
  readonly hint: string;
}

/** Why a connection was not opened, and what to do: DENIED when one of both does not trust the other, ARGUMENT for certificates that cannot be used, else IO. */
export function refusedAs(url: string, refused: unknown, reason: string): AgentError {
  const { code, what, hint } = verdictOn(codeOf(refused));
  return new AgentError(code, `mqtt: ${url}${what}: ${reasonOf(refused) ?? reason}${hint}`, { cause: refused });
}

function verdictOn(code: unknown): Verdict {
  if (NOT_ALLOWED.has(code)) return { code: "DENIED", what: " refuses the connection", hint: "; look at mqtt.user and mqtt.passwordFile" };
  if (WRONG_VERSION.has(code)) return { code: "IO", what: "", hint: "; choose another with mqtt.protocol" };
  return typeof code === "string" ? verdictOnTls(code) : { code: "IO", what: "", hint: "" };
}

function verdictOnTls(code: string): Verdict {
  if (UNTRUSTED.has(code)) {
    return { code: "DENIED", what: " is not trusted", hint: "; name the certificate of who signed the broker's with mqtt.ca" };
  }
  if (code === "CERT_HAS_EXPIRED" || code === "CERT_NOT_YET_VALID") {
    return { code: "DENIED", what: " is not trusted", hint: "; renew the broker's certificate, or set this machine's clock" };
  }
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") {
    return { code: "DENIED", what: " is not trusted", hint: "; connect to a name that is in the broker's certificate" };
  }
  if (ALERT_ABOUT_US.test(code)) {
    const hint = "; look at mqtt.certificate and mqtt.key: the broker has to trust who signed it";
    return { code: "DENIED", what: " refuses this node's certificate", hint };
  }
  if (code.startsWith("ERR_OSSL_")) {
    return { code: "ARGUMENT", what: "", hint: "; mqtt.certificate and mqtt.key have to belong together, in PEM, without a password" };
  }
  return {
    code: "IO",
    what: "",
    hint: code === "ERR_SSL_WRONG_VERSION_NUMBER" ? "; there is no TLS on that port: take another, or mqtt:// or ws://" : "",
  };
}

/** What OpenSSL says, without where in its source it says it. */
function reasonOf(refused: unknown): string | undefined {
  if (typeof refused !== "object" || refused === null || !("library" in refused) || !("reason" in refused)) return undefined;
  return typeof refused.reason === "string" ? refused.reason : undefined;
}

/** What broke it, as the library or Node names it. */
export function codeOf(thrown: unknown): unknown {
  return typeof thrown === "object" && thrown !== null && "code" in thrown ? thrown.code : undefined;
}
