/** The least first. */
export interface Heap<T> {
  readonly size: number;
  push(item: T): void;
  peek(): T | undefined;
  pop(): T | undefined;
  /** Drops every item that `wanted` refuses. */
  retain(wanted: (item: T) => boolean): void;
}

/** A binary heap. `before` says whether `a` comes out before `b`. */
export function createHeap<T>(before: (a: T, b: T) => boolean): Heap<T> {
  let items: T[] = [];

  function rise(item: T, from: number): void {
    let at = from;
    while (at > 0) {
      const above = (at - 1) >> 1;
      const parent = items[above] as T;
      if (!before(item, parent)) break;
      items[at] = parent;
      at = above;
    }
    items[at] = item;
  }

  function sink(item: T, from: number): void {
    let at = from;
    for (let below = 2 * at + 1; below < items.length; below = 2 * at + 1) {
      if (below + 1 < items.length && before(items[below + 1] as T, items[below] as T)) below += 1;
      const child = items[below] as T;
      if (!before(child, item)) break;
      items[at] = child;
      at = below;
    }
    items[at] = item;
  }

  return {
    get size() {
      return items.length;
    },
    push(item) {
      items.push(item);
      rise(item, items.length - 1);
    },
    peek: () => items[0],
    pop() {
      const top = items[0];
      const last = items.pop();
      if (last !== undefined && items.length > 0) sink(last, 0);
      return top;
    },
    retain(wanted) {
      items = items.filter(wanted);
      for (let at = (items.length >> 1) - 1; at >= 0; at--) sink(items[at] as T, at);
    },
  };
}
