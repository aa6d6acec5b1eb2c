// The README's own commands, as a new user would type them.

import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { startHttpServer } from '../support/http-server.ts';
import { temporaryDirectory } from '../support/postgres.ts';
import { runProgram, type Running } from '../support/process.ts';

const ROOT = join(import.meta.dirname, '../..');

let home: string;
let system: Running;
let url: string;

/** The commands of the README's shell blocks, without comments, a continued line joined. */
const commands = readFileSync(join(ROOT, 'README.md'), 'utf8')
  .matchAll(/^```sh\n(.*?)^```/gms)
  .flatMap(([, block = '']) => block.replaceAll('\\\n', ' ').split('\n'))
  .filter((line) => /^\w/.test(line))
  .toArray();

beforeAll(async () => {
  home = await temporaryDirectory();
  system = runProgram('npm', ['start'], {
    cwd: ROOT,
    env: { DATA_DIR: join(home, 'data'), PORT: '0', HOME: home },
  });
  [, url = ''] = await system.printed(/^Ready: (http:\S+)$/m, 50_000);
});

afterAll(async () => {
  system.kill('SIGTERM');
  await system.exited;
  await rm(home, { recursive: true, force: true });
});

/** Types a command that the README shows, where the system that it started is. */
async function type(pattern: RegExp): Promise<string> {
  const command = commands.find((line) => pattern.test(line));
  if (!command) throw new Error(`the README shows no command like ${pattern}`);
  const here = command.replace('http://localhost:3000', url);
  const { stdout } = await promisify(execFile)('sh', ['-c', here], { cwd: home });
  return stdout;
}

async function command(id: string): Promise<Record<string, unknown>> {
  const response = await fetch(`${url}/commands/${id}`);
  return (await response.json()) as Record<string, unknown>;
}

async function completed(id: string) {
  return await vi.waitFor(
    async () => {
      const found = await command(id);
      expect(found['status']).toBe('COMPLETED');
      return found;
    },
    { timeout: 10_000 },
  );
}

test('it starts with the command that the README says', () => {
  expect(commands).toContain('npm ci && npm start');
});

test('the server is healthy', async () => {
  expect(JSON.parse(await type(/\/health/))).toMatchObject({ status: 'ok' });
});

test('a command submitted with curl is executed and listed', async () => {
  const { commandId } = JSON.parse(await type(/-X POST/)) as { commandId: string };
  await completed(commandId);
  const list = JSON.parse(await type(/curl \S+\/commands$/)) as { id: string; result: unknown }[];
  expect(list).toMatchObject([
    { id: commandId, type: 'DELAY', status: 'COMPLETED', result: { ok: true } },
  ]);
});

test('a command submitted in psql is executed, and psql shows it', async () => {
  const printed = await type(/psql.*submit_command/);
  const [id] = /[0-9a-f]{8}-[0-9a-f-]{27}/.exec(printed) ?? [];
  expect(await completed(id!)).toMatchObject({ result: { ok: true } });
  expect(await type(/psql.*select id, status/)).toMatch(new RegExp(`${id}.*COMPLETED`));
});

test('HTTP_GET_JSON brings back what a real server says', async () => {
  await using target = await startHttpServer((_request, response) => {
    response.setHeader('Content-Type', 'application/json').end('{"hello":"world"}');
  });
  const response = await fetch(`${url}/commands`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ type: 'HTTP_GET_JSON', payload: { url: target.url } }),
  });
  const { commandId } = (await response.json()) as { commandId: string };
  expect(await completed(commandId)).toMatchObject({
    result: {
      status: 200,
      body: { hello: 'world' },
      truncated: false,
      bytesReturned: 17,
      error: null,
    },
    attempts: [{ attempt: 1, outcome: 'completed' }],
  });
});

test('one more agent joins with npm run agent, and goes with its work done', async () => {
  const agent = runProgram('npm', ['run', 'agent', '--', '--concurrency', '3'], {
    cwd: ROOT,
    env: { DATA_DIR: join(home, 'data'), AGENT_ID: 'third', HOME: home },
  });
  await agent.printed(/"concurrency":3.*"msg":"ready"/);
  agent.kill('SIGTERM');
  expect(await agent.exited).toMatchObject({ code: 0 });
});

test('no password appears in what was printed', () => {
  const { password } = new URL(readFileSync(join(home, 'data/database-url'), 'utf8').trim());
  expect(password.length).toBeGreaterThan(15);
  expect(system.stdout() + system.stderr()).not.toContain(password);
});
