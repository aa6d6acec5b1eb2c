// Those who submit: batches of every kind of command, repeated until they are acknowledged.

import { DatabaseError } from 'pg';
import { v7 } from 'uuid';
import { guard } from './connections.ts';
import { TARGETS } from './fleet.ts';
import type { Spec } from './record.ts';
import { pause, repeatedly, strikes, type Stage } from './stage.ts';

/** Few enough that agents, reporters and recovery keep meeting over the same commands. */
const MOST_LIVE = 150;

/** Beyond that, nothing with a key comes in: those lines take their time. */
const MOST_BLOCKED = 60;

const CONCURRENCY_KEYS = 20;

export async function submitCommands(stage: Stage): Promise<void> {
  const { random, record } = stage;
  const recent: Spec[] = [];
  await repeatedly(stage, 'healing', [5, 40], async () => {
    const { live, blocked } = await countLive(stage);
    if (live >= MOST_LIVE) return;
    const withKeys = blocked < MOST_BLOCKED;
    const fresh = Array.from({ length: random.between(1, 20) }, () => draw(stage, withKeys));
    const again = strikes(stage, 0.3) ? random.shuffled(recent).slice(0, 8) : [];
    for (const spec of fresh) record.submit(spec);
    const batch = random.shuffled([...fresh, ...again, ...replay(stage, again)]);
    const rival = random.shuffled([...batch, ...replay(stage, fresh)]);
    const twice = strikes(stage, 0.1) ? submit(stage, rival) : undefined;
    // COMMIT's outcome is unknown when the connection is lost: the same ids go in again.
    for (;;) {
      if (await submit(stage, batch)) break;
      if (record.failed.aborted) return;
      await pause(stage, 5, 50);
    }
    await twice;
    recent.push(...fresh);
    recent.splice(0, recent.length - 30);
    if (strikes(stage, 0.1)) await submitOther(stage, fresh);
  });
}

/** The same submissions under the same idempotency keys, as other commands. */
function replay({ random, record }: Stage, specs: Spec[]): Spec[] {
  const replays = specs.flatMap((spec) =>
    spec.idempotencyKey !== undefined && random.chance(0.7) ? [{ ...spec, id: v7() }] : [],
  );
  for (const spec of replays) record.submit(spec);
  return replays;
}

async function submit(stage: Stage, batch: Spec[]): Promise<boolean> {
  const { record, connections } = stage;
  const done = await guard(record, 'submit', async () => {
    try {
      return await connections.work.pool.query<{ id: string }>('select executor.submit($1) as id', [
        JSON.stringify(batch),
      ]);
    } catch (error) {
      // Somebody else takes one of its keys, and takes his time: he may be repeating this very batch.
      if (!isState(error, 'ZX007')) throw error;
      record.count('keys in use');
      return undefined;
    }
  });
  done?.rows.forEach(({ id }, i) => {
    const spec = batch[i];
    record.acknowledged.add(id);
    if (spec?.idempotencyKey === undefined) return;
    const known = record.idempotent.get(spec.idempotencyKey) ?? new Set();
    record.idempotent.set(spec.idempotencyKey, known.add(id));
    if (id !== spec.id) record.count('replays');
  });
  return done !== undefined;
}

/** Another submission under a key that is taken: it is refused. */
async function submitOther(stage: Stage, fresh: Spec[]): Promise<void> {
  const { record, connections } = stage;
  const spec = fresh.find(({ idempotencyKey }) => idempotencyKey !== undefined);
  if (!spec) return;
  const other = { ...spec, id: v7(), metadata: { other: true } };
  await guard(record, 'submit another', async () => {
    try {
      await connections.work.pool.query('select executor.submit($1)', [JSON.stringify([other])]);
      record.violation('another submission under the same key was taken', spec.id);
    } catch (error) {
      if (isState(error, 'ZX006')) record.count('keys refused');
      else if (!isState(error, 'ZX007')) throw error;
    }
  });
}

function isState(error: unknown, code: string): boolean {
  return error instanceof DatabaseError && error.code === code;
}

function draw({ random }: Stage, withKeys: boolean): Spec {
  return {
    id: v7(),
    type: random.chance(0.8) ? 'DELAY' : 'HTTP_GET_JSON',
    payload: { ms: 0 },
    ...(random.chance(0.3) && { queue: 'side' }),
    ...(random.chance(0.15) && { target: { agentId: `agent-${random.between(0, TARGETS - 1)}` } }),
    priority: random.chance(0.2) ? random.between(-3, 3) : 0,
    delivery: random.chance(0.4) ? ('at_most_once' as const) : ('at_least_once' as const),
    maxAttempts: random.between(1, 3),
    backoff: { initialMs: random.between(0, 60) },
    // Half of them have a deadline so far off that nothing else may rely on it.
    timeoutMs: random.chance(0.5) ? random.between(100, 600) : 600_000,
    ...(random.chance(0.4) && { delayMs: random.between(0, 300) }),
    ...(withKeys &&
      random.chance(0.4) && { concurrencyKey: `key ${random.between(1, CONCURRENCY_KEYS)}` }),
    ...(random.chance(0.3) && { idempotencyKey: v7() }),
  };
}

async function countLive({
  connections,
  record,
}: Stage): Promise<{ live: number; blocked: number }> {
  const counted = await guard(record, 'count', () =>
    connections.control.pool.query<{ live: number; blocked: number }>(
      `select
        (
          (select count(*) from executor_queue.job)
          + (select count(*) from executor.commands where status = 'SCHEDULED')
        )::integer as live,
        (select count(*) from executor.commands where status = 'BLOCKED')::integer as blocked`,
    ),
  );
  return counted?.rows[0] ?? { live: MOST_LIVE, blocked: MOST_BLOCKED };
}
