// Steering over REST, as tests do it.

import { expect } from 'vitest';
import type { TestDatabase } from './database.ts';
import { type RunningServer, submit } from './server.ts';
import { startSession } from './session.ts';

/** Reads the answer's body, whose status must be this one. */
export async function answer(response: Response, status = 200): Promise<Record<string, unknown>> {
  expect(response.status).toBe(status);
  return (await response.json()) as Record<string, unknown>;
}

/** What tests of steering do with a server and its database. */
export function steering(database: () => TestDatabase, server: () => RunningServer) {
  /** Sends a POST; without a body unless one is given. A string goes out as it stands. */
  function send(path: string, body?: unknown, url = server().url): Promise<Response> {
    if (body === undefined) return fetch(url + path, { method: 'POST' });
    return fetch(url + path, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
  }

  const delay = (ms = 1) => submit(server().url, 'DELAY', { ms });

  /** Submits a command with options; answers its id. */
  async function submitWith(options: object): Promise<string> {
    const command = { type: 'DELAY', payload: { ms: 1 }, ...options };
    const { commandId } = await answer(await send('/commands', command), 201);
    return String(commandId);
  }

  async function find(id: string): Promise<Record<string, unknown>> {
    return await answer(await fetch(`${server().url}/commands/${id}`));
  }

  /** A command that FAILED. */
  async function failed(options: object = {}): Promise<string> {
    await using session = await startSession(database());
    const id = await submitWith({ maxAttempts: 1, ...options });
    await session.fail(await session.claim());
    return id;
  }

  async function statuses(): Promise<Record<string, number>> {
    const { rows } = await database().pool.query<{ status: string; n: number }>(
      'select status, count(*)::int as n from executor.commands group by 1',
    );
    return Object.fromEntries(rows.map(({ status, n }) => [status, n]));
  }

  return { send, delay, submitWith, find, failed, statuses };
}
