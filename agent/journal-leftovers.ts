// What an earlier process of this agent had executed and not reported, or not heard the answer to, when
// it died: reported first of all, under the session that it belongs to.

import { finish } from '../db/agents.ts';
import { connect } from '../db/connect.ts';
import { isUnavailable, StartupError } from '../db/errors.ts';
import type { Logger } from '../runtime/log.ts';
import type { JournalFile } from './journal-file.ts';
import type { Entry } from './journal-rows.ts';
import { finishStorable } from './reporter.ts';

const BATCH = 100;

/** @throws StartupError when the database is away; the journal then keeps what it has. */
export async function reportLeftovers(
  journal: JournalFile,
  databaseUrl: string,
  log: Logger,
): Promise<void> {
  if (journal.unacknowledged(1).length === 0) return;
  const database = connect(databaseUrl, { applicationName: 'agent-executor agent', max: 1 });
  try {
    // Every round acknowledges what it reads, so this ends.
    for (;;) {
      const entries = journal.unacknowledged(BATCH);
      if (entries.length === 0) break;
      for (const [session, ofSession] of Map.groupBy(entries, (entry) => entry.session)) {
        const reports = ofSession.map(({ report }) => report);
        const answers = await finishStorable(
          (some) => finish(database.pool, session, some),
          reports,
          log,
        );
        ofSession.forEach((entry, i) => acknowledge(journal, entry, answers[i], log));
      }
      journal.save();
    }
  } catch (cause) {
    if (!isUnavailable(cause)) throw cause;
    throw new StartupError(`Cannot reach the database: ${(cause as Error).message}`, { cause });
  } finally {
    await database.close();
  }
}

function acknowledge(
  journal: JournalFile,
  { seq, report: { id, attempt, outcome } }: Entry,
  answer: string | undefined,
  log: Logger,
): void {
  journal.acknowledge(seq);
  log.info({ commandId: id, attempt, outcome, answer }, 'reported what was left in the journal');
}
