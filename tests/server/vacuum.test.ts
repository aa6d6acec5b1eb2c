import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Vacuum } from '../../server/vacuum.ts';
import { recordingLog } from '../support/ticker.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A database whose tables always need vacuum, which takes so long; for some of them it is in vain. */
class Scripted {
  readonly vacuumed: string[] = [];
  readonly #tookMs: Record<string, number>;
  readonly #inVain: string[];
  #last: string | undefined;

  constructor(tookMs: Record<string, number>, inVain: string[] = []) {
    this.#tookMs = tookMs;
    this.#inVain = inVain;
  }

  async query(text: string): Promise<{ rows: unknown[] }> {
    const [, table] = /^vacuum \(.*\) (\S+)$/.exec(text) ?? [];
    if (table) {
      this.vacuumed.push(table);
      await new Promise((resolve) => setTimeout(resolve, this.#tookMs[table]));
      this.#last = table;
      return { rows: [] };
    }
    const cured = this.#last;
    this.#last = undefined;
    const bloated = Object.keys(this.#tookMs).filter(
      (name) => name !== cured || this.#inVain.includes(name),
    );
    return { rows: bloated.map((name) => ({ name })) };
  }

  times(table: string): number {
    return this.vacuumed.filter((name) => name === table).length;
  }
}

test('it looks every other second, and not any more once closed', async () => {
  const database = new Scripted({ quick: 1 });
  const vacuum = new Vacuum(database, recordingLog().log);
  await vi.advanceTimersByTimeAsync(20_100);
  expect(database.times('quick')).toBeGreaterThanOrEqual(9);
  vacuum.close();
  const before = database.times('quick');
  await vi.advanceTimersByTimeAsync(20_000);
  expect(database.times('quick')).toBe(before);
});

test('a table is under vacuum half of the time at most, and a tenth of it where that is in vain', async () => {
  const database = new Scripted({ useful: 3_000, vain: 3_000, quick: 1 }, ['vain']);
  const vacuum = new Vacuum(database, recordingLog().log);
  await vi.advanceTimersByTimeAsync(300_000);
  vacuum.close();
  expect(database.times('vain')).toBeGreaterThanOrEqual(8);
  expect(database.times('vain')).toBeLessThanOrEqual(10);
  expect(database.times('useful')).toBeGreaterThan(35);
  expect(database.times('useful')).toBeLessThanOrEqual(50);
  expect(database.times('quick')).toBeGreaterThan(35);
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
