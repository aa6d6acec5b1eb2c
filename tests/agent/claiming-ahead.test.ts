// What an agent does with commands that it claimed ahead of free slots: on a scripted transport.

import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { expect, test, vi } from 'vitest';
import type { Demand } from '../../agent/claimer.ts';
import type { ExecutorContext } from '../../agent/executors/executor.ts';
import type { GivenBack, Report } from '../../db/agents.ts';
import type { ClaimedCommand } from '../../db/claim.ts';
import { scriptAgent, scriptedCommand, type ScriptedAgent } from '../support/scripted-transport.ts';

interface Ahead extends ScriptedAgent {
  queue: ClaimedCommand[];
  demands: Demand[];
  started: string[];
  givenBack: GivenBack[];
}

/** An agent of two slots, and a queue of commands that do nothing but for what `execute` does with some. */
async function startAhead(
  commands: number,
  execute: (context: ExecutorContext, ahead: Ahead) => unknown = () => undefined,
  mayClaimAhead = true,
  onReport: (reports: Report[]) => unknown = () => undefined,
): Promise<Ahead> {
  const queue = Array.from({ length: commands }, () => scriptedCommand());
  const demands: Demand[] = [];
  const started: string[] = [];
  const givenBack: GivenBack[] = [];
  const scripted = await scriptAgent(
    {
      mayClaimAhead,
      claim: (demand) => {
        demands.push(demand);
        return Promise.resolve(queue.splice(0, demand.limit));
      },
      finish: async (reports) => {
        await onReport(reports);
        ahead.reports.push(...reports);
        return reports.map(() => 'accepted');
      },
      release: (claims) => {
        givenBack.push(...claims);
        return Promise.resolve(claims.map(() => 'accepted'));
      },
    },
    async (context) => {
      started.push(context.commandId);
      await execute(context, ahead);
    },
  );
  const ahead = { ...scripted, queue, demands, started, givenBack };
  return ahead;
}

/**
 * Executes commands until many wait; then both slots are taken for good, and there is no other work, which
 * `onStuck` hears of in the same turn of the event loop: nothing can have been given back by then.
 */
async function startStuck(
  onStuck: (ahead: Ahead, waiting: string[]) => void,
): Promise<Ahead & { open: () => void; waiting: string[]; stuck: string[] }> {
  const gate = Promise.withResolvers<void>();
  const stuck: string[] = [];
  const waiting: string[] = [];
  const ahead = await startAhead(1_000, ({ commandId }, { agent, started, queue }) => {
    const others = agent.state().running.filter(({ id }) => !started.includes(id));
    if (stuck.length === 0 && (started.length < 200 || others.length < 20)) return undefined;
    stuck.push(commandId);
    if (stuck.length === 2) {
      queue.length = 0;
      waiting.push(...others.map(({ id }) => id));
      onStuck(ahead, waiting);
    }
    return gate.promise;
  });
  ahead.agent.wake();
  await vi.waitFor(() => expect(stuck).toHaveLength(2));
  return { ...ahead, open: gate.resolve, waiting, stuck };
}

test('commands that take no time are claimed ahead, executed in their order, and all reported', async () => {
  await using ahead = await startAhead(3_000);
  const ids = ahead.queue.map(({ id }) => id);
  ahead.agent.wake();
  await vi.waitFor(() => expect(ahead.reports).toHaveLength(3_000));
  expect(ahead.started).toEqual(ids);
  expect(ahead.demands[0]).toEqual({ limit: 2, ahead: 0 });
  expect(Math.max(...ahead.demands.map((demand) => demand.ahead))).toBeGreaterThan(100);
  expect(Math.max(...ahead.demands.map(({ limit }) => limit))).toBeLessThanOrEqual(402);
  expect(ahead.demands.length).toBeLessThan(100);
  expect(ahead.givenBack).toEqual([]);
});

test('while one report is on its way, the next one fills up; then nothing is claimed', async () => {
  const gate = Promise.withResolvers<void>();
  const sizes: number[] = [];
  await using ahead = await startAhead(3_000, undefined, true, async ({ length }) => {
    sizes.push(length);
    // The first ones are small: nothing is claimed ahead yet.
    if (length > 100) await gate.promise;
  });
  ahead.agent.wake();
  // Two slots and a line of 400: twice that, and the line once more.
  await vi.waitFor(() => expect(ahead.agent.state().running).toHaveLength(1_204));
  const claims = ahead.demands.length;
  ahead.agent.wake();
  expect(ahead.demands).toHaveLength(claims);
  gate.resolve();
  await vi.waitFor(() => expect(ahead.reports).toHaveLength(3_000));
  expect(sizes[sizes.findIndex((size) => size > 100) + 1]).toBe(500);
});

test('no more execute at once than there are slots', async () => {
  let executing = 0;
  let most = 0;
  await using ahead = await startAhead(300, async () => {
    executing += 1;
    most = Math.max(most, executing);
    await sleep(1);
    executing -= 1;
  });
  ahead.agent.wake();
  await vi.waitFor(() => expect(ahead.reports).toHaveLength(300), 10_000);
  expect(most).toBe(2);
  expect(ahead.demands.some((demand) => demand.ahead > 0)).toBe(true);
});

