// The hammer: everything that can go wrong between the SQL functions, at once and at random, with no
// agent process in the way. Then it heals, and judges.
//
// Faults: claims whose reply is thrown away or late, reports repeated, dropped, late and of sessions
// superseded or dead, agents without a session that forget what they run, agents that crash, freeze, hang, say goodbye, come back or are taken over,
// backends terminated, submissions repeated, also under idempotency keys, commands cancelled and retried
// whatever they do, queues paused, agents drained, tickets forged and torn out, two tickers and a repairer.
//
// Its limits: it sees no process, no journal and no clock but the database's.

import { setTimeout as sleep } from 'node:timers/promises';
import { cancel, retry, watchChanges } from './cancellers.ts';
import { pollInPairs } from './clients.ts';
import { openConnections } from './connections.ts';
import { keepAgent } from './fleet.ts';
import { damage, holdUp, repair, terminate, tick } from './meddlers.ts';
import { Random } from './random.ts';
import { Record } from './record.ts';
import { haunt } from './reports.ts';
import type { Stage } from './stage.ts';
import { submitCommands } from './submitters.ts';
import { judge, judgeDatabase } from './verdict.ts';
import { watch, watchOutages } from './watch.ts';

const AGENTS = 8;
const CLIENT_PAIRS = 2;
const SUBMITTERS = 3;
const HEAL_WITHIN_MS = 30_000;

/** Counters of other backends arrive within a second. */
const STATISTICS_DELAY_MS = 1_500;

export interface Outcome {
  /** Violations in full, with the histories of the commands concerned; empty when all is well. */
  violations: string[];
  counts: { [what: string]: number };
  /** From the last fault to the last command's end. */
  healedMs: number;
}

/** Hammers a freshly migrated database for so long, then heals it. The database is not fit for use after. */
export async function hammer(
  url: string,
  options: { seconds: number; seed: number },
): Promise<Outcome> {
  const record = new Record();
  const connections = openConnections(url, record);
  await connections.control.pool.query(`
    select executor.create_queue('side');
    update executor.settings set beat_interval = '100 ms', lost_after = '500 ms',
      unlocked_grace = '200 ms', deadline_grace = '300 ms'`);
  const stage: Stage = {
    url,
    connections,
    record,
    random: new Random(options.seed),
    graveyard: [],
    faulty: true,
    over: false,
  };

  const actors = setOut(stage);
  await waitUnlessFailed(record, options.seconds * 1_000);
  stage.faulty = false;
  const healedMs = await heal(stage);
  stage.over = true;
  await actors;
  // What was cut short is not healed, and would only blur the violation that cut it short.
  if (!record.failed.aborted) {
    await judge(stage);
    await sleep(STATISTICS_DELAY_MS);
    await judgeDatabase(stage);
  }
  const violations = await describe(stage);
  await connections.close();
  return { violations, counts: Object.fromEntries(record.counts), healedMs };
}

async function setOut(stage: Stage): Promise<void> {
  await Promise.all([
    ...Array.from({ length: AGENTS }, (_, i) => keepAgent(stage, i)),
    ...Array.from({ length: CLIENT_PAIRS }, (_, i) => pollInPairs(stage, i)),
    ...Array.from({ length: SUBMITTERS }, () => submitCommands(stage)),
    ...[tick, tick, repair, damage, terminate, holdUp, haunt, haunt, haunt].map((act) =>
      act(stage),
    ),
    ...[cancel, cancel, retry, watchChanges, watch, watchOutages].map((act) => act(stage)),
  ]);
}

async function waitUnlessFailed(record: Record, ms: number): Promise<void> {
  await sleep(ms, undefined, { signal: record.failed }).catch(() => undefined);
}

/** Waits until every command is finished and every ticket mended, for which ticks take their time. */
async function heal({ connections, record }: Stage): Promise<number> {
  const startedAt = performance.now();
  const elapsedMs = () => performance.now() - startedAt;
  while (!record.failed.aborted) {
    const { rows } = await connections.control.pool.query<{ healed: boolean }>(`
      select
        not exists (select from executor.commands where finished_at is null)
        and not exists (select from executor_queue.job) as healed`);
    if (rows[0]?.healed) break;
    if (elapsedMs() > HEAL_WITHIN_MS) {
      record.violation(`not healed within ${HEAL_WITHIN_MS} ms`);
      break;
    }
    await connections.control.pool.query('select executor.repair()');
    await sleep(20);
  }
  return Math.round(elapsedMs());
}

async function describe({ record, connections }: Stage): Promise<string[]> {
  const told: string[] = [];
  for (const { text, ids } of record.violations) {
    const { rows } = await connections.control.pool.query<{ line: string }>(
      `select to_jsonb(c)::text as line from executor.commands c where id = any ($1)
       union all
       select to_jsonb(a)::text from executor.attempts a where command_id = any ($1)`,
      [ids],
    );
    const lines = [...ids.flatMap((id) => [id, ...record.history(id)]), ...rows.map((r) => r.line)];
    told.push([text, ...lines].join('\n    '));
  }
  return told;
}
