// Those who submit: batches of every kind of command, repeated until they are acknowledged.

import { v7 } from 'uuid';
import { guard } from './connections.ts';
import type { Spec } from './record.ts';
import { pause, repeatedly, strikes, type Stage } from './stage.ts';

/** Few enough that agents, reporters and recovery keep meeting over the same commands. */
const MOST_LIVE = 150;

export async function submitCommands(stage: Stage): Promise<void> {
  const { random, record } = stage;
  const recent: Spec[] = [];
  await repeatedly(stage, 'healing', [5, 40], async () => {
    if (await isFull(stage)) return;
    const fresh = Array.from({ length: random.between(1, 20) }, () => draw(stage));
    for (const spec of fresh) record.submit(spec);
    const again = strikes(stage, 0.2) ? random.shuffled(recent).slice(0, 8) : [];
    const batch = random.shuffled([...fresh, ...again]);
    const twice = strikes(stage, 0.1) ? submit(stage, random.shuffled(batch)) : undefined;
    // COMMIT's outcome is unknown when the connection is lost: the same ids go in again.
    for (;;) {
      if (await submit(stage, batch)) break;
      if (record.failed.aborted) return;
      await pause(stage, 5, 50);
    }
    await twice;
    recent.push(...fresh);
    recent.splice(0, recent.length - 30);
  });
}

async function submit(stage: Stage, batch: Spec[]): Promise<boolean> {
  const done = await guard(stage.record, 'submit', () =>
    stage.connections.work.pool.query('select executor.submit($1)', [JSON.stringify(batch)]),
  );
  if (done) for (const { id } of batch) stage.record.acknowledged.add(id);
  return done !== undefined;
}

function draw({ random }: Stage) {
  return {
    id: v7(),
    type: 'DELAY',
    payload: { ms: 0 },
    priority: random.chance(0.2) ? random.between(-3, 3) : 0,
    delivery: random.chance(0.4) ? ('at_most_once' as const) : ('at_least_once' as const),
    maxAttempts: random.between(1, 3),
    backoff: { initialMs: random.between(0, 60) },
    // Half of them have a deadline so far off that nothing else may rely on it.
    timeoutMs: random.chance(0.5) ? random.between(100, 600) : 600_000,
    ...(random.chance(0.4) && { delayMs: random.between(0, 300) }),
  };
}

async function isFull({ connections, record }: Stage): Promise<boolean> {
  const live = await guard(record, 'count', () =>
    connections.control.pool.query<{ live: number }>(
      `select (
        (select count(*) from executor_queue.job)
        + (select count(*) from executor.commands where status = 'SCHEDULED')
      )::integer as live`,
    ),
  );
  return (live?.rows[0]?.live ?? MOST_LIVE) >= MOST_LIVE;
}
