// The contracts of command types: published by `migrate` and by agents with types of their own, read by
// the server.

import type { Kysely } from 'kysely';
import type { Queryable } from './agents.ts';
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

export interface CommandTypeRow {
  type: string;
  description: string;
  payloadSchema: object;
  resultSchema: object;
}

/** Makes types known, or their contracts what they are now. */
export async function publishTypes(
  database: Queryable,
  types: CommandTypeDefinition[],
): Promise<void> {
  if (types.length === 0) return;
  await database.query('select executor.publish_types($1)', [JSON.stringify(types)]);
}

/** All published types, by name. */
export async function readCommandTypes(db: Kysely<DB>): Promise<CommandTypeRow[]> {
  const rows = await db
    .selectFrom('executor.command_types')
    .select(['type', 'description', 'payload_schema', 'result_schema'])
    .orderBy('type')
    .execute();
  return rows.map((row) => ({
    type: row.type,
    description: row.description,
    payloadSchema: row.payload_schema as object,
    resultSchema: row.result_schema as object,
  }));
}
