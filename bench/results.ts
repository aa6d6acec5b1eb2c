// Keeps what was measured, with what it was measured on.

import { mkdir, writeFile } from 'node:fs/promises';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import packageJson from '../package.json' with { type: 'json' };
import type { Measurement } from './measurement.ts';

const SETTINGS = [
  'server_version',
  'fsync',
  'synchronous_commit',
  'full_page_writes',
  'shared_buffers',
  'max_connections',
];

/** Writes `bench/results/<time>.json`; answers where that is. */
export async function save(
  measurements: Measurement[],
  { url, quick }: { url: string; quick?: boolean | undefined },
): Promise<string> {
  const { dependencies, devDependencies } = packageJson;
  const at = new Date().toISOString();
  const result = {
    at,
    quick: quick ?? false,
    machine: {
      cores: cpus().length,
      model: cpus()[0]?.model,
      memoryGiB: Math.round(totalmem() / 2 ** 30),
    },
    versions: {
      node: process.version,
      'pg-boss': dependencies['pg-boss'],
      'graphile-worker': devDependencies['graphile-worker'],
    },
    postgres: await settings(url),
    measurements,
  };
  const dir = join(import.meta.dirname, 'results');
  await mkdir(dir, { recursive: true });
  const name = `${at.replaceAll(/[:.]/g, '-')}.json`;
  await writeFile(join(dir, name), `${JSON.stringify(result, null, 2)}\n`);
  return `bench/results/${name}`;
}

async function settings(url: string): Promise<Record<string, string>> {
  const client = new Client(url);
  await client.connect();
  const { rows } = await client.query<{ name: string; value: string }>(
    'select name, current_setting(name) as value from unnest($1::text[]) as name',
    [SETTINGS],
  );
  await client.end();
  return Object.fromEntries(rows.map(({ name, value }) => [name, value]));
}
