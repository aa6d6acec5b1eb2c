// What tests of the agents' routes begin with: a server on a ledger that is empty before each test.

import { beforeEach } from 'vitest';
import { emptyLedger, useDatabase, type TestDatabase } from './database.ts';
import { post, useServer } from './server.ts';

export interface AgentsApi {
  database: () => TestDatabase;
  url: () => string;
  /** Submits a DELAY of a millisecond; answers its id. */
  delay: (options?: object) => Promise<string>;
  query: (text: string, values?: unknown[]) => Promise<Record<string, unknown>[]>;
}

export function useAgentsApi(): AgentsApi {
  const database = useDatabase();
  const server = useServer(database);
  const url = () => server().url;

  beforeEach(() => emptyLedger(database()));

  const delay = async (options: object = {}) => {
    const response = await post(url(), { type: 'DELAY', payload: { ms: 1 }, ...options });
    return ((await response.json()) as { commandId: string }).commandId;
  };

  const query = async (text: string, values: unknown[] = []) =>
    (await database().pool.query<Record<string, unknown>>(text, values)).rows;

  return { database, url, delay, query };
}
