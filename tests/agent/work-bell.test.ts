// That work may wait, said from one thread to another.

import { Worker } from 'node:worker_threads';
import { expect, test, vi } from 'vitest';
import { listenTo, newWorkBell, ring } from '../../agent/work-bell.ts';

test('rung by another thread it is heard, each time anew', async () => {
  const bell = newWorkBell();
  const onRing = vi.fn();
  void listenTo(bell, onRing);
  const ringer = new Worker(
    `const { parentPort, workerData } = require('node:worker_threads');
     import(workerData.module).then(({ ring }) => parentPort.on('message', () => ring(workerData.bell)));`,
    {
      eval: true,
      workerData: { bell, module: new URL('../../agent/work-bell.ts', import.meta.url).href },
    },
  );
  for (const times of [1, 2, 3]) {
    ringer.postMessage('ring', []);
    await vi.waitFor(() => expect(onRing).toHaveBeenCalledTimes(times));
  }
  await ringer.terminate();
});

test('rung often before it is heard it is heard once; rung while it is heeded, once more', async () => {
  const bell = newWorkBell();
  const onRing = vi.fn(() => {
    if (onRing.mock.calls.length === 1) ring(bell);
  });
  for (let i = 0; i < 3; i += 1) ring(bell);
  void listenTo(bell, onRing);
  await vi.waitFor(() => expect(onRing).toHaveBeenCalledTimes(2));
  ring(bell);
  await vi.waitFor(() => expect(onRing).toHaveBeenCalledTimes(3));
});
