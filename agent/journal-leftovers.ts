// What an earlier process of this agent had executed and not reported, or not heard the answer to, when
// it died: reported first of all, under the session that it belongs to.

import { StartupError } from '../db/errors.ts';
import type { Logger } from '../runtime/log.ts';
import type { JournalFile } from './journal-file.ts';
import type { Entry } from './journal-rows.ts';
import { finishStorable } from './reporter.ts';
import { isAway } from './transports/failures.ts';
import { ServerError } from './transports/http-client.ts';
import type { Transport } from './transports/transport.ts';

const BATCH = 100;

/** @throws StartupError when the ledger is away or takes nothing; the journal then keeps what it has. */
export async function reportLeftovers(
  journal: JournalFile,
  transport: Pick<Transport, 'finish'>,
  log: Logger,
): Promise<void> {
  try {
    // Every round acknowledges what it reads, so this ends.
    for (;;) {
      const entries = journal.unacknowledged(BATCH);
      if (entries.length === 0) break;
      for (const [session, ofSession] of Map.groupBy(entries, (entry) => entry.session)) {
        const reports = ofSession.map(({ report }) => report);
        const answers = await finishStorable(
          (some) => transport.finish(some, session),
          reports,
          log,
        );
        ofSession.forEach((entry, i) => acknowledge(journal, entry, answers[i], log));
      }
      journal.save();
    }
  } catch (cause) {
    if (!isAway(cause) && !(cause instanceof ServerError)) throw cause;
    const { message } = cause as Error;
    throw new StartupError(`Cannot report what the journal holds: ${message}`, { cause });
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
