// A tick that fails or hangs must cost the lifeline nothing. In a database of its own: it breaks tick().

import pino from 'pino';
import { beforeAll, expect, test, vi } from 'vitest';
import { expectStatus, runAgent } from '../support/agent.ts';
import { useDatabase } from '../support/database.ts';
import { beatEvery, lastBeat, lifelines, lockHolder } from '../support/lifeline.ts';
import { submit } from '../support/session.ts';

const database = useDatabase();

beforeAll(() => beatEvery(database(), 100));

function logTo(lines: string[]) {
  return pino({ level: 'info' }, { write: (line) => void lines.push(line) });
}

async function replaceTick(body: string): Promise<void> {
  await database().pool.query(
    `create or replace procedure executor.tick(
       inout next_due_at timestamptz, inout answered_at timestamptz default null
     ) language plpgsql as $$ begin ${body}; end $$`,
  );
}

test('a tick that fails is logged, and the same connection goes on to beat', async () => {
  await replaceTick(`raise exception 'broken'`);
  const lines: string[] = [];
  await using agent = await runAgent(database(), undefined, { log: logTo(lines) });
  const before = await lifelines(database());
  await vi.waitFor(() => expect(lines.join('')).toContain('"msg":"the tick failed"'), 10_000);
  expect(lines.join('')).toContain('"message":"broken"');
  const failedAt = await lastBeat(database(), agent.agentId);
  await vi.waitFor(
    async () => expect(await lastBeat(database(), agent.agentId)).toBeGreaterThan(failedAt + 300),
    10_000,
  );
  expect(await lifelines(database())).toEqual(before);
});

test('a tick that hangs is ended by the database, and the session lock stays', async () => {
  await replaceTick('perform pg_sleep(60)');
  const lines: string[] = [];
  await using agent = await runAgent(database(), undefined, { log: logTo(lines) });
  const before = await lockHolder(database(), agent.agentId);
  await vi.waitFor(() => expect(lines.join('')).toContain('statement timeout'), 10_000);
  expect(await lockHolder(database(), agent.agentId)).toBe(before);
  await submit(database());
  await expectStatus(database(), 'COMPLETED', 1);
});
