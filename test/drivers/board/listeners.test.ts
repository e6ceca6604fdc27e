import t from "tap";

import { createListeners } from "../../../drivers/board/listeners.ts";

t.test("everybody is told, in the order in which they came, until they cancel", (t) => {
  const listeners = createListeners<[word: string, count: number]>();
  const told: string[] = [];
  const cancel = listeners.add((word, count) => told.push(`first ${word} ${count}`));
  listeners.add((word) => told.push(`second ${word}`));
  listeners.tell("a", 1);
  cancel();
  cancel();
  listeners.tell("b", 2);
  listeners.clear();
  listeners.tell("c", 3);
  t.same(told, ["first a 1", "second a", "second b"]);
  t.end();
});

t.test("one that was added twice is told twice, and cancelled one by one", (t) => {
  const listeners = createListeners<[]>();
  let count = 0;
  const listener = (): void => void (count += 1);
  const cancel = listeners.add(listener);
  listeners.add(listener);
  listeners.tell();
  t.equal(count, 2);
  cancel();
  cancel();
  listeners.tell();
  t.equal(count, 3);
  t.end();
});

t.test("who is cancelled by another meanwhile is not told any more, and who comes meanwhile is told next time", (t) => {
  const listeners = createListeners<[]>();
  const told: string[] = [];
  listeners.add(() => {
    told.push("first");
    cancel();
    listeners.add(() => told.push("late"));
  });
  const cancel = listeners.add(() => told.push("second"));
  listeners.add(() => told.push("third"));
  listeners.tell();
  t.same(told, ["first", "third"]);
  listeners.tell();
  t.same(told.slice(2), ["first", "third", "late"]);
  t.end();
});

t.test("nobody is told any more once the listeners are cleared from within", (t) => {
  const listeners = createListeners<[]>();
  const told: string[] = [];
  listeners.add(() => {
    told.push("first");
    listeners.clear();
  });
  listeners.add(() => told.push("second"));
  listeners.tell();
  listeners.tell();
  t.same(told, ["first"]);
  t.end();
});
