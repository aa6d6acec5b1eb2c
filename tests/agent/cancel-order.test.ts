// A request to cancel meets claims, completions and newer attempts, in every order.

import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, test, vi } from 'vitest';
import type { ClaimedCommand } from '../../db/claim.ts';
import { scriptAgent, scriptedCommand } from '../support/scripted-transport.ts';

const never = () => new Promise<never>(() => {});

const CANCELLED = { outcome: 'cancelled', error: { code: 'cancelled', retryable: false } };

test('a request that is heard of before the reply of the claim keeps the command from starting', async () => {
  const reply = Promise.withResolvers<ClaimedCommand[]>();
  const started: string[] = [];
  const claim = vi.fn().mockReturnValueOnce(reply.promise).mockResolvedValue([]);
  await using scripted = await scriptAgent({ claim }, ({ commandId }) => {
    started.push(commandId);
    return never();
  });
  const [cancelled, other] = [scriptedCommand(), scriptedCommand()];
  scripted.agent.wake();
  scripted.agent.cancel([cancelled.id]);
  reply.resolve([cancelled, other]);
  await vi.waitFor(() =>
    expect(scripted.reports).toMatchObject([{ id: cancelled.id, ...CANCELLED }]),
  );
  expect(started).toEqual([other.id]);
});

test('a request is forgotten with the claim that it came during', async () => {
  const command = scriptedCommand();
  const reply = Promise.withResolvers<ClaimedCommand[]>();
  const claim = vi.fn().mockReturnValueOnce(reply.promise).mockResolvedValueOnce([command]);
  await using scripted = await scriptAgent({ claim: claim.mockResolvedValue([]) }, () =>
    Promise.resolve('done'),
  );
  scripted.agent.wake();
  scripted.agent.cancel([command.id]);
  reply.resolve([]);
  await vi.waitFor(async () => {
    await nextTurn();
    scripted.agent.wake();
    expect(scripted.reports).toMatchObject([{ id: command.id, outcome: 'completed' }]);
  });
});

test('what was completed before the request stays so, though its report is still on its way', async () => {
  const command = scriptedCommand();
  const sent: string[] = [];
  const answer = Promise.withResolvers<['accepted']>();
  const claim = vi.fn().mockResolvedValueOnce([command]).mockResolvedValue([]);
  const signals: AbortSignal[] = [];
  await using scripted = await scriptAgent(
    {
      claim,
      finish: (reports) => {
        sent.push(...reports.map(({ outcome }) => outcome));
        return answer.promise;
      },
    },
    ({ signal }) => {
      signals.push(signal);
      return Promise.resolve('done');
    },
  );
  scripted.agent.wake();
  await vi.waitFor(() => expect(sent).toEqual(['completed']));
  scripted.agent.cancel([command.id]);
  answer.resolve(['accepted']);
  await vi.waitFor(() => expect(scripted.agent.state().running).toEqual([]));
  expect(sent).toEqual(['completed']);
  expect(signals[0]?.aborted).toBe(false);
});

test('of a command that the agent claimed anew, the newer attempt is cancelled', async () => {
  const first = scriptedCommand(1);
  const second = scriptedCommand(2, first.id);
  const claim = vi
    .fn()
    .mockResolvedValueOnce([first])
    .mockResolvedValueOnce([second])
    .mockResolvedValue([]);
  const signals: AbortSignal[] = [];
  await using scripted = await scriptAgent({ claim }, ({ signal }) => {
    signals.push(signal);
    return never();
  });
  for (const count of [1, 2]) {
    scripted.agent.wake();
    await vi.waitFor(() => expect(signals).toHaveLength(count));
  }
  scripted.agent.cancel([first.id]);
  await vi.waitFor(() => expect(scripted.reports).toMatchObject([{ attempt: 2, ...CANCELLED }]));
  expect(signals.map(({ reason }) => (reason as Error).message)).toEqual(['revoked', 'cancelled']);
});

test('a request that comes with every beat is heeded once, and one for strangers not at all', async () => {
  const command = scriptedCommand();
  const claim = vi.fn().mockResolvedValueOnce([command]).mockResolvedValue([]);
  let started = 0;
  await using scripted = await scriptAgent({ claim }, () => {
    started += 1;
    return never();
  });
  scripted.agent.wake();
  await vi.waitFor(() => expect(started).toBe(1));
  scripted.agent.cancel([scriptedCommand().id, 'many', '']);
  await nextTurn();
  expect(scripted.reports).toEqual([]);
  for (let beats = 0; beats < 3; beats += 1) scripted.agent.cancel([command.id]);
  await vi.waitFor(() => expect(scripted.agent.state().running).toEqual([]));
  expect(scripted.reports).toMatchObject([{ id: command.id, ...CANCELLED }]);
});
