// What the lifeline's thread tells the main thread most often: that work may wait. A word in shared memory that
// the main thread waits for: of what an idle agent takes to start a command, a message would be twice as much.

export type WorkBell = Int32Array<SharedArrayBuffer>;

const SILENT = 0;
const RUNG = 1;

export function newWorkBell(): WorkBell {
  return new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
}

/** Once is enough until it is heard. */
export function ring(bell: WorkBell): void {
  if (Atomics.exchange(bell, 0, RUNG) === SILENT) Atomics.notify(bell, 0);
}

/** Calls `onRing` whenever it rings, for as long as the process lives; does not keep it alive. */
export async function listenTo(bell: WorkBell, onRing: () => void): Promise<never> {
  for (;;) {
    await Atomics.waitAsync(bell, 0, SILENT).value;
    // First: what comes in while it is heeded has to ring once more.
    Atomics.store(bell, 0, SILENT);
    onRing();
  }
}
