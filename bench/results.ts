// Keeps what was measured, with what it was measured on: a file for each bench. Those of the newest full run
// are part of the project, and charts are drawn of them; those of quick runs are not.

import { mkdir, writeFile } from 'node:fs/promises';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import packageJson from '../package.json' with { type: 'json' };
import type { Measurement } from './measurement.ts';

export const RESULTS_DIR = join(import.meta.dirname, 'results');

export interface Result extends Surroundings {
  bench: string;
  /** When it was saved, ISO 8601. */
  at: string;
  quick: boolean;
  tookS: number;
  measurements: Measurement[];
}

/** What figures depend on. */
interface Surroundings {
  machine: { cores: number; model: string | undefined; memoryGiB: number };
  versions: Record<string, string>;
  postgres: Record<string, string>;
}

const SETTINGS = [
  'server_version',
  'fsync',
  'synchronous_commit',
  'full_page_writes',
  'shared_buffers',
  'max_connections',
];

/** Writes `bench/results/<bench>.json`, or `bench/results/quick/…`; answers where that is. */
export async function save(
  url: string,
  result: Omit<Result, keyof Surroundings | 'at'>,
): Promise<string> {
  const whole: Result = {
    ...result,
    at: new Date().toISOString(),
    ...(await surroundings(url)),
  };
  const dir = result.quick ? join(RESULTS_DIR, 'quick') : RESULTS_DIR;
  await mkdir(dir, { recursive: true });
  const file = join(dir, `${result.bench}.json`);
  await writeFile(file, textOf(whole));
  return file;
}

/** JSON with a line for each measurement, so that two runs can be compared by eye. */
function textOf({ measurements, ...head }: Result): string {
  const lines = measurements.map((one) => `    ${JSON.stringify(one, sixDigits)}`);
  const start = JSON.stringify(head, null, 2).slice(0, -'\n}'.length);
  return `${start},\n  "measurements": [\n${lines.join(',\n')}\n  ]\n}\n`;
}

function sixDigits(_: string, value: unknown): unknown {
  return typeof value === 'number' ? Number(value.toPrecision(6)) : value;
}

async function surroundings(url: string): Promise<Surroundings> {
  const { dependencies, devDependencies } = packageJson;
  return {
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
  };
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
