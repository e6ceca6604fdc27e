import { once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";

import t from "tap";

import { createClassicClient as createPublicClient } from "../../agent/client.ts";
import { createClassicClient, type ClassicClient } from "../../agent/fleet/classic-client.ts";
import { CLONE_ACKNOWLEDGEMENT } from "../../agent/wire/classic-clone.ts";
import { createSystemClock } from "../../agent/clock.ts";
import { createFakeClock, type FakeClock } from "../helpers/fake-clock.ts";
import { eventually } from "../helpers/eventually.ts";
import { startOriginalNode, type OriginalNode } from "../helpers/original-node.ts";

function clientOf({ ports }: OriginalNode, clock: FakeClock = createFakeClock()): ClassicClient {
  return createClassicClient({ host: "127.0.0.1", ports, clock });
}

for (const end of ["reset", "close"] as const) {
  t.test(`every service of an original node that ends with a ${end}`, async (t) => {
    const node = await startOriginalNode(t, { end });
    const client = clientOf(node);
    t.equal(await client.clone("virgo_cloud_test_kernelspace"), CLONE_ACKNOWLEDGEMENT);

    const address = await client.memory.malloc(100);
    t.equal(address, 0xffff_8800_9d1e_fc48n);
    await client.memory.set(address, "DataSet17April2017");
    t.equal((await client.memory.get(address)).toString(), "DataSet17April2017");
    await client.memory.set(address, "virgodata:rest");
    await client.memory.free(address);

    const descriptor = await client.files.open("/var/log/virgo_fs/virgofstest.txt");
    t.equal(descriptor, 0);
    await client.files.write(descriptor, "DataAppended (17 April)");
    t.equal((await client.files.read(descriptor, 8, 4)).toString(), "Appended");
    await client.files.close(descriptor);
    t.equal(node.files.get("/var/log/virgo_fs/virgofstest.txt")?.toString(), "DataAppended (17 April)");

    await client.events.vertex(1, "15", "19");
    await client.events.edge(1, "2");
    t.equal(await client.queue.enqueue("VirgoQueue_KingCobra_6October2017"), "");

    t.strictSame(node.requests, [
      "virgo_cloud_test_kernelspace",
      "virgo_cloud_malloc(100)",
      "virgo_cloud_set(ffff88009d1efc48,DataSet17April2017)",
      "virgo_cloud_get(ffff88009d1efc48)",
      "virgo_cloud_set(ffff88009d1efc48,virgodata:rest)",
      "virgo_cloud_free(ffff88009d1efc48)",
      "virgo_cloud_open(/var/log/virgo_fs/virgofstest.txt)",
      "virgo_cloud_write(0,DataAppended (17 April),23,0)",
      "virgo_cloud_read(0,none,8,4)",
      "virgo_cloud_close(0)",
      "eventnet_vertexmsg#1#15#19#",
      "eventnet_edgemsg#1#2#",
      "VirgoQueue_KingCobra_6October2017",
    ]);
    t.strictSame(
      node.lengths,
      node.requests.map((text) => text.length + 1),
      "each with one NUL and nothing behind it",
    );
  });
}

t.test("a node of 32 bits has short addresses and says nothing when it frees", async (t) => {
  const node = await startOriginalNode(t, { width: 32 });
  const clock = createFakeClock();
  const client = clientOf(node, clock);
  const address = await client.memory.malloc(100);
  t.equal(address, 0xeca9_f820n);
  await client.memory.set(address, '"data3"');
  t.equal((await client.memory.get(address)).toString(), '"data3"');
  let freed = false;
  const freeing = client.memory.free(address).then(() => (freed = true));
  await eventually(() => node.requests.includes("virgo_cloud_free(eca9f820)"));
  await clock.advance(499);
  t.equal(freed, false);
  await clock.advance(1);
  await freeing;
  t.equal(clock.pending(), 0);
});

t.test("the package's own entry brings its clock", async (t) => {
  const node = await startOriginalNode(t);
  const client = createPublicClient({ host: "127.0.0.1", ports: node.ports });
  t.equal(await client.clone("virgo_cloud_test_kernelspace"), CLONE_ACKNOWLEDGEMENT);
});

t.test("what does not fit, and what the node would end in the middle, is not sent", async (t) => {
  const node = await startOriginalNode(t);
  const client = clientOf(node);
  t.equal((await client.clone("x".repeat(499))).length, 125);
  t.equal(node.lengths[0], 500);
  await t.rejects(client.clone("x".repeat(500)), { code: "LIMIT", message: /^a request of 500 bytes does not fit: / });
  await t.rejects(client.clone("ö".repeat(250)), { code: "LIMIT" }, "bytes count, not characters");
  await t.rejects(client.clone("lamp on"), { code: "ARGUMENT", message: 'the token holds " ", where an original node would end it' });
  await t.rejects(client.clone("lamp\0on"), { code: "ARGUMENT" });
  await t.rejects(client.memory.set(1n, "a)b"), { code: "ARGUMENT", message: /^the data holds "\)"/ });
  await t.rejects(client.memory.set(1n, "a b"), { code: "ARGUMENT" });
  await t.rejects(client.memory.malloc(0), { code: "ARGUMENT", message: "a block is 0; a whole number from 1 to 2147483647 is expected" });
  await t.rejects(client.memory.malloc(1.5), { code: "ARGUMENT" });
  await t.rejects(client.memory.get(0n), { code: "ARGUMENT" });
  await t.rejects(client.memory.free(1n << 64n), { code: "ARGUMENT", message: /^18446744073709551616 is no address/ });
  await t.rejects(client.files.open("a)b"), { code: "ARGUMENT" });
  await t.rejects(client.files.write(0, "a,b"), { code: "ARGUMENT", message: /^the data holds ","/ });
  await t.rejects(client.files.read(0, 500), { code: "ARGUMENT", message: /from 0 to 499/ });
  await t.rejects(client.files.read(-1, 5), { code: "ARGUMENT" });
  await t.rejects(client.events.edge("a#b", 1), { code: "ARGUMENT" });
  await t.rejects(client.queue.enqueue("two words"), { code: "ARGUMENT" });
  t.equal(node.requests.length, 1);
});

t.test("an answer is read whole when it has no NUL, and as far as it came when the connection is reset", async (t) => {
  const full = await startOriginalNode(t, { instead: () => Buffer.alloc(499, "x") });
  t.equal((await clientOf(full).clone("a")).length, 499);
  for (const ending of ["resetAndDestroy", "end"] as const) {
    const server = createServer((socket) => {
      socket.on("error", () => socket.destroy());
      socket.once("data", () => socket.write("short", () => socket[ending]()));
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    t.teardown(() => server.close());
    const client = createClassicClient({ host: "127.0.0.1", clock: createFakeClock() });
    t.equal((await client.exchange((server.address() as AddressInfo).port, "a")).toString(), "short", ending);
  }
});

t.test("what is no answer is an error that says what it was", async (t) => {
  const refusing = clientOf(await startOriginalNode(t, { instead: () => Buffer.alloc(0) }));
  await t.rejects(refusing.memory.malloc(5), { code: "IO", message: /^the node answered "" instead of an address; / });
  await t.rejects(refusing.memory.set(5n, "x"), { code: "IO" });
  await t.rejects(refusing.files.open("x"), { code: "IO", message: 'the node did not open x: it answered ""' });
  t.equal((await refusing.memory.get(5n)).length, 0);
  const failing = clientOf(await startOriginalNode(t, { instead: () => Buffer.from("-1") }));
  await t.rejects(failing.files.open("x"), { code: "IO", message: /answered "-1"$/ });
  const elsewhere = clientOf(await startOriginalNode(t, { instead: () => Buffer.from("00000007") }));
  await t.rejects(elsewhere.memory.set(5n, "x"), { code: "IO", message: 'the node answered "00000007" when 00000005 was set' });
  const closing = clientOf(await startOriginalNode(t, { instead: () => undefined }));
  await t.rejects(closing.clone("x"), { code: "IO", message: /closed the connection without an answer$/ });
  const nobody = createClassicClient({ host: "127.0.0.1", clock: createFakeClock(), ports: { clone: 1 } });
  await t.rejects(nobody.clone("x"), { code: "IO", message: /^cannot exchange anything with 127\.0\.0\.1:1: .*ECONNREFUSED/ });
});

t.test("a node that hangs is given up at the deadline, unless the answer is there and only the end is missing", async (t) => {
  let half = "";
  const server = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    socket.on("data", () => half !== "" && socket.write(half, "latin1"));
    t.teardown(() => socket.destroy());
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.teardown(() => server.close());
  const { port } = server.address() as AddressInfo;
  const silent = createClassicClient({ host: "127.0.0.1", clock: createSystemClock(), deadlineMs: 20 });
  await t.rejects(silent.exchange(port, "x"), {
    code: "TIMEOUT",
    message: `127.0.0.1:${port} has not answered within 20 ms; what was asked may still have happened`,
  });
  half = "no end";
  await t.rejects(silent.exchange(port, "x"), { code: "TIMEOUT" });
  half = "7\0rubbish";
  t.equal((await silent.exchange(port, "x")).toString(), "7");
});
