// pg-boss with its batches and bursts, with large ones, and with LISTEN/NOTIFY:
// see ../workers/pg-boss.ts.

import { PgBoss, type ConstructorOptions } from 'pg-boss';
import { CALLERS, inBatches, spanSql, startWorker, type Peer, type Submitter } from './peer.ts';

const SUBJECTS = {
  batches: 'pg-boss, batches of 100',
  large: 'pg-boss, two batches of 500',
  listening: 'pg-boss, LISTEN/NOTIFY',
};

const pgBossWith = (mode: keyof typeof SUBJECTS): Peer => ({
  subject: SUBJECTS[mode],
  install: (url) =>
    withBoss(url, (boss) => boss.createQueue('noop', { notify: mode === 'listening' })),
  fill: (url, jobs) =>
    withBoss(url, (boss) =>
      inBatches(jobs, (length) =>
        boss.insert(
          'noop',
          Array.from({ length }, () => ({ data: {} })),
        ),
      ),
    ),
  isDrained: `select not exists (
    select from pgboss.job where name = 'noop' and state < 'completed') as drained`,
  span: spanSql('min(started_on)', 'max(completed_on)', 'pgboss.job'),
  start: (url, concurrency) => {
    const env = { DATABASE_URL: url, CONCURRENCY: String(concurrency), MODE: mode };
    return Promise.resolve(startWorker('workers/pg-boss.ts', env));
  },
  pace: (concurrency) => (mode === 'large' ? 18_000 : concurrency < 100 ? 5_000 : 10_000),
});

export const pgBoss = pgBossWith('batches');
export const pgBossLarge = pgBossWith('large');
export const pgBossListening = pgBossWith('listening');

export async function sendWithPgBoss(url: string): Promise<Submitter> {
  const boss = await openBoss(url, { max: CALLERS });
  return {
    one: async (isProbe = false) => (await boss.send('noop', isProbe ? { probe: 1 } : {})) ?? '',
    many: (size) =>
      boss.insert(
        'noop',
        Array.from({ length: size }, () => ({ data: {} })),
      ),
    close: () => boss.stop({ graceful: false }),
  };
}

/** Without its upkeep, which would be noise. */
export async function openBoss(url: string, options: ConstructorOptions = {}): Promise<PgBoss> {
  const boss = new PgBoss({
    connectionString: url,
    supervise: false,
    schedule: false,
    ...options,
  });
  // Its database may be dropped under it.
  boss.on('error', () => {});
  await boss.start();
  return boss;
}

async function withBoss<T>(url: string, act: (boss: PgBoss) => Promise<T>): Promise<void> {
  const boss = await openBoss(url);
  try {
    await act(boss);
  } finally {
    await boss.stop({ graceful: false });
  }
}
