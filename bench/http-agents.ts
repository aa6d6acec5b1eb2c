// A thousand simple agents over HTTP at one server: what they cost while there is nothing to do, and how
// soon a command reaches one of them, 200 of these a second.

import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { v7 } from 'uuid';
import { connect, type Database } from '../db/connect.ts';
import { submitCommands } from '../db/commands.ts';
import { distribution } from './distribution.ts';
import { startProcess } from './processes.ts';

const AGENTS = 1_000;
const IDLE_SECONDS = 40;
const RATE = 200;
const SECONDS = 15;

export async function httpAgents(url: string): Promise<string[]> {
  const database = connect(url, { applicationName: 'bench', max: 2 });
  await using server = await startProcess('server', url);
  const fleet = new Fleet(server.ready);
  await untilRegistered(database);
  await sleep(2_000);
  const idle = await cpuShare(server.pid, IDLE_SECONDS);
  const statements = await countStatements(database, 10);
  const submittedAt = new Map<string, number>();
  const startedAt = performance.now();
  const busy = cpuShare(server.pid, SECONDS);
  for (let i = 0; i < RATE * SECONDS; i += 1) {
    await sleep(Math.max(0, startedAt + (i * 1_000) / RATE - performance.now()));
    const id = v7();
    submittedAt.set(id, performance.now());
    await submitCommands(database.pool, [{ id, type: 'DELAY', payload: { ms: 0 } }]);
  }
  const share = await busy;
  await sleep(1_000);
  fleet.stop();
  await database.close();
  const latencies = [...fleet.reachedAt].map(([id, at]) => at - (submittedAt.get(id) ?? NaN));
  return [
    `${AGENTS} idle agents: ${percent(idle)} of a core in the server, ${statements} statements in 10 s`,
    `${RATE} commands/s reach them: ${distribution(latencies)}, of ${submittedAt.size}; ` +
      `${percent(share)} of a core in the server`,
  ];
}

/** Simple clients: each polls, reports what it got as done, and polls again. */
class Fleet {
  readonly reachedAt = new Map<string, number>();
  readonly #server: string;
  readonly #connections = new Agent({ keepAlive: true, maxSockets: Infinity });
  #stopped = false;

  constructor(server: string) {
    this.#server = server;
    for (let i = 0; i < AGENTS; i += 1) void this.#live(`bench-${i}`);
  }

  stop(): void {
    this.#stopped = true;
    this.#connections.destroy();
  }

  async #live(agentId: string): Promise<void> {
    while (!this.#stopped) {
      try {
        const text = await this.#send('GET', `/commands/next?agentId=${agentId}&wait=30`);
        if (text === '') continue;
        const { id } = JSON.parse(text) as { id: string };
        this.reachedAt.set(id, performance.now());
        const body = JSON.stringify({ agentId, result: { ok: true, tookMs: 0 } });
        await this.#send('PUT', `/commands/${id}/result`, body);
      } catch (error) {
        if (!this.#stopped) throw error;
      }
    }
  }

  #send(method: string, path: string, body?: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const headers = body === undefined ? {} : { 'Content-Type': 'application/json' };
      const options = { method, agent: this.#connections, headers };
      const sent = request(this.#server + path, options, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        response.on('end', () =>
          (response.statusCode ?? 500) < 300
            ? resolve(text)
            : reject(new Error(`${response.statusCode} ${text}`)),
        );
      });
      sent.on('error', reject);
      sent.end(body);
    });
  }
}

async function untilRegistered({ pool }: Database): Promise<void> {
  for (;;) {
    const { rows } = await pool.query<{ n: number }>(
      'select count(*)::int as n from executor.agents',
    );
    if ((rows[0]?.n ?? 0) >= AGENTS) return;
    await sleep(100);
  }
}

async function countStatements({ pool }: Database, seconds: number): Promise<number> {
  const count = async () => {
    const { rows } = await pool.query<{ n: string }>(
      'select xact_commit as n from pg_stat_database where datname = current_database()',
    );
    return Number(rows[0]?.n);
  };
  const before = await count();
  await sleep(seconds * 1_000);
  return (await count()) - before;
}

/** How much of a core a process takes, over so many seconds (Linux). */
async function cpuShare(pid: number, seconds: number): Promise<number> {
  const ticks = () => {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    return Number(fields[11]) + Number(fields[12]);
  };
  const before = ticks();
  await sleep(seconds * 1_000);
  return (ticks() - before) / 100 / seconds;
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}
