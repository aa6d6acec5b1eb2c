// The real server in this process, on a free port of 127.0.0.1.

import pino from 'pino';
import { afterAll, beforeAll } from 'vitest';
import type { Database } from '../../db/connect.ts';
import { AgentDesks } from '../../server/agent-desks.ts';
import { createApp } from '../../server/app.ts';
import { Following, type FollowingOptions } from '../../server/following.ts';
import { listen } from '../../server/listen.ts';

export interface RunningServer extends AsyncDisposable {
  /** `http://127.0.0.1:<port>`, without a slash at the end. */
  url: string;
  /** What it logged so far, parsed. */
  logged: Record<string, unknown>[];
}

export interface ServerOptions extends Pick<FollowingOptions, 'times' | 'limits'> {
  corsOrigins?: string[];
  /** Any free one unless given. */
  port?: number;
}

const NOWHERE = 'postgres://127.0.0.1:1/none';

/** Starts one; leaving the scope of `await using` stops it. */
export async function startServer(
  database: Database & { url?: string },
  { corsOrigins = ['*'], port = 0, ...following }: ServerOptions = {},
): Promise<RunningServer> {
  const logged: Record<string, unknown>[] = [];
  const log = pino({ level: 'debug' }, { write: (line) => void logged.push(JSON.parse(line)) });
  const { url = NOWHERE, kysely } = database;
  const followed = new Following({ url, kysely, log, ...following });
  const desks = new AgentDesks({ database, url, log });
  const app = createApp({ database, log, corsOrigins, following: followed, desks });
  const listener = await listen(app.callback(), { host: '127.0.0.1', port });
  const stop = async () => {
    followed.end();
    desks.end();
    await listener.stop(1_000);
    await followed.close();
    await desks.close();
  };
  return { url: listener.url, logged, [Symbol.asyncDispose]: stop };
}

/** One server for all tests of a file. */
export function useServer(database: () => Database): () => RunningServer {
  let server: RunningServer;
  beforeAll(async () => {
    server = await startServer(database());
  });
  afterAll(() => server[Symbol.asyncDispose]());
  return () => server;
}

/** Submits a command as clients do. A string goes out as it stands. */
export function post(url: string, body: unknown, headers: Record<string, string> = {}) {
  return fetch(`${url}/commands`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
}

/** Submits a command that must be accepted; answers its id. */
export async function submit(url: string, type: string, payload: object): Promise<string> {
  const response = await post(url, { type, payload });
  const { commandId } = (await response.json()) as { commandId?: string };
  if (response.status !== 201 || !commandId) throw new Error(`refused: ${response.status}`);
  return commandId;
}
