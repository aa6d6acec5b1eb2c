// The example agents in Python, as processes, against a real server: the protocol can be spoken
// with nothing of ours.

import { execFileSync } from 'node:child_process';
import { request as forward } from 'node:http';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { expectStatus } from '../support/agent.ts';
import { useDatabase } from '../support/database.ts';
import { startHttpServer } from '../support/http-server.ts';
import { runProgram, type Running } from '../support/process.ts';
import { post, submit } from '../support/server.ts';
import { row, startSession } from '../support/session.ts';
import { useSystem } from '../support/system.ts';

const EXAMPLES = join(import.meta.dirname, '../../examples');
const FOREVER = { ms: 600_000 };
const WITHIN = { timeout: 15_000, interval: 50 };

const database = useDatabase();
const system = useSystem(database);
const agents: Running[] = [];
let url: string;

const python = findPython();

beforeEach(async () => {
  if (!python.isThere) return;
  await system.settings(5_000, 15_000);
  url = await (await system.server()).ready;
});

afterEach(async () => {
  for (const agent of agents.splice(0)) {
    agent.kill('SIGKILL');
    await agent.exited;
  }
});

describe.skipIf(!python.isThere)(`agent.py (${python.version})`, () => {
  test('publishes a type of its own, and completes such commands', async () => {
    await start('snake');
    const ids = await Promise.all(
      [10, 0, 1_000].map((below) => submit(url, 'COUNT_PRIMES', { below })),
    );
    await expectStatus(database(), 'COMPLETED', 3);
    const rows = await Promise.all(ids.map((id) => row(database(), id)));
    expect(rows.map(({ result }) => result)).toEqual([{ count: 4 }, { count: 0 }, { count: 168 }]);
    expect(await outcomes(ids[0])).toEqual(['completed snake']);
    const refused = await post(url, { type: 'COUNT_PRIMES', payload: { below: 'ten' } });
    expect(await refused.json()).toMatchObject({ errors: [{ pointer: '#/payload/below' }] });
  });

  test('fails for good what came past the server and makes no sense', async () => {
    await start('snake');
    const { rows } = await database().pool.query<{ id: string }>(
      `select executor.submit_command('COUNT_PRIMES', '{"below": "ten"}') as id`,
    );
    await expectStatus(database(), 'FAILED', 1);
    const message = expect.stringContaining("'ten'") as string;
    expect(await row(database(), rows[0]?.id)).toMatchObject({
      attempt: 1,
      error: { code: 'executor_error', message, retryable: false },
    });
  });

  test('ends what is cancelled at once, and what takes too long', async () => {
    // Its next beat alone would be late.
    await system.settings(30_000, 60_000);
    await start('snake');
    const id = await submit(url, 'DELAY', FOREVER);
    await expectStatus(database(), 'RUNNING', 1);
    expect((await fetch(`${url}/commands/${id}/cancel`, { method: 'POST' })).status).toBe(202);
    await expectStatus(database(), 'CANCELLED', 1);
    expect(await outcomes(id)).toEqual(['cancelled snake']);

    await post(url, { type: 'DELAY', payload: FOREVER, timeoutMs: 300, maxAttempts: 1 });
    await expectStatus(database(), 'FAILED', 1);
    const { rows } = await database().pool.query(
      `select error ->> 'code' as code from executor.commands where status = 'FAILED'`,
    );
    expect(rows).toEqual([{ code: 'timed_out' }]);
  });

  test('works on while the server is away, reports when it is back, and claims again', async () => {
    const server = await restartable();
    const agent = await start('snake');
    const id = await submit(url, 'DELAY', { ms: 500 });
    await agent.printed(new RegExp(id));
    await server.kill();
    await agent.printed(/the server is away/);
    await server.startAgain();
    await expectStatus(database(), 'COMPLETED', 1);
    expect(await outcomes(id)).toEqual(['completed snake']);
    await submit(url, 'DELAY', { ms: 0 });
    await expectStatus(database(), 'COMPLETED', 2);
  });

  test('does not run again what it has completed, though its report came too late', async () => {
    let isAway = true;
    await using front = await startFront({ isAway: (path) => isAway && path.endsWith('/results') });
    const agent = await start('snake', 'agent.py', front.url);
    const id = await submit(url, 'DELAY', { ms: 2_000 });
    await expectStatus(database(), 'RUNNING', 1);
    await agent.printed(/the server is away/);
    // Presumed dead in the meantime: another has its command.
    await fetch(`${url}/agents/snake/drain`, { method: 'POST' });
    await using other = await startSession(database(), 'other');
    const key = { id, attempt: 1 };
    await database().pool.query(
      `select executor.close_attempts(session, $1, 'lost') from executor.agents where id = 'snake'`,
      [JSON.stringify([key])],
    );
    const [claimed] = await other.claim();
    isAway = false;
    await agent.printed(/stale/);

    await other.release([claimed!]);
    await fetch(`${url}/agents/snake/resume`, { method: 'POST' });
    await expectStatus(database(), 'COMPLETED', 1);
    expect(await outcomes(id)).toEqual(['lost snake', 'released other', 'completed snake']);
    const { started_at, finished_at } = await row(database(), id);
    expect(finished_at!.getTime() - started_at!.getTime()).toBeLessThan(2_000);
  });

  test('killed, it is found lost by its silence, and another runs what it ran', async () => {
    const first = await start('first');
    const id = await submit(url, 'DELAY', FOREVER);
    await expectStatus(database(), 'RUNNING', 1);
    await start('second');
    first.kill('SIGKILL');
    await first.exited;
    await database().pool.query(
      `update executor.agents set beat_clock = beat_clock - 60000 where id = 'first'`,
    );
    await vi.waitFor(
      async () => expect(await outcomes(id)).toEqual(['lost first', 'null second']),
      WITHIN,
    );
  });

  test('told to stop, it finishes what it can, gives back the rest and exits 0', async () => {
    const agent = await start('snake');
    const long = await submit(url, 'DELAY', FOREVER);
    const short = await submit(url, 'DELAY', { ms: 1_500 });
    for (const id of [long, short]) await agent.printed(new RegExp(id));
    agent.kill('SIGTERM');
    expect(await agent.exited).toEqual({ code: 0, signal: null });
    expect(agent.stderr()).toBe('');
    expect(await outcomes(long)).toEqual(['released snake']);
    expect(await outcomes(short)).toEqual(['completed snake']);
    expect(await row(database(), long)).toMatchObject({ status: 'PENDING', losses: 0 });
    expect(await system.stateOf('snake')).toBe('gone');
  });

  test('told to stop while the server is away, it still exits', async () => {
    const server = await restartable();
    const agent = await start('snake');
    await server.kill();
    await agent.printed(/the server is away/);
    agent.kill('SIGINT');
    expect(await agent.exited).toEqual({ code: 0, signal: null });
    expect(agent.stdout()).toContain('could not sign off');
  });

  test('a second one with its id takes over; the first exits with code 3', async () => {
    const first = await start('snake');
    const id = await submit(url, 'DELAY', FOREVER);
    await expectStatus(database(), 'RUNNING', 1);
    await start('snake');
    expect(await first.exited).toEqual({ code: 3, signal: null });
    await vi.waitFor(
      async () => expect(await outcomes(id)).toEqual(['lost snake', 'null snake']),
      WITHIN,
    );
  });

  test('forgotten by the ledger, it registers again', async () => {
    await start('snake');
    await database().pool.query('truncate executor.agents');
    await submit(url, 'DELAY', { ms: 0 });
    await expectStatus(database(), 'COMPLETED', 1);
  });

  test('asked to drain, it claims no more until it may', async () => {
    await start('snake');
    expect((await fetch(`${url}/agents/snake/drain`, { method: 'POST' })).status).toBe(200);
    const id = await submit(url, 'DELAY', { ms: 0 });
    await submit(url, 'DELAY', { ms: 0 });
    await start('other');
    await expectStatus(database(), 'COMPLETED', 2);
    expect(await outcomes(id)).toEqual(['completed other']);
    agents[1]!.kill('SIGTERM');
    await agents[1]!.exited;
    const later = await submit(url, 'DELAY', { ms: 0 });
    expect((await fetch(`${url}/agents/snake/resume`, { method: 'POST' })).status).toBe(200);
    await expectStatus(database(), 'COMPLETED', 3);
    expect(await outcomes(later)).toEqual(['completed snake']);
  });

  test('behind a path, a claim whose reply is lost goes back and is run once', async () => {
    await system.settings(1_000, 5_000);
    let lost = 0;
    await using front = await startFront({
      prefix: '/an/executor',
      isLost: (path, answer) => path === '/commands/claim' && answer !== '[]' && lost++ === 0,
    });
    await start('snake', 'agent.py', `${front.url}/an/executor/`);
    const id = await submit(url, 'DELAY', { ms: 0 });
    await expectStatus(database(), 'COMPLETED', 1);
    expect(await outcomes(id)).toEqual(['unstarted snake', 'completed snake']);
  });
});

