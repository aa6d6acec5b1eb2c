// Agents and servers that are killed, frozen and cut off, as processes with real signals.

import { expect, test, vi } from 'vitest';
import { startSink } from '../chaos/sink.ts';
import { expectStatus } from '../support/agent.ts';
import { useDatabase } from '../support/database.ts';
import { row, submit } from '../support/session.ts';
import { elapse, useSystem } from '../support/system.ts';
import { submitCommands } from '../../db/commands.ts';
import { v7 } from 'uuid';

const database = useDatabase();
const system = useSystem(database);

// What is promised is measured in bench/kills.ts. This is for a machine that runs other tests, and still
// less than the 15 s after which silence alone would tell.
const WITHIN_MS = 10_000;

const outcomes = async (id: string | undefined) =>
  (await system.attempts(id)).map(({ agent_id, outcome }) => `${outcome} ${agent_id}`);

test('what a killed agent ran is running on another within seconds, and is lost once', async () => {
  await system.settings(5_000, 15_000);
  await system.server();
  const first = await system.agent('first');
  const ids = await submit(database(), 5, { ms: 600_000 });
  await expectStatus(database(), 'RUNNING', 5);
  await system.agent('second');
  await system.watched();

  const killedAtMs = Date.now();
  first.signal('SIGKILL');
  await vi.waitFor(async () => expect(await system.stateOf('first')).toBe('lost'), WITHIN_MS);
  await expectStatus(database(), 'RUNNING', 5);
  for (const id of ids) {
    expect(await outcomes(id)).toEqual(['lost first', 'null second']);
    const { started_at, losses } = await row(database(), id);
    expect(losses).toBe(1);
    expect(started_at!.getTime() - killedAtMs).toBeLessThan(WITHIN_MS);
  }
});

test('an agent frozen for half the bound is not lost', async () => {
  await system.settings(1_000, 4_000);
  await system.server();
  const agent = await system.agent('sleeper');
  const ids = await submit(database(), 3, { ms: 500 });
  await expectStatus(database(), 'RUNNING', 3);
  agent.signal('SIGSTOP');
  await elapse(2_000);
  agent.signal('SIGCONT');
  await expectStatus(database(), 'COMPLETED', 3);
  for (const id of ids) expect(await outcomes(id)).toEqual(['completed sleeper']);
});

test('an agent frozen for about the bound: whichever way it goes, one result each', async () => {
  await system.settings(700, 2_000);
  await system.server();
  const agent = await system.agent('sleeper');
  const ids = await submit(database(), 6, { ms: 400 });
  await expectStatus(database(), 'RUNNING', 6);
  await system.agent('heir');
  agent.signal('SIGSTOP');
  await elapse(2_000 + 1_500 * Math.random());
  agent.signal('SIGCONT');
  await expectStatus(database(), 'COMPLETED', 6);
  for (const id of ids) expect((await outcomes(id)).length).toBeLessThanOrEqual(2);
});

/** The commands that an agent says it may not finish. */
function disowned(output: string): string[] {
  const lines = output.split('\n').filter((line) => /came too late|no longer ours/.test(line));
  const ids = lines.map((line) => (JSON.parse(line) as { commandId: string }).commandId);
  return [...new Set(ids)].toSorted();
}

test("a zombie's reports change nothing, and what it lost is aborted", async () => {
  await system.settings(700, 2_000);
  await system.server();
  const zombie = await system.agent('zombie');
  const short = await submit(database(), 3, { ms: 1_500 });
  const [long] = await submit(database(), 1, { ms: 600_000 });
  await expectStatus(database(), 'RUNNING', 4);
  zombie.signal('SIGSTOP');
  await system.agent('heir');
  await expectStatus(database(), 'COMPLETED', 3);
  const before = await Promise.all(short.map((id) => row(database(), id)));

  zombie.signal('SIGCONT');
  // It hears of each: a report comes too late, or the beat comes first and it aborts.
  await vi.waitFor(
    () => expect(disowned(zombie.output())).toEqual([...short, long!].sort()),
    WITHIN_MS,
  );
  expect(zombie.output()).toContain('no longer ours: aborting');
  expect(await Promise.all(short.map((id) => row(database(), id)))).toEqual(before);
  for (const id of short) expect(await outcomes(id)).toEqual(['lost zombie', 'completed heir']);
  expect(await outcomes(long)).toEqual(['lost zombie', 'null heir']);
  expect(await system.stateOf('zombie')).toBe('idle');
});

test('an agent that starts again under its id has its work running again in a second', async () => {
  await system.settings(5_000, 15_000);
  await system.server();
  const first = await system.agent('phoenix');
  const ids = await submit(database(), 5, { ms: 1_000 });
  await expectStatus(database(), 'RUNNING', 5);
  first.signal('SIGKILL');
  await first.exited;
  const restartedAtMs = Date.now();
  await system.agent('phoenix');
  await expectStatus(database(), 'COMPLETED', 5);
  for (const id of ids) {
    expect(await outcomes(id)).toEqual(['lost phoenix', 'completed phoenix']);
    const { started_at } = await row(database(), id);
    expect(started_at!.getTime() - restartedAtMs).toBeLessThan(WITHIN_MS);
  }
});

test('a server that is killed and comes back disturbs no agent', async () => {
  await system.settings(1_000, 3_000);
  const server = await system.server();
  await system.agent('steady');
  const ids = await submit(database(), 3, { ms: 1_500 });
  await expectStatus(database(), 'RUNNING', 3);
  server.signal('SIGKILL');
  await server.exited;
  const later = await submit(database(), 3, { ms: 0 });
  await expectStatus(database(), 'COMPLETED', 3);
  await system.server();
  await expectStatus(database(), 'COMPLETED', 6);
  for (const id of [...ids, ...later]) expect(await outcomes(id)).toEqual(['completed steady']);
});

test('ending all connections of an agent loses nothing and runs nothing twice', async () => {
  await system.settings(500, 3_000);
  await system.server();
  await system.agent('resilient', { CONCURRENCY: '5' });
  await system.watched();
  await using sink = await startSink();
  const batch = Array.from({ length: 60 }, (_, index) => ({
    id: v7(),
    type: 'HTTP_GET_JSON',
    payload: { url: sink.urlFor(index, 150) },
  }));
  await submitCommands(database().pool, batch);
  for (let cut = 0; cut < 4; cut += 1) {
    const seen = sink.hits.length;
    await vi.waitFor(() => expect(sink.hits.length).toBeGreaterThan(seen + 3), 10_000);
    await database().pool.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
       where datname = current_database() and application_name like 'agent-executor % resilient'`,
    );
  }
  await expectStatus(database(), 'COMPLETED', 60);
  expect(sink.hits.map(({ commandId }) => commandId).toSorted()).toEqual(
    batch.map(({ id }) => id).toSorted(),
  );
  const { rows } = await database().pool.query(
    `select from executor.attempts where outcome <> 'unstarted'`,
  );
  expect(rows).toEqual([]);
});
