// People who cancel, and who retry what FAILED or was CANCELLED; and somebody who watches all of it.

import { v7 } from 'uuid';
import { guard } from './connections.ts';
import { pause, repeatedly, strikes, type Stage } from './stage.ts';

const RECENT = 120;

/** Cancels a few, mostly of the latest, and remembers what was answered. */
export async function cancel(stage: Stage): Promise<void> {
  const { connections, record, random } = stage;
  await repeatedly(stage, 'healing', [10, 120], async () => {
    const recent = [...record.submitted.keys()].slice(-RECENT);
    const ids = random.shuffled(recent).slice(0, random.between(1, 6));
    const answered = await guard(record, 'cancel', () =>
      connections.work.pool.query<{ command_id: string; answer: string }>(
        'select * from executor.cancel_commands($1)',
        [ids],
      ),
    );
    for (const { command_id: id, answer } of answered?.rows ?? []) {
      record.note(id, `cancelling it was answered ${answer}`);
      record.count(`cancelling: ${answer}`);
      record.cancelled.set(id, (record.cancelled.get(id) ?? new Set()).add(answer));
    }
  });
}

/** Retries a few, also twice with the same new ids, as after a COMMIT whose outcome is unknown. */
export async function retry(stage: Stage): Promise<void> {
  const { connections, record, random } = stage;
  await repeatedly(stage, 'healing', [100, 500], async () => {
    const recent = [...record.submitted.values()].slice(-RECENT);
    const specs = random.shuffled(recent).slice(0, 4);
    const repeats = specs.map(({ idempotencyKey: _key, ...spec }) => ({ ...spec, id: v7() }));
    for (const spec of repeats) record.submit(spec);
    const ids = [specs, repeats].map((all) => all.map(({ id }) => id));
    do {
      const retried = await guard(record, 'retry', () =>
        connections.work.pool.query<{ answer: string; new_id: string }>(
          'select answer, new_id from executor.retry_commands($1, p_new_ids => $2)',
          ids,
        ),
      );
      for (const { answer, new_id: id } of retried?.rows ?? []) {
        record.count(`retrying: ${answer}`);
        if (answer === 'retried') record.acknowledged.add(id);
      }
      await pause(stage, 0, 20);
    } while (strikes(stage, 0.3));
  });
}

/** While somebody watches, changes are announced. */
export async function watchChanges(stage: Stage): Promise<void> {
  const { connections, record } = stage;
  await repeatedly(stage, 'healing', [500, 2_000], () =>
    guard(record, 'watch', () =>
      connections.work.pool.query(`select executor.watch(gen_random_uuid(), '500 ms')`),
    ),
  );
}