describe.skipIf(!python.isThere)(`agent-minimal.py (${python.version})`, () => {
  test('completes a command, and fails one that makes no sense', async () => {
    await start('tiny', 'agent-minimal.py');
    const id = await submit(url, 'DELAY', { ms: 20 });
    await expectStatus(database(), 'COMPLETED', 1);
    expect(await row(database(), id)).toMatchObject({ agent_id: 'tiny', result: { ok: true } });
    await database().pool.query(
      `select executor.submit_command('DELAY', '{"ms": "x"}', '{"maxAttempts": 1}')`,
    );
    await expectStatus(database(), 'FAILED', 1);
  });

  test('killed and started again, it gets its command again, before any other', async () => {
    const first = await start('tiny', 'agent-minimal.py');
    const id = await submit(url, 'DELAY', { ms: 1_000 });
    await first.printed(new RegExp(id));
    first.kill('SIGKILL');
    await first.exited;
    const { commandId: urgent } = (await (
      await post(url, { type: 'DELAY', payload: { ms: 0 }, priority: 100 })
    ).json()) as { commandId: string };
    await start('tiny', 'agent-minimal.py');
    await expectStatus(database(), 'COMPLETED', 2);
    expect(await outcomes(id)).toEqual(['lost tiny', 'completed tiny']);
    const [again, other] = await Promise.all([id, urgent].map((one) => row(database(), one)));
    expect(again!.finished_at!.getTime()).toBeLessThanOrEqual(other!.started_at!.getTime());
  });

  test('survives a server that is away, and reports what it did in the meantime', async () => {
    const server = await restartable();
    const agent = await start('tiny', 'agent-minimal.py');
    const id = await submit(url, 'DELAY', { ms: 1_000 });
    await agent.printed(new RegExp(id));
    await server.kill();
    await server.startAgain();
    await expectStatus(database(), 'COMPLETED', 1);
    expect(await outcomes(id)).toEqual(['completed tiny']);
  });
});

