// The journal by itself: what is on disk when, what is kept, and what is said when it cannot be written.

import { randomUUID } from 'node:crypto';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import pino from 'pino';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { JournalFile, type Outcome } from '../../agent/journal-file.ts';
import type { HistoryLimits } from '../../agent/journal-history.ts';
import { openJournal } from '../../agent/journal-identity.ts';
import { Journal } from '../../agent/journal.ts';
import { temporaryDirectory } from '../support/postgres.ts';

const SESSION = randomUUID();

let dir: string;
let path: string;
const opened = new Set<JournalFile>();

beforeEach(async () => {
  dir = await temporaryDirectory();
  path = join(dir, 'journal.db');
});

afterEach(() => {
  for (const file of opened) file.close();
  opened.clear();
  rmSync(dir, { recursive: true });
});

function open(limits?: HistoryLimits): JournalFile {
  const file = new JournalFile(path, limits);
  opened.add(file);
  return file;
}

function close(file: JournalFile): void {
  file.close();
  opened.delete(file);
}

function completed(result: unknown = { ok: true }, id: string = randomUUID()): Outcome {
  return { report: { id, attempt: 1, outcome: 'completed', result }, executedAt: 1_000 };
}

function failed(id: string = randomUUID()): Outcome {
  const error = { code: 'executor_error', message: 'no luck', retryable: true };
  return { report: { id, attempt: 1, outcome: 'failed', error }, executedAt: 1_000 };
}

/** What another process sees of the history while the agent works. */
function history(): { commandId: string; executedAt: number }[] {
  using reader = new DatabaseSync(path, { readOnly: true });
  return reader
    .prepare('select * from executed_commands order by executedAt')
    .all()
    .map((row) => ({
      commandId: String(row['commandId']),
      executedAt: Number(row['executedAt']),
    }));
}

/** What is on disk. */
function progress(): unknown {
  using reader = new DatabaseSync(path, { readOnly: true });
  return reader.prepare('select first_unacknowledged from progress').get();
}

function logging(): { log: pino.Logger; lines: () => string[] } {
  const lines: { level: number; msg: string }[] = [];
  const log = pino({ level: 'info' }, { write: (line) => void lines.push(JSON.parse(line)) });
  return { log, lines: () => lines.map(({ level, msg }) => `${pino.levels.labels[level]} ${msg}`) };
}

test('outcomes are there until they are acknowledged, as they were and under their session', () => {
  const outcomes = [completed({ text: 'ü\n"' }), failed(), completed(null)];
  close(openWith(outcomes));
  const file = open();
  expect(file.unacknowledged(10)).toEqual(
    outcomes.map(({ report }, i) => ({ seq: i + 1, session: SESSION, report })),
  );
  for (const { seq } of file.unacknowledged(2)) file.acknowledge(seq);
  close(file);
  expect(open().unacknowledged(10)).toMatchObject([{ seq: 3 }]);
});

function openWith(outcomes: Outcome[]): JournalFile {
  const file = open();
  file.append(SESSION, outcomes);
  return file;
}

test('what is acknowledged out of turn is reported again, and nothing is forgotten', () => {
  const file = openWith([completed(), completed(), completed()]);
  file.acknowledge(2);
  file.acknowledge(3);
  expect(file.unacknowledged(10).map(({ seq }) => seq)).toEqual([1, 2, 3]);
  file.acknowledge(1);
  expect(file.unacknowledged(10)).toEqual([]);
});

test('numbers go on after everything was dropped and the file opened anew', () => {
  const nothing = { maxRows: 0, maxBytes: 0 };
  const file = open(nothing);
  for (const seq of file.append(SESSION, [completed(), completed()])) file.acknowledge(seq);
  file.save();
  file.probe();
  close(file);
  expect(history()).toEqual([]);
  expect(open(nothing).append(SESSION, [completed()])).toEqual([3]);
});

test('outcomes that arrive in one turn share a commit', async () => {
  const file = open();
  const append = vi.spyOn(file, 'append');
  const journal = new Journal(file, SESSION, pino({ level: 'silent' }));
  const receipts = await Promise.all(
    Array.from({ length: 100 }, () => journal.record(completed())),
  );
  expect(receipts).toEqual(Array.from({ length: 100 }, (_, i) => i + 1));
  expect(append).toHaveBeenCalledTimes(1);
});

test('acknowledging writes nothing by itself: it goes with the next outcome, or with a beat', async () => {
  const file = open();
  const journal = new Journal(file, SESSION, pino({ level: 'silent' }));
  journal.acknowledge(await journal.record(completed()));
  expect(progress()).toEqual({ first_unacknowledged: 1 });
  await journal.record(completed());
  expect(progress()).toEqual({ first_unacknowledged: 2 });
  journal.acknowledge(2);
  journal.check();
  expect(progress()).toEqual({ first_unacknowledged: 3 });
});

