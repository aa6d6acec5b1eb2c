// An agent that stops while it cannot report: what it has executed is left to its journal.

import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import pino from 'pino';
import { expect, test, vi } from 'vitest';
import { z } from 'zod';
import { Agent } from '../../agent/agent.ts';
import { defineExecutor } from '../../agent/executors/executor.ts';
import { createRegistry } from '../../agent/executors/registry.ts';
import { openJournal } from '../../agent/journal-identity.ts';
import { Journal } from '../../agent/journal.ts';
import type { Transport } from '../../agent/transports/transport.ts';
import type { ClaimedCommand } from '../../db/claim.ts';
import { temporaryDirectory } from '../support/postgres.ts';

const log = pino({ level: 'silent' });

/** Hands these commands out once, and takes no report of them; notes what else it is told. */
function transportOf(commands: ClaimedCommand[], told: unknown[]): Transport {
  return {
    settledClaimNo: 1,
    pollIntervalMs: undefined,
    mayClaimAhead: false,
    isWaiting: false,
    endClaim: () => {},
    register: () => Promise.resolve(0),
    claim: () => Promise.resolve(commands.splice(0)),
    finish: () => Promise.reject(new Error('Connection terminated')),
    reportProgress: (reports) => Promise.resolve(reports.map(() => 'accepted')),
    release: (claims) => {
      told.push({ released: claims });
      return Promise.resolve(claims.map(() => 'accepted'));
    },
    signOff: () => {
      told.push('signed off');
      return Promise.resolve();
    },
    close: () => Promise.resolve(),
  };
}

function command(type: string): ClaimedCommand {
  return {
    id: randomUUID(),
    type,
    payload: {},
    attempt: 1,
    timeoutMs: 60_000,
    cancelRequested: false,
  };
}

function executor(type: string, execute: () => Promise<unknown>) {
  const result = z.unknown();
  return defineExecutor({
    type,
    description: type,
    payload: result,
    result,
    timeout: { defaultMs: 60_000 },
    execute,
  });
}

test('what was executed and cannot be reported is not given back, nor signed off', async () => {
  const dataDir = await temporaryDirectory();
  const opened = openJournal(dataDir, 'a');
  const [quick, endless] = [command('QUICK'), command('ENDLESS')];
  const told: unknown[] = [];
  const agent = new Agent({
    transport: transportOf([quick, endless], told),
    journal: new Journal(opened.file, randomUUID(), log),
    executors: createRegistry([
      executor('QUICK', () => Promise.resolve('done')),
      executor('ENDLESS', () => new Promise(() => {})),
    ]),
    concurrency: 2,
    log,
    stir: () => {},
  });
  agent.wake();
  await vi.waitFor(() => expect(opened.file.unacknowledged(10)).toHaveLength(1));
  expect(await agent.drain(0)).toBe(false);
  expect(told).toEqual([{ released: [{ id: endless.id, attempt: 1 }] }]);
  opened.close();

  const again = openJournal(dataDir, 'a');
  expect(again.file.unacknowledged(10)).toMatchObject([
    { report: { id: quick.id, outcome: 'completed', result: 'done' } },
  ]);
  again.close();
  rmSync(dataDir, { recursive: true });
});
