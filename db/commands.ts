// Taking commands in.

import type pg from 'pg';
import type { Delivery } from './command-json.ts';
import { CommandRefusedError, translate } from './errors.ts';
import { queryPrepared } from './prepared.ts';

/** How to treat a command; what is left out has the ledger's default. */
export interface CommandOptions {
  /** After so many failures it is FAILED: 1 to 1000, 3 unless said. */
  maxAttempts?: number;
  /** The pause before a retry; see sql/functions/retry_pause.sql. 1000, 2, 3,600,000 unless said. */
  backoff?: { initialMs?: number; factor?: number; maxMs?: number };
  delivery?: Delivery;
  /** How long an attempt may take; else its type says. */
  timeoutMs?: number;
  /** Not before this time, ISO 8601 with its offset from UTC; or not for so long. */
  runAt?: string;
  delayMs?: number;
  /** -100 to 100; the higher is claimed first. */
  priority?: number;
  /** Words to find it by: at most 20, of at most 100 characters, 2,000 bytes in all. */
  tags?: string[];
  /** Whatever is to be kept with it. */
  metadata?: Record<string, unknown>;
  /** Where agents find it: `default` unless said. */
  queue?: string;
  /** The only agent that may run it. */
  target?: { agentId: string };
  /** At most one command of a key runs at a time, in order; 1 to 255 bytes. */
  concurrencyKey?: string;
  /** Submitting the same under the same key within 24 h is submitting once; 1 to 255 bytes. */
  idempotencyKey?: string;
}

export interface NewCommand extends CommandOptions {
  /** UUIDv7, drawn by the caller: submitting it again is harmless. */
  id: string;
  type: string;
  payload: Record<string, unknown>;
  /** Of those that are submitted together. */
  batchId?: string;
}

/** What became of one submitted command; another id than was given: its idempotency key knew it. */
export type Submitted = { id: string } | { error: Error };

/**
 * Takes a batch in, in one transaction; answers in order. A command that is refused fails alone: the
 * batch is then repeated one by one.
 *
 * @throws what the database throws when it is away. The batch may be repeated with the same ids.
 */
export async function submitCommands(pool: pg.Pool, batch: NewCommand[]): Promise<Submitted[]> {
  try {
    const ids = await submitTogether(pool, batch);
    return ids.map((id) => ({ id }));
  } catch (error) {
    if (!(error instanceof CommandRefusedError)) throw error;
    return batch.length === 1 ? [{ error }] : await submitOneByOne(pool, batch, error);
  }
}

/**
 * Takes a batch in, all or nothing, in one transaction; answers the ids in order, each another than was
 * given where its idempotency key knew the command.
 *
 * @throws CommandRefusedError, or as `submitCommands` does.
 */
export async function submitTogether(pool: pg.Pool, batch: NewCommand[]): Promise<string[]> {
  try {
    const text = 'select executor.submit($1) as id';
    const rows = await queryPrepared<{ id: string }>(pool, 'submit', text, [JSON.stringify(batch)]);
    return rows.map(({ id }) => id);
  } catch (error) {
    throw translate(error);
  }
}

// A key that another transaction holds is waited for, a second each time: once is enough for all who
// come with it.
async function submitOneByOne(
  pool: pg.Pool,
  batch: NewCommand[],
  refusal: CommandRefusedError,
): Promise<Submitted[]> {
  const inUse = new Map<string | undefined, Submitted>();
  const remember = (error: Error) => {
    if (error instanceof CommandRefusedError && error.code === 'idempotency_key_in_use')
      inUse.set(error.value, { error });
  };
  remember(refusal);
  const outcomes: Submitted[] = [];
  for (const command of batch) {
    const known = command.idempotencyKey && inUse.get(command.idempotencyKey);
    const [outcome] = known ? [known] : await submitCommands(pool, [command]);
    if (outcome && 'error' in outcome) remember(outcome.error);
    if (outcome) outcomes.push(outcome);
  }
  return outcomes;
}

/** The queues that commands can be submitted to. */
export async function readQueues(pool: pg.Pool): Promise<string[]> {
  const { rows } = await pool.query<{ name: string }>('select name from executor.queues');
  return rows.map(({ name }) => name);
}

/** The types of those of these commands that there are, by id. */
export async function typesOf(pool: pg.Pool, ids: string[]): Promise<Map<string, string>> {
  const { rows } = await pool.query<{ id: string; type: string }>(
    'select id, type from executor.commands where id = any ($1)',
    [ids],
  );
  return new Map(rows.map(({ id, type }) => [id, type]));
}

/** The batch that all of these were submitted in, if there is one. */
export async function findBatchId(pool: pg.Pool, ids: string[]): Promise<string | null> {
  const { rows } = await pool.query<{ batch_id: string | null }>(
    'select distinct batch_id from executor.commands where id = any ($1) limit 2',
    [ids],
  );
  return rows.length === 1 ? (rows[0]?.batch_id ?? null) : null;
}