test('anyone can read what was executed, while the agent works', () => {
  const first = completed();
  const again = failed();
  openWith([first, again, { ...completed(), executedAt: 3_000 }]).append(SESSION, [
    { ...completed(null, again.report.id), executedAt: 2_000 },
  ]);
  expect(history()).toMatchObject([
    { commandId: first.report.id, executedAt: 1_000 },
    { commandId: again.report.id, executedAt: 2_000 },
    { executedAt: 3_000 },
  ]);
});

test('the history is bounded in rows, and what is not acknowledged stays', () => {
  const limits = { maxRows: 100, maxBytes: 1_000_000 };
  const file = open(limits);
  for (let batch = 0; batch < 10; batch += 1) {
    const receipts = file.append(
      SESSION,
      Array.from({ length: 50 }, () => completed()),
    );
    if (batch < 5) for (const seq of receipts) file.acknowledge(seq);
  }
  // 250 are not acknowledged: of the others none is left.
  expect(history()).toHaveLength(250);
  for (const { seq } of file.unacknowledged(250)) file.acknowledge(seq);
  file.save();
  expect(history()).toHaveLength(100);
  close(file);
  expect(open(limits).unacknowledged(10)).toEqual([]);
});

test('the history is bounded in bytes', () => {
  const file = open({ maxRows: 100, maxBytes: 10_000 });
  const ids: string[] = [];
  for (let i = 0; i < 30; i += 1) {
    const outcome = completed('x'.repeat(998));
    ids.push(outcome.report.id);
    for (const seq of file.append(SESSION, [outcome])) file.acknowledge(seq);
  }
  file.save();
  expect(history().length).toBeLessThanOrEqual(11);
  const recalled = ids.map((id) => file.recall(id) !== undefined);
  expect(recalled.lastIndexOf(false)).toBe(30 - history().length - 1);
});

test('what a command came to is remembered, across restarts, if it was completed', () => {
  const [a, b, c] = [completed({ n: 1 }), failed(), completed({ n: 2 })];
  const file = openWith([a, b, c]);
  for (const { seq } of file.unacknowledged(10)) file.acknowledge(seq);
  close(file);
  const again = open();
  expect(again.recall(a.report.id)).toEqual({ result: { n: 1 }, executedAt: 1_000 });
  expect(again.recall(b.report.id)).toBeUndefined();
  again.append(SESSION, [completed({ n: 3 }, c.report.id)]);
  expect(again.recall(c.report.id)).toMatchObject({ result: { n: 3 } });
});

test('a journal that cannot be written says so once, and goes on when it can be written again', async () => {
  const { log, lines } = logging();
  const file = open();
  const journal = new Journal(file, SESSION, log);
  using other = new DatabaseSync(path);
  other.exec('begin immediate');
  expect(await journal.record(completed())).toBeUndefined();
  journal.check();
  expect(await journal.record(completed())).toBeUndefined();
  expect(journal.canRecord()).toBe(false);
  other.exec('rollback');
  journal.check();
  expect(journal.canRecord()).toBe(true);
  expect(await journal.record(completed())).toBe(1);
  expect(lines()).toEqual([
    'error the journal is unusable: claiming nothing until it can be written',
    'warn reporting what is not in the journal',
    'warn reporting what is not in the journal',
    'info the journal can be written again',
  ]);
});

test('an agent without space does not even begin', () => {
  const { log, lines } = logging();
  const file = open();
  vi.spyOn(file, 'probe').mockImplementation(() => {
    throw new Error('database or disk is full');
  });
  expect(new Journal(file, SESSION, log).canRecord()).toBe(false);
  expect(lines()).toEqual([
    'error the journal is unusable: claiming nothing until it can be written',
  ]);
});

test('without an id an agent takes up a journal that is there, and a second one another', () => {
  const first = openJournal(dir);
  const second = openJournal(dir);
  expect(second.agentId).not.toBe(first.agentId);
  first.close();
  const third = openJournal(dir);
  expect(third.agentId).toBe(first.agentId);
  second.close();
  third.close();
  expect(existsSync(join(dir, `agent-${first.agentId}`, 'journal.db'))).toBe(true);
});

test('a second process cannot open the journal of an agent that runs', () => {
  const first = openJournal(dir, 'solo');
  expect(() => openJournal(dir, 'solo')).toThrow(/^Agent solo runs already: /);
  first.close();
  openJournal(dir, 'solo').close();
});
