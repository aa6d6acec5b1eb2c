// Directories of executors that a test writes.

import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach } from 'vitest';
import { temporaryDirectory } from './postgres.ts';

const LOADER = join(import.meta.dirname, 'load-executors.ts');

/** An empty directory for each test. */
export function useDirectory(): () => string {
  let dir: string;
  beforeEach(async () => {
    dir = await temporaryDirectory();
  });
  afterEach(() => rmSync(dir, { recursive: true }));
  return () => dir;
}

/** The source of an executor, as a function of the kit. */
export function source(members: Record<string, string> = {}): string {
  const all = {
    type: `'MINE'`,
    description: `'Mine.'`,
    payload: 'z.object({ a: z.string() })',
    result: 'z.unknown()',
    timeout: '{ defaultMs: 1000 }',
    execute: 'async ({ a }) => ({ a })',
    ...members,
  };
  const text = Object.entries(all).map(([name, value]) => `${name}: ${value}`);
  return `export default ({ defineExecutor, z }) => defineExecutor({ ${text.join(', ')} });`;
}

/** Writes files, by their names in the directory. */
export function write(dir: string, files: Record<string, string>): void {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(dir, name)), { recursive: true });
    writeFileSync(join(dir, name), text);
  }
}

/** What loading a directory comes to. */
export interface Loaded {
  types?: string[];
  error?: string;
  message?: string;
}

/** Loads directories as an agent does, all in one process. */
export function load(paths: string[], env: NodeJS.ProcessEnv = {}): Loaded[] {
  const args = [LOADER, ...paths];
  const printed = execFileSync(process.execPath, args, { encoding: 'utf8', env });
  return printed
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Loaded);
}
