// What executors say while they run: progress, and lines for the log. Sent twice now and then, or for an
// attempt that is no more.

import type { ClaimedCommand } from '../../db/claim.ts';
import { guard } from './connections.ts';
import type { Life } from './life.ts';
import { strikes } from './stage.ts';

export async function say(life: Life, { id, attempt }: ClaimedCommand): Promise<void> {
  const { stage, session } = life;
  const { record, random, connections } = stage;
  const lines = Array.from({ length: random.between(0, 3) }, (_, i) => ({
    no: i + 1,
    line: `${session} ${i}`,
  }));
  const report = { id, attempt, progress: random.next(), message: session, lines };
  const others = [...life.running.values()].map((key) => ({ ...key, progress: random.next() }));
  const batch = random.shuffled([report, ...others.filter((other) => other.id !== id)]);
  for (let times = strikes(stage, 0.1) ? 2 : 1; times > 0; times -= 1) {
    const said = await guard(record, 'progress', () =>
      connections.work.pool.query<{ command_id: string; answer: string }>(
        'select * from executor.report_progress($1, $2)',
        [session, JSON.stringify(batch)],
      ),
    );
    const answer = said?.rows.find(({ command_id }) => command_id === id)?.answer;
    record.count(`said: ${answer ?? 'not answered'}`);
    if (answer === 'accepted') record.lines.set(`${id}/${attempt}`, lines.length);
  }
}
