// Judges a run by three witnesses that do not know of each other: what clients were told, what the sink
// was asked, and the ledger. The numbers are those of the list of invariants in ARCHITECTURE.md.

import type pg from 'pg';
import type { Hit } from './sink.ts';
import type { Submissions } from './submitter.ts';

export interface Violation {
  invariant: string;
  what: string;
  /** The command that shows it. */
  id?: string;
}

export interface Evidence {
  submissions: Submissions;
  hits: Hit[];
}

interface Command {
  id: string;
  status: string;
  attempt: number;
  delivery: string;
  idempotency_key: string | null;
  result: { body?: Partial<Hit> } | null;
}

interface Attempt {
  command_id: string;
  attempt: number;
  agent_id: string;
  outcome: string | null;
}

interface Ledger {
  commands: Map<string, Command>;
  /** By command and attempt. */
  attempts: Map<string, Attempt>;
}

/** Answers what is wrong; nothing when every promise was kept. */
export async function judge(pool: pg.Pool, evidence: Evidence): Promise<Violation[]> {
  const ledger = await readLedger(pool);
  return [
    ...submitted(ledger, evidence),
    ...once(ledger, evidence.submissions),
    ...cancelled(ledger, evidence.submissions),
    ...finished(ledger),
    ...executed(ledger, evidence.hits),
    ...(await promised(pool)),
  ];
}

function* submitted({ commands }: Ledger, { submissions }: Evidence): Generator<Violation> {
  const { acknowledged, unknown } = submissions;
  for (const id of acknowledged)
    if (!commands.has(id))
      yield { invariant: 'I1', what: 'acknowledged, and not in the ledger', id };
  const others = [...commands.keys()].filter((id) => !acknowledged.has(id));
  if (others.length > unknown)
    yield {
      invariant: 'I2',
      what: `${others.length} commands without a 201, but only ${unknown} such submissions`,
    };
}

function* once({ commands }: Ledger, { keyed }: Submissions): Generator<Violation> {
  const seen = new Map<string, string>();
  for (const { id, idempotency_key: key } of commands.values()) {
    if (!key) continue;
    if (seen.has(key)) yield { invariant: 'I3', what: `two commands have the key ${key}`, id };
    if (keyed.has(key) && keyed.get(key) !== id)
      yield { invariant: 'I3', what: `the key ${key} was answered with another command`, id };
    seen.set(key, id);
  }
}

function* cancelled({ commands }: Ledger, submissions: Submissions): Generator<Violation> {
  for (const [id, answer] of submissions.cancelled) {
    const status = commands.get(id)?.status ?? 'missing';
    if (![200, 202, 409].includes(answer))
      yield { invariant: 'C1', what: `cancelling was answered with ${answer}`, id };
    if (answer === 200 && status !== 'CANCELLED')
      yield { invariant: 'C1', what: `answered as CANCELLED, but is ${status}`, id };
    // An attempt that ended before it heard of the request may have completed the command.
    if (answer === 202 && !['CANCELLED', 'COMPLETED'].includes(status))
      yield { invariant: 'C1', what: `it was asked to end, but is ${status}`, id };
  }
}

function* finished({ commands }: Ledger): Generator<Violation> {
  for (const { id, status } of commands.values())
    if (!['COMPLETED', 'FAILED', 'CANCELLED'].includes(status))
      yield { invariant: 'I15', what: `still ${status}`, id };
}

function* executed(ledger: Ledger, hits: Hit[]): Generator<Violation> {
  const { commands, attempts } = ledger;
  const seen = new Map<string, number>();
  for (const { commandId: id, attempt } of hits) {
    const claimed = attempts.get(`${id} ${attempt}`);
    if (!claimed)
      yield { invariant: 'I8', what: `attempt ${attempt} was executed, and never claimed`, id };
    if (claimed?.outcome === 'unstarted')
      yield { invariant: 'I8', what: `attempt ${attempt} was executed, but is unstarted`, id };
    count(seen, `${id} ${attempt}`);
    count(seen, id);
  }
  for (const [key, times] of seen) {
    const [id = '', attempt] = key.split(' ');
    if (attempt && times > 1)
      yield { invariant: 'I7', what: `attempt ${attempt} was executed ${times} times`, id };
    const command = commands.get(id);
    if (!attempt && times > (command?.attempt ?? 0))
      yield { invariant: 'I7', what: `executed ${times} times, claimed less often`, id };
    if (!attempt && times > 1 && command?.delivery === 'at_most_once')
      yield { invariant: 'I7', what: `executed ${times} times under at_most_once`, id };
  }
  yield* accepted(ledger, hits);
}

// The sink answers each execution with a nonce of its own: the result tells whose it is. It is the
// accepted attempt's; or of an earlier one, when the same agent claimed the command again, found the
// outcome in its journal, and so did not execute it.
function* accepted({ commands, attempts }: Ledger, hits: Hit[]): Generator<Violation> {
  const hitsByNonce = new Map(hits.map((hit) => [hit.nonce, hit]));
  const hitsByAttempt = new Set(hits.map(({ commandId, attempt }) => `${commandId} ${attempt}`));
  for (const { id, status, attempt, result } of commands.values()) {
    if (status !== 'COMPLETED' || !result?.body) continue;
    const hit = hitsByNonce.get(result.body.nonce ?? '');
    const own = `${id} ${attempt}`;
    const isJournaled =
      !hitsByAttempt.has(own) &&
      attempts.get(own)?.agent_id === attempts.get(`${id} ${hit?.attempt}`)?.agent_id;
    if (hit?.commandId !== id || (hit.attempt !== attempt && !isJournaled))
      yield { invariant: 'I6', what: `the result is not attempt ${attempt}'s own`, id };
  }
}

async function promised(pool: pg.Pool): Promise<Violation[]> {
  const { rows } = await pool.query<{ invariant: string; promise: string; violations: string }>(
    'select invariant, promise, violations from executor.invariants where violations <> 0',
  );
  return rows.map(({ invariant, promise, violations }) => ({
    invariant,
    what: `${violations} violations after healing: ${promise}`,
  }));
}

async function readLedger(pool: pg.Pool): Promise<Ledger> {
  const commands = await pool.query<Command>(
    'select id, status, attempt, delivery, idempotency_key, result from executor.commands',
  );
  const attempts = await pool.query<Attempt>(
    'select command_id, attempt, agent_id, outcome from executor.command_attempts',
  );
  return {
    commands: new Map(commands.rows.map((row) => [row.id, row])),
    attempts: new Map(attempts.rows.map((row) => [`${row.command_id} ${row.attempt}`, row])),
  };
}

function count(times: Map<string, number>, key: string): void {
  times.set(key, (times.get(key) ?? 0) + 1);
}
