// The contracts of command types: published by `migrate` and by agents with types of their own, read by
// the server.

import { sql, type InferResult, type Kysely } from 'kysely';
import type { Queryable } from './agents.ts';
import { translatePublication } from './errors.ts';
import type { DB } from './schema.ts';

/** A type's contract as its executor states it. Schemas are JSON Schema, draft 2020-12. */
export interface CommandTypeDefinition {
  type: string;
  description: string;
  payloadSchema: object;
  resultSchema: object;
  /** How long one attempt may take, in ms, when the submitter does not say. */
  defaultTimeoutMs: number;
  /** A payload member, in ms, that is added to it. */
  timeoutPayloadKey: string | null;
}

/**
 * Makes types known, or their contracts what they are now.
 *
 * @throws BuiltInTypeError for a type that is no agent's to publish.
 */
export async function publishTypes(
  database: Queryable,
  types: CommandTypeDefinition[],
): Promise<void> {
  if (types.length === 0) return;
  try {
    await database.query('select executor.publish_types($1)', [JSON.stringify(types)]);
  } catch (error) {
    throw translatePublication(error);
  }
}

/** All published types, by name. */
export async function readCommandTypes(db: Kysely<DB>): Promise<CommandTypeDefinition[]> {
  return (await selectTypes(db).orderBy('type').execute()).map(toDefinition);
}

export async function findCommandType(
  db: Kysely<DB>,
  type: string,
): Promise<CommandTypeDefinition | undefined> {
  const row = await selectTypes(db).where('type', '=', type).executeTakeFirst();
  return row && toDefinition(row);
}

function selectTypes(db: Kysely<DB>) {
  return db
    .selectFrom('executor.command_types')
    .select(['type', 'description', 'payload_schema', 'result_schema', 'timeout_payload_key'])
    .select(
      sql<number>`(extract(epoch from default_timeout) * 1000)::double precision`.as('timeout_ms'),
    );
}

function toDefinition(
  row: InferResult<ReturnType<typeof selectTypes>>[number],
): CommandTypeDefinition {
  return {
    type: row.type,
    description: row.description,
    payloadSchema: row.payload_schema as object,
    resultSchema: row.result_schema as object,
    defaultTimeoutMs: row.timeout_ms,
    timeoutPayloadKey: row.timeout_payload_key,
  };
}
