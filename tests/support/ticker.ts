// A server's ticker in this process, and what it sends.

import { Client } from 'pg';
import pino from 'pino';
import { expect, vi } from 'vitest';
import { Ticker } from '../../server/ticker.ts';

export const TICK = 'call executor.tick(null)';

/** Ends the connection over which the database's tickers tick. */
export const END_TICKERS = `select pg_terminate_backend(pid) from pg_stat_activity
  where datname = current_database() and application_name = 'agent-executor server ticker'`;

export interface TestTicker extends AsyncDisposable {
  ticker: Ticker;
  /** What it logged so far, from info up. */
  logged: Record<string, unknown>[];
}

/** Not open yet. */
export function createTicker(url: string): TestTicker {
  const { log, logged } = recordingLog();
  const ticker = new Ticker(url, log);
  return { ticker, logged, [Symbol.asyncDispose]: () => ticker.close() };
}

/** Ticks until the end of the scope of `await using`. */
export async function startTicker({ url }: { url: string }): Promise<TestTicker> {
  const created = createTicker(url);
  await created.ticker.open();
  return created;
}

export function recordingLog() {
  const logged: Record<string, unknown>[] = [];
  const log = pino({ level: 'info' }, { write: (line) => void logged.push(JSON.parse(line)) });
  return { log, logged };
}

/** Answers which statements all clients of this process have sent since, until mocks are restored. */
export function recordStatements(): () => string[] {
  const spy = vi.spyOn(Client.prototype, 'query');
  const calls = spy.mock.calls as unknown as [string | { text: string }][];
  return () => calls.map(([query]) => (typeof query === 'string' ? query : query.text));
}

/** Waits until so many ticks were sent. */
export async function expectTicks(sent: () => string[], count: number): Promise<void> {
  const ticks = () => sent().filter((text) => text === TICK).length;
  await vi.waitFor(() => expect(ticks()).toBeGreaterThanOrEqual(count), { timeout: 15_000 });
}
