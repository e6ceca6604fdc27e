import { connect, createServer, type AddressInfo, type Socket } from "node:net";

/** A way to a port that can be closed, so that one client comes back later than another. */
export interface Gate {
  readonly port: number;
  open(): void;
  /** Ends what goes through. */
  shut(): void;
  close(): Promise<void>;
}

export async function createGate(target: number): Promise<Gate> {
  const sockets = new Set<Socket>();
  let isOpen = true;
  const server = createServer((inner) => {
    if (!isOpen) {
      inner.destroy();
      return;
    }
    const outer = connect(target, "127.0.0.1");
    for (const socket of [inner, outer]) {
      socket.setNoDelay(true);
      sockets.add(socket);
      socket.on("error", () => socket.destroy());
      socket.on("close", () => {
        sockets.delete(socket);
        inner.destroy();
        outer.destroy();
      });
    }
    inner.pipe(outer).pipe(inner);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const shut = (): void => {
    isOpen = false;
    for (const socket of sockets) socket.destroy();
  };
  return {
    port: (server.address() as AddressInfo).port,
    open() {
      isOpen = true;
    },
    shut,
    close: () =>
      new Promise((resolve) => {
        shut();
        server.close(() => {
          resolve();
        });
      }),
  };
}
