// A transport that a test scripts, and an agent upon it: for what hangs on the order of answers.

import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import pino from 'pino';
import { z } from 'zod';
import { Agent } from '../../agent/agent.ts';
import { defineExecutor, type ExecutorContext } from '../../agent/executors/executor.ts';
import { createRegistry } from '../../agent/executors/registry.ts';
import { openJournal } from '../../agent/journal-identity.ts';
import { Journal } from '../../agent/journal.ts';
import type { Transport } from '../../agent/transports/transport.ts';
import type { Report } from '../../db/agents.ts';
import type { ClaimedCommand } from '../../db/claim.ts';
import { temporaryDirectory } from './postgres.ts';

export interface ScriptedAgent extends AsyncDisposable {
  agent: Agent;
  /** What it reported so far. */
  reports: Report[];
  /** What it had its lifeline know so far. */
  stirs: string[];
}

/** An agent of two slots that claims nothing and whose reports are accepted, but for what is scripted. */
export async function scriptAgent(
  script: Partial<Transport>,
  execute: (context: ExecutorContext) => Promise<unknown>,
): Promise<ScriptedAgent> {
  const dataDir = await temporaryDirectory();
  const opened = openJournal(dataDir, 'scripted');
  const log = pino({ level: 'silent' });
  const reports: Report[] = [];
  const stirs: string[] = [];
  const anything = z.unknown();
  const transport: Transport = {
    settledClaimNo: 0,
    pollIntervalMs: undefined,
    mayClaimAhead: false,
    isWaiting: false,
    endClaim: () => {},
    register: () => Promise.resolve(0),
    claim: () => Promise.resolve([]),
    finish: (batch) => {
      reports.push(...batch);
      return Promise.resolve(batch.map(() => 'accepted'));
    },
    reportProgress: (batch) => Promise.resolve(batch.map(() => 'accepted')),
    release: (claims) => Promise.resolve(claims.map(() => 'accepted')),
    signOff: () => Promise.resolve(),
    close: () => Promise.resolve(),
  };
  // What is scripted may change: a getter stays one.
  const agent = new Agent({
    transport: Object.defineProperties(transport, Object.getOwnPropertyDescriptors(script)),
    journal: new Journal(opened.file, randomUUID(), log),
    executors: createRegistry([
      defineExecutor({
        type: 'SCRIPTED',
        description: 'what the test says',
        payload: anything,
        result: anything,
        timeout: { defaultMs: 60_000 },
        execute: (_payload, context) => execute(context),
      }),
    ]),
    concurrency: 2,
    log,
    stir: (how) => void stirs.push(how),
  });
  return {
    agent,
    reports,
    stirs,
    [Symbol.asyncDispose]: async () => {
      await agent.drain(0);
      opened.close();
      rmSync(dataDir, { recursive: true });
    },
  };
}

export function scriptedCommand(attempt = 1, id: string = randomUUID()): ClaimedCommand {
  const timeoutMs = 60_000;
  return { id, type: 'SCRIPTED', payload: {}, attempt, timeoutMs, cancelRequested: false };
}