/** Which Python there is; the examples are for 3.9 and newer. */
function findPython(): { isThere: boolean; version: string } {
  try {
    const version = execFileSync('python3', ['--version'], { encoding: 'utf8' }).trim();
    const minor = Number(/^Python 3\.(\d+)/.exec(version)?.[1]);
    return minor >= 9 ? { isThere: true, version } : { isThere: false, version: `only ${version}` };
  } catch {
    return { isThere: false, version: 'left out: there is no python3' };
  }
}

/** Starts one; agent.py when it has registered. */
async function start(agentId: string, file = 'agent.py', serverUrl = url): Promise<Running> {
  const env = { SERVER_URL: serverUrl, AGENT_ID: agentId };
  const agent = runProgram('python3', [join(EXAMPLES, file)], { env });
  agents.push(agent);
  if (file === 'agent.py') await agent.printed(/^ready: /m);
  return agent;
}

/** A server that comes back where it was. */
async function restartable() {
  const server = await system.server({ PORT: '0' });
  url = await server.ready;
  const { port: PORT } = new URL(url);
  return {
    kill: async () => {
      server.signal('SIGKILL');
      await server.exited;
    },
    startAgain: () => system.server({ PORT }),
  };
}

interface Front {
  /** The path that it is at. */
  prefix?: string;
  /** What it answers with 503, and passes on to nobody. */
  isAway?: (path: string) => boolean;
  /** Answers of ours instead of which it closes the connection. */
  isLost?: (path: string, answer: string) => boolean;
}

/** A server in front of ours. */
async function startFront({ prefix = '', isAway = () => false, isLost = () => false }: Front) {
  const { hostname: host, port } = new URL(url);
  return await startHttpServer((request, response) => {
    const { method, headers } = request;
    const path = request.url?.startsWith(prefix) ? request.url.slice(prefix.length) : '/nowhere';
    if (isAway(path)) return response.writeHead(503).end();
    const passed = forward({ host, port, path, method, headers });
    passed.on('error', () => response.destroy());
    response.on('close', () => passed.destroy());
    passed.on('response', (answered) => {
      let text = '';
      answered.setEncoding('utf8').on('data', (part: string) => (text += part));
      answered.on('end', () => {
        if (isLost(path, text)) response.destroy();
        else response.writeHead(answered.statusCode ?? 500, answered.headers).end(text);
      });
    });
    return request.pipe(passed);
  });
}

async function outcomes(id: string | undefined): Promise<string[]> {
  return (await system.attempts(id)).map(({ agent_id, outcome }) => `${outcome} ${agent_id}`);
}
