import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Vacuum } from '../../server/vacuum.ts';
import { recordingLog } from '../support/ticker.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A database that always has these bloated tables, and takes so long over a vacuum. */
class Scripted {
  readonly vacuumed: string[] = [];
  readonly #tookMs: Record<string, number>;

  constructor(tookMs: Record<string, number>) {
    this.#tookMs = tookMs;
  }

  async query(text: string): Promise<{ rows: unknown[] }> {
    const [, table] = /^vacuum \(.*\) (\S+)$/.exec(text) ?? [];
    if (!table) return { rows: Object.keys(this.#tookMs).map((name) => ({ name })) };
    this.vacuumed.push(table);
    await new Promise((resolve) => setTimeout(resolve, this.#tookMs[table]));
    return { rows: [] };
  }
}

test('it looks every other second, and not any more once closed', async () => {
  const database = new Scripted({ quick: 1 });
  const vacuum = new Vacuum(database, recordingLog().log);
  await vi.advanceTimersByTimeAsync(20_100);
  expect(database.vacuumed.length).toBeGreaterThanOrEqual(9);
  vacuum.close();
  const before = database.vacuumed.length;
  await vi.advanceTimersByTimeAsync(20_000);
  expect(database.vacuumed).toHaveLength(before);
});

test('each table is under vacuum a tenth of the time at most', async () => {
  const database = new Scripted({ slow: 3_000, quick: 1 });
  const vacuum = new Vacuum(database, recordingLog().log);
  await vi.advanceTimersByTimeAsync(300_000);
  vacuum.close();
  const times = (table: string) => database.vacuumed.filter((name) => name === table).length;
  expect(times('slow')).toBeGreaterThanOrEqual(9);
  expect(times('slow')).toBeLessThanOrEqual(10);
  expect(times('quick')).toBeGreaterThan(100);
});

test('what goes wrong is said once, and it goes on', async () => {
  const { log, logged } = recordingLog();
  const query = vi.fn<() => Promise<{ rows: unknown[] }>>();
  query.mockRejectedValue(new Error('out of luck'));
  const vacuum = new Vacuum({ query }, log);
  await vi.advanceTimersByTimeAsync(20_100);
  vacuum.close();
  expect(query.mock.calls.length).toBeGreaterThanOrEqual(9);
  expect(logged).toMatchObject([{ msg: 'vacuum failed', err: { message: 'out of luck' } }]);
});
