// This project: the agent of `npm run agent` with a command type that does nothing, and submission in SQL.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { v7 } from 'uuid';
import { z } from 'zod';
import { defineExecutor } from '../../agent/executors/executor.ts';
import { commandTypes, createRegistry } from '../../agent/executors/registry.ts';
import { publishTypes } from '../../db/command-types.ts';
import { type NewCommand, submitTogether } from '../../db/commands.ts';
import { connect } from '../../db/connect.ts';
import { migrate } from '../../db/migrate.ts';
import makeNoop from '../executors/noop.ts';
import makeProbe from '../executors/probe.ts';
import { OURS } from '../measurement.ts';
import {
  CALLERS,
  inBatches,
  spanSql,
  startWorker,
  withClient,
  type Peer,
  type Submitter,
} from './peer.ts';

/** The command types of benches: NOOP, PROBE, FAILING. */
export const EXECUTORS_DIR = join(import.meta.dirname, '..', 'executors');

const kit = { defineExecutor, z };

export const ours: Peer = {
  subject: OURS,
  install: async (url) => {
    await migrate(url, { types: commandTypes() });
    const types = commandTypes(createRegistry([makeNoop(kit), makeProbe(kit)]));
    await withClient(url, (client) => publishTypes(client, types));
  },
  fill: (url, jobs) =>
    withClient(url, (client) =>
      inBatches(jobs, (size) =>
        client.query('select executor.submit($1)', [JSON.stringify(batchOf(size))]),
      ),
    ),
  // What runs has no ticket any more. It is asked for only when there are no others.
  isDrained: `
    select not exists (select from executor_queue.job_common)
      and not exists (select from executor.commands where status = 'RUNNING') as drained`,
  span: spanSql('min(started_at)', 'max(finished_at)', 'executor.commands'),
  start: async (url, concurrency) => {
    const dataDir = await mkdtemp(join(tmpdir(), 'agent-executor-bench-data-'));
    const worker = startWorker('../agent/main.ts', {
      DATABASE_URL: url,
      DATA_DIR: dataDir,
      CONCURRENCY: String(concurrency),
      EXECUTORS_DIR,
      LOG_LEVEL: 'error',
    });
    return {
      ...worker,
      stop: async () => {
        await worker.stop();
        await rm(dataDir, { recursive: true, force: true });
      },
    };
  },
  pace: (concurrency) => (concurrency < 100 ? 15_000 : 18_000),
};

export function submitInSql(url: string): Submitter {
  const database = connect(url, { applicationName: 'bench', max: CALLERS });
  const { pool } = database;
  return {
    one: async (isProbe = false) => {
      const [id = ''] = await submitTogether(pool, batchOf(1, isProbe ? 'PROBE' : 'NOOP'));
      return id;
    },
    many: (size) => submitTogether(pool, batchOf(size)),
    close: () => database.close(),
  };
}

function batchOf(size: number, type = 'NOOP'): NewCommand[] {
  return Array.from({ length: size }, () => ({ id: v7(), type, payload: {} }));
}
