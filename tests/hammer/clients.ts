// Agents without a session, two of them to a statement: they poll, run what they get, report it with their
// attempt's number or without, or forget it and poll again, as one does that has restarted.

import type { AttemptKey } from '../../db/agents.ts';
import { SUBSCRIPTION } from '../support/session.ts';
import { guard } from './connections.ts';
import { pause, repeatedly, strikes, type Stage } from './stage.ts';

interface Claimed {
  answer: string;
  session: string;
  commands: AttemptKey[];
}

export async function pollInPairs(stage: Stage, pair: number): Promise<void> {
  const agentIds = ['a', 'b'].map((one) => `client-${pair}-${one}`);
  await repeatedly(stage, 'over', [5, 60], async () => {
    const claimed = await guard(stage.record, 'poll', () => poll(stage, agentIds));
    await Promise.all((claimed ?? []).map((one, i) => carryOut(stage, agentIds[i] ?? '', one)));
  });
}

async function poll({ connections, random }: Stage, agentIds: string[]): Promise<Claimed[]> {
  const requests = agentIds.map((agentId) => ({
    ...SUBSCRIPTION,
    agentId,
    limit: random.between(1, 2),
  }));
  const { rows } = await connections.work.pool.query<Claimed>(
    'select answer, session, commands from executor.claim_many($1) order by ordinal',
    [JSON.stringify(requests)],
  );
  return rows;
}

async function carryOut(
  stage: Stage,
  agentId: string,
  { answer, session, commands }: Claimed,
): Promise<void> {
  const { record } = stage;
  // Whoever looks for lost agents may hold its row.
  if (answer === 'busy') return record.count('busy clients');
  if (answer !== 'claimed' && answer !== 'draining')
    record.violation(`a client was answered ${answer}`);
  for (const command of commands) record.handOut(command, { agentId, session });
  if (commands.length > 0 && strikes(stage, 0.1)) return record.count('forgotten');
  for (const command of commands) {
    record.execute(command);
    await pause(stage, 0, 20);
    await report(stage, { agentId, session, ...command });
  }
}

async function report(
  { connections, record, random }: Stage,
  { agentId, session, id, attempt }: AttemptKey & { agentId: string; session: string },
): Promise<void> {
  const result = { by: session, attempt };
  const outcome = random.chance(0.8)
    ? { outcome: 'completed', result }
    : { outcome: 'failed', error: { code: 'no', message: 'no luck', retryable: true } };
  record.send({ id, attempt });
  const answers = await guard(record, 'client report', () =>
    connections.work.pool.query<{ answer: string }>(
      'select answer from executor.finish_for_clients($1)',
      [JSON.stringify([{ id, agentId, ...(random.chance(0.5) && { attempt }), ...outcome }])],
    ),
  );
  const answer = answers?.rows[0]?.answer;
  if (answer) record.answer(answer, { id, attempt, session, ...outcome });
}
