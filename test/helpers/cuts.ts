/** Every way in which bytes may arrive that a decoder must not notice: whole, in two parts cut anywhere, byte by byte. */
export function cuts(bytes: string): Buffer[][] {
  const whole = Buffer.from(bytes, "latin1");
  const ways = [[whole], [...whole].map((byte) => Buffer.from([byte]))];
  for (let at = 1; at < whole.length; at++) ways.push([whole.subarray(0, at), whole.subarray(at)]);
  return ways;
}
