// The hammer's own record against the ledger.

import { judgeAnswersToCancellers, judgeKeys, judgeSayings } from './promises.ts';
import { isSame, type Accepted } from './record.ts';
import type { Stage } from './stage.ts';

interface Row {
  id: string;
  status: string;
  attempt: number;
  result: unknown;
}

interface AttemptRow {
  command_id: string;
  attempt: number;
  session: string;
  outcome: string | null;
}

/** Once everything is healed: everything that was submitted, handed out and accepted. */
export async function judge(stage: Stage): Promise<void> {
  const { record } = stage;
  const { commands, attempts } = await readLedger(stage, [...record.submitted.keys()]);
  for (const id of record.acknowledged)
    if (!commands.has(id)) record.violation('an acknowledged command is missing', id);
  for (const { id, status } of commands.values())
    if (!/COMPLETED|FAILED|CANCELLED/.test(status))
      record.violation(`not finished, but ${status}`, id);
  for (const [key, { id, session }] of record.handedOut)
    if (attempts.get(key)?.session !== session)
      record.violation(`the ledger has another owner for attempt ${key}`, id);
  for (const { command_id: id, attempt, outcome } of attempts.values()) {
    record.count(`ended ${outcome}`);
    if (attempt > (commands.get(id)?.attempt ?? 0))
      record.violation(`attempt ${attempt} is above the ledger's`, id);
  }
  await judgeAnswers(stage, [...record.accepted.values()]);
  await judgeKeys(stage);
  await judgeAnswersToCancellers(stage);
  await judgeSayings(stage);
  const { rows } = await stage.connections.control.pool.query<{ total: number }>(
    'select count(*)::integer as total from executor.commands',
  );
  if (rows[0]?.total !== commands.size) record.violation('there are commands nobody submitted');
}

/** Whether the ledger says what it answered: at any time, for what is accepted stays so. */
export async function judgeAnswers(stage: Stage, answers: Accepted[]): Promise<void> {
  const ids = answers.map(({ id }) => id);
  const { commands, attempts } = await readLedger(stage, ids);
  for (const accepted of answers) {
    const key = `${accepted.id}/${accepted.attempt}`;
    compare(accepted, attempts.get(key), commands.get(accepted.id), (text) =>
      stage.record.violation(`${key} was accepted as ${accepted.outcome}; ${text}`, accepted.id),
    );
  }
}

async function readLedger({ connections }: Stage, ids: string[]) {
  const { rows } = await connections.control.pool.query<{
    commands: Row[] | null;
    attempts: AttemptRow[] | null;
  }>(
    `select
      (select jsonb_agg(jsonb_build_object(
        'id', id, 'status', status, 'attempt', attempt, 'result', result))
      from executor.commands where id = any ($1)) as commands,
      (select jsonb_agg(jsonb_build_object(
        'command_id', command_id, 'attempt', attempt, 'session', session, 'outcome', outcome))
      from executor.command_attempts where command_id = any ($1)) as attempts`,
    [ids],
  );
  const attempts = rows[0]?.attempts ?? [];
  return {
    commands: new Map(rows[0]?.commands?.map((row) => [row.id, row])),
    attempts: new Map(attempts.map((row) => [`${row.command_id}/${row.attempt}`, row])),
  };
}

function compare(
  accepted: Accepted,
  attempt: AttemptRow | undefined,
  command: Row | undefined,
  object: (text: string) => void,
): void {
  if (!isSame(attempt?.outcome, accepted.outcome) || attempt?.session !== accepted.session)
    object(`the ledger says ${attempt?.outcome} by ${attempt?.session}`);
  if (accepted.outcome !== 'completed') return;
  if (command?.status !== 'COMPLETED' || command.attempt !== accepted.attempt)
    object(`the command is ${command?.status} with attempt ${command?.attempt}`);
  if (JSON.stringify(command?.result) !== JSON.stringify(accepted.result))
    object(`its result is ${JSON.stringify(command?.result)}`);
}

/** The promises of the database itself, all of them, and its own count of deadlocks. */
export async function judgeDatabase({ connections, record }: Stage): Promise<void> {
  const { pool } = connections.control;
  const invariants = await pool.query<{ invariant: string; promise: string; violations: string }>(
    'select * from executor.invariants where violations <> 0',
  );
  for (const row of invariants.rows)
    record.violation(`healed, but ${row.invariant}, ${row.promise}: ${row.violations} violations`);
  const deadlocks = await pool.query<{ deadlocks: number }>(
    'select deadlocks::integer from pg_stat_database where datname = current_database()',
  );
  const [row] = deadlocks.rows;
  if (row?.deadlocks !== 0) record.violation(`PostgreSQL counted ${row?.deadlocks} deadlocks`);
}
