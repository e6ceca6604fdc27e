/** One value of DER, the encoding of certificates: its tag, its content, and where the next one starts. */
export interface DerValue {
  readonly tag: number;
  readonly content: Buffer;
  /** Header and content. */
  readonly whole: Buffer;
  readonly end: number;
}

export const DER = { integer: 0x02, sequence: 0x30, utcTime: 0x17, generalizedTime: 0x18 } as const;

/** The value that starts at `at`. Throws RangeError when the bytes are no DER. */
export function derAt(bytes: Buffer, at = 0): DerValue {
  const tag = bytes.readUInt8(at);
  let length = bytes.readUInt8(at + 1);
  let start = at + 2;
  if (length > 0x7f) {
    const lengthBytes = length & 0x7f;
    if (lengthBytes === 0 || lengthBytes > 4) throw new RangeError("a length of DER has one to four bytes");
    length = bytes.readUIntBE(start, lengthBytes);
    start += lengthBytes;
  }
  if (start + length > bytes.length) throw new RangeError("a value of DER ends after its bytes do");
  return { tag, content: bytes.subarray(start, start + length), whole: bytes.subarray(at, start + length), end: start + length };
}

/** The values a sequence holds. */
export function derParts(bytes: Buffer): DerValue[] {
  const parts: DerValue[] = [];
  for (let at = 0; at < bytes.length;) {
    const part = derAt(bytes, at);
    parts.push(part);
    at = part.end;
  }
  return parts;
}

/** Milliseconds since 1970 of `YYMMDDhhmmssZ` or `YYYYMMDDhhmmssZ` (RFC 5280 allows no other form). */
export function derTimeMs({ tag, content }: DerValue): number {
  const text = content.toString("latin1");
  const two = Number(text.slice(0, 2));
  const full = tag === DER.generalizedTime ? text : `${two >= 50 ? "19" : "20"}${text}`;
  return Date.parse(full.replace(/^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/, "$1-$2-$3T$4:$5:$6Z"));
}
