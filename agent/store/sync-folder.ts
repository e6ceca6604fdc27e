import { open } from "node:fs/promises";

/** Names in a folder are on disk once this resolves: a file that was made, renamed or removed is so after a loss of power too. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
