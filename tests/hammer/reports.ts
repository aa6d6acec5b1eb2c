// Reports on their way to the ledger: sent twice at once, in another order, or long after their time.

import type { Report } from '../../db/agents.ts';
import { guard } from './connections.ts';
import { repeatedly, strikes, type Stage } from './stage.ts';

export type SessionReport = Report & { session: string };

export interface Buried {
  report: SessionReport;
  risesAt: number;
}

const MOST_IN_GRAVEYARD = 1_000;

/** Beyond the moment at which an agent is lost, and its command with another. */
const LATEST_MS = 1_500;

/** Sends reports of whatever sessions in one batch; answers in order. */
export async function sendReports(stage: Stage, reports: SessionReport[]): Promise<string[]> {
  for (const report of reports) stage.record.send(report);
  const { rows } = await stage.connections.work.pool.query<{
    command_id: string;
    attempt: number;
    answer: string;
  }>('select * from executor.finish($1)', [JSON.stringify(reports)]);
  return reports.map((report, i) => {
    const row = rows[i];
    if (row?.command_id !== report.id || row.attempt !== report.attempt) {
      stage.record.violation('answers are not in the order of the reports', report.id);
      return 'stale';
    }
    stage.record.answer(row.answer, report);
    return row.answer;
  });
}

/** The same, and now and then the same once more on another connection, in another order. */
export async function sendPerhapsTwice(
  stage: Stage,
  reports: SessionReport[],
  probability = 0.05,
): Promise<string[]> {
  if (!strikes(stage, probability)) return await sendReports(stage, reports);
  const [answers] = await Promise.all([
    sendReports(stage, reports),
    guard(stage.record, 'repeat', () => sendReports(stage, stage.random.shuffled(reports))),
  ]);
  return answers;
}

/** Keeps a report, to be sent by nobody's process at some later time. */
export function bury(stage: Stage, report: SessionReport): void {
  if (stage.graveyard.length >= MOST_IN_GRAVEYARD) stage.graveyard.shift();
  const risesAt = performance.now() + stage.random.between(0, LATEST_MS);
  stage.graveyard.push({ report, risesAt });
}

/** Sends what is buried: late, perhaps more than once, in batches that no single agent would send. */
export async function haunt(stage: Stage): Promise<void> {
  const { random, record } = stage;
  await repeatedly(stage, 'healing', [0, 30], async () => {
    const now = performance.now();
    const isDue = ({ risesAt }: Buried) => risesAt <= now;
    const risen = random.shuffled(stage.graveyard.filter(isDue)).slice(0, 30);
    stage.graveyard = stage.graveyard.filter((buried) => !risen.includes(buried));
    const reports = risen.map(({ report }) => report);
    for (const report of reports) if (random.chance(0.6)) bury(stage, report);
    record.count('late reports', reports.length);
    const send = () => sendPerhapsTwice(stage, reports, 0.5);
    if (reports.length > 0) await guard(record, 'late report', send);
  });
}
