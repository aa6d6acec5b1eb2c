// What is left of a journal after a power cut, and after worse.

import { randomUUID } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { JournalFile } from '../../agent/journal-file.ts';
import { openJournal } from '../../agent/journal-identity.ts';
import { isDamage } from '../../agent/journal-damage.ts';

const SESSION = randomUUID();

// In memory where there is such a directory: thousands of journals are opened here.
const PARENT = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

let dir: string;
let path: string;

beforeEach(() => {
  dir = mkdtempSync(join(PARENT, 'agent-executor-test-'));
  mkdirSync(join(dir, 'agent-solo'));
  path = join(dir, 'agent-solo', 'journal.db');
});

afterEach(() => rmSync(dir, { recursive: true }));

/** Records outcomes whose results are these. */
function record(file: JournalFile, results: unknown[]): void {
  const outcomes = results.map((result) => ({
    report: { id: randomUUID(), attempt: 1, outcome: 'completed' as const, result },
    executedAt: 1_000,
  }));
  file.append(SESSION, outcomes);
}

/** The results in the journal at `path`, or `damage` when that is what opening it says. */
function read(): unknown {
  let file: JournalFile | undefined;
  try {
    file = new JournalFile(path);
    return file
      .unacknowledged(1_000)
      .map(({ report }) => report.outcome === 'completed' && report.result);
  } catch (error) {
    if (isDamage(error)) return 'damage';
    throw error;
  } finally {
    file?.close();
  }
}

test('cut off at any byte of its last record, a journal has all that was recorded before', () => {
  const live = join(dir, 'live.db');
  const file = new JournalFile(live);
  record(file, ['first']);
  const before = statSync(`${live}-wal`).size;
  record(file, ['second']);
  // As a power cut finds them.
  const database = readFileSync(live);
  const log = readFileSync(`${live}-wal`);
  file.close();

  expect(log.length).toBeGreaterThan(before);
  for (let length = before; length <= log.length; length += 1) {
    writeFileSync(path, database);
    writeFileSync(`${path}-wal`, log.subarray(0, length));
    expect(read()).toEqual(length < log.length ? ['first'] : ['first', 'second']);
  }
}, 120_000);

test('cut off anywhere, a journal that was closed is damaged, and never gives a wrong result', () => {
  const written = Array.from({ length: 60 }, (_, n) => ({ n, text: 'y'.repeat(n) }));
  const file = new JournalFile(path);
  record(file, written);
  file.close();
  const database = readFileSync(path);
  // An empty file is a new one, unless there is a log beside it.
  for (let length = 1; length < database.length; length += 97) {
    writeFileSync(path, database.subarray(0, length));
    expect([length, read()]).toEqual([length, 'damage']);
  }
  writeFileSync(path, database);
  expect(read()).toEqual(written);
});

test.each([
  ['that is no database', () => writeFileSync(path, 'Dear diary, '.repeat(500))],
  ['with a page overwritten', () => writeFileSync(path, readFileSync(path).fill(7, 4_096, 8_192))],
  ['that was emptied beside its log', () => leaveLog(() => truncateSync(path))],
])('an agent with a journal %s does not start, and says what to do', (_what, damage) => {
  const journal = openJournal(dir, 'solo');
  record(journal.file, ['a', 'b', 'c']);
  journal.close();
  damage();
  const message = /^The journal of agent solo is damaged \(.+\): move .+agent-solo away to start/;
  expect(() => openJournal(dir, 'solo')).toThrow(message);
  // Nor does one that takes up whatever journal it finds.
  expect(() => openJournal(dir)).toThrow(message);
  rmSync(join(dir, 'agent-solo'), { recursive: true });
  openJournal(dir, 'solo').close();
});

function leaveLog(damage: () => void): void {
  writeFileSync(`${path}-wal`, 'something');
  damage();
}
