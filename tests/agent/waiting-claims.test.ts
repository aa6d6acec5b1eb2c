// A claim that waits at a server is its agent's sign of life: what the lifeline is told when it does so no more.

import { expect, test, vi } from 'vitest';
import type { ClaimedCommand } from '../../db/claim.ts';
import { scriptAgent, scriptedCommand } from '../support/scripted-transport.ts';

/** An agent whose claims wait, and are answered when the test says so. */
async function startWaiting(execute: () => unknown = () => undefined) {
  const claims: PromiseWithResolvers<ClaimedCommand[]>[] = [];
  let settled = 0;
  const scripted = await scriptAgent(
    {
      pollIntervalMs: 60_000,
      get isWaiting() {
        return settled < claims.length;
      },
      claim: async () => {
        const claim = Promise.withResolvers<ClaimedCommand[]>();
        claims.push(claim);
        try {
          return await claim.promise;
        } finally {
          settled += 1;
        }
      },
      endClaim: () => claims.at(-1)?.resolve([]),
    },
    () => Promise.resolve(execute()),
  );
  scripted.agent.wake();
  await vi.waitFor(() => expect(claims).toHaveLength(1));
  return { ...scripted, claims };
}

test('who runs nothing and has an open claim waits', async () => {
  await using waiting = await startWaiting();
  expect(waiting.agent.state()).toMatchObject({ running: [], waits: true });
  const drained = waiting.agent.drain(0);
  expect(waiting.agent.state()).toMatchObject({ draining: true, waits: false });
  await drained;
});

test('that a claim brought something is told before any of it begins', async () => {
  const toldAtStart: string[][] = [];
  await using waiting = await startWaiting(() => {
    toldAtStart.push([...waiting.stirs]);
    return new Promise(() => {});
  });
  waiting.agent.state();
  waiting.claims[0]?.resolve([scriptedCommand()]);
  await vi.waitFor(() => expect(toldAtStart).toEqual([['busy']]));
  expect(waiting.agent.state()).toMatchObject({ running: [{ attempt: 1 }], waits: false });
  // A second slot is free, and claimed for.
  await vi.waitFor(() => expect(waiting.claims).toHaveLength(2));
  expect(waiting.agent.state()).toMatchObject({ waits: false });
  expect(waiting.stirs).toEqual(['busy']);
});

test('of a claim that failed the ledger is to hear at once', async () => {
  await using waiting = await startWaiting();
  waiting.agent.state();
  waiting.claims[0]?.reject(new Error('the connection is gone'));
  await vi.waitFor(() => expect(waiting.stirs[0]).toBe('beat'));
  expect(waiting.agent.state()).toMatchObject({ waits: false });
});

test('a claim that did not wait is no sign of life any more', async () => {
  await using waiting = await startWaiting();
  waiting.agent.state();
  waiting.claims[0]?.resolve([]);
  await vi.waitFor(() => expect(waiting.stirs).toEqual(['busy']));
});