test('commands that take 20 ms are not', async () => {
  await using ahead = await startAhead(20, () => sleep(25));
  ahead.agent.wake();
  await vi.waitFor(() => expect(ahead.reports).toHaveLength(20), 10_000);
  expect(ahead.demands.filter((demand) => demand.ahead > 0)).toEqual([]);
});

test('nothing is claimed ahead where claims wait for work', async () => {
  await using ahead = await startAhead(300, undefined, false);
  ahead.agent.wake();
  await vi.waitFor(() => expect(ahead.reports).toHaveLength(300));
  expect(ahead.demands.filter((demand) => demand.ahead > 0)).toEqual([]);
});

test('what no slot comes for goes back as not started; beats list it until then', async () => {
  let beaten: string[] = [];
  await using ahead = await startStuck(({ agent }) => {
    beaten = agent.state().running.map(({ id }) => id);
  });
  const { agent, started, waiting, stuck, demands } = ahead;
  expect(beaten).toEqual(expect.arrayContaining(waiting));
  await vi.waitFor(() => expect(ahead.givenBack).toHaveLength(waiting.length));
  expect(ahead.givenBack).toEqual(waiting.map((id) => ({ id, attempt: 1, started: false })));
  const running = agent.state().running.map(({ id }) => id);
  expect(running.filter((id) => waiting.includes(id))).toEqual([]);
  expect(running).toEqual(expect.arrayContaining(stuck));
  const claims = demands.length;
  agent.wake();
  expect(demands).toHaveLength(claims);
  ahead.open();
  await vi.waitFor(() => expect(demands.length).toBeGreaterThan(claims));
  expect(demands[claims]).toMatchObject({ ahead: 0 });
  expect(started.filter((id) => waiting.includes(id))).toEqual([]);
});

test('what is cancelled while it waits is reported at once, and does not start', async () => {
  await using ahead = await startStuck(({ agent }, [first = '', second = '']) =>
    agent.cancel([first, second]),
  );
  const cancelled = ahead.waiting.slice(0, 2);
  await vi.waitFor(() =>
    expect(ahead.reports.filter(({ outcome }) => outcome === 'cancelled')).toMatchObject(
      cancelled.map((id) => ({ id, attempt: 1 })),
    ),
  );
  await vi.waitFor(() => expect(ahead.givenBack).toHaveLength(ahead.waiting.length - 2));
  expect(ahead.givenBack.map(({ id }) => id)).toEqual(ahead.waiting.slice(2));
  expect(ahead.started.filter((id) => cancelled.includes(id))).toEqual([]);
});

test('what is revoked while it waits is neither started nor reported nor given back', async () => {
  await using ahead = await startStuck(({ agent }, [first = '']) =>
    agent.revoke([{ id: first, attempt: 1 }]),
  );
  const [revoked = '', ...others] = ahead.waiting;
  await vi.waitFor(() => expect(ahead.givenBack).toHaveLength(others.length));
  expect(ahead.givenBack.map(({ id }) => id)).toEqual(others);
  expect(ahead.agent.state().running.map(({ id }) => id)).not.toContain(revoked);
  expect(ahead.started).not.toContain(revoked);
  expect(ahead.reports.map(({ id }) => id)).not.toContain(revoked);
});

test('of what is claimed anew while it waits, the newer attempt is executed', async () => {
  const [first, second, ...stuck] = Array.from({ length: 4 }, () => scriptedCommand());
  const [waiting, other] = [scriptedCommand(), scriptedCommand()];
  const claim = vi
    .fn()
    .mockResolvedValueOnce([first, second])
    .mockResolvedValueOnce([...stuck, waiting, other])
    .mockResolvedValueOnce([scriptedCommand(2, waiting.id)])
    .mockResolvedValue([]);
  const gate = Promise.withResolvers<void>();
  const started: string[] = [];
  const isStuck = (id: string) => stuck.some((command) => command.id === id);
  await using scripted = await scriptAgent(
    { mayClaimAhead: true, claim },
    async ({ commandId, attempt }) => {
      if (isStuck(commandId)) return await gate.promise;
      started.push(`${commandId} ${attempt}`);
    },
  );
  scripted.agent.wake();
  await vi.waitFor(() => expect(claim).toHaveBeenCalledTimes(3));
  await nextTurn();
  gate.resolve();
  await vi.waitFor(() => expect(scripted.reports).toHaveLength(6));
  expect(started.slice(2)).toEqual([`${other.id} 1`, `${waiting.id} 2`]);
});

test('an agent that drains gives back at once what has not begun, and finishes what has', async () => {
  let drained: Promise<boolean> | undefined;
  await using ahead = await startStuck(({ agent }) => {
    drained = agent.drain(10_000);
  });
  const { waiting, stuck, givenBack, reports } = ahead;
  expect(givenBack).toEqual(waiting.map((id) => ({ id, attempt: 1, started: false })));
  ahead.open();
  expect(await drained).toBe(true);
  expect(reports.map(({ id }) => id)).toEqual(expect.arrayContaining(stuck));
  expect(givenBack).toHaveLength(waiting.length);
});
