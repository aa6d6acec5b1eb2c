// What becomes of what attempts say when the database is slow, away, or refuses it.

import { setImmediate as nextTurn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import pino from 'pino';
import { DatabaseError } from 'pg';
import { expect, test, vi } from 'vitest';
import { ProgressReporter } from '../../agent/progress-reporter.ts';
import type { ProgressAnswer, ProgressReport } from '../../db/agents.ts';
import { scriptAgent, scriptedCommand } from '../support/scripted-transport.ts';

type Report = (reports: ProgressReport[]) => Promise<ProgressAnswer[]>;

function createReporter(report: Report) {
  return new ProgressReporter(report, pino({ level: 'silent' }));
}

const accept: Report = (reports) => Promise.resolve(reports.map(() => 'accepted'));

const away = () => Promise.reject(new Error('Connection terminated'));

test('what could not be said is said again, under the same numbers, and the newest progress', async () => {
  const report = vi.fn<Report>(accept).mockImplementationOnce(away).mockImplementationOnce(away);
  const reporter = createReporter(report);
  const transcript = reporter.open({ id: 'a', attempt: 3 });
  transcript.voice.progress(0.1, 'early');
  transcript.voice.print('one');
  await vi.waitFor(() => expect(report).toHaveBeenCalledTimes(1));
  transcript.voice.print('two');
  transcript.voice.progress(0.2, 'late');
  await vi.waitFor(() => expect(transcript.isQuiet).toBe(true), 5_000);
  expect(report).toHaveBeenCalledTimes(3);
  expect(report.mock.lastCall).toEqual([
    [
      {
        id: 'a',
        attempt: 3,
        progress: 0.2,
        message: 'late',
        lines: [
          { no: 1, line: 'one' },
          { no: 2, line: 'two' },
        ],
      },
    ],
  ]);
});

test('one statement is on its way at a time', async () => {
  const answer = Promise.withResolvers<ProgressAnswer[]>();
  const report = vi.fn<Report>(accept).mockReturnValueOnce(answer.promise);
  const reporter = createReporter(report);
  const [first, second] = [1, 2].map((attempt) => reporter.open({ id: 'a', attempt }));
  first?.voice.print('one');
  await vi.waitFor(() => expect(report).toHaveBeenCalledTimes(1));
  second?.voice.print('two');
  const ended = reporter.end(second!);
  await nextTurn();
  expect(report).toHaveBeenCalledTimes(1);
  answer.resolve(['accepted']);
  await ended;
  expect(report).toHaveBeenCalledTimes(2);
});

test('a database that does not answer holds an outcome back for half a second', async () => {
  const claim = vi.fn().mockResolvedValueOnce([scriptedCommand()]).mockResolvedValue([]);
  let endedAtMs = 0;
  await using scripted = await scriptAgent(
    { claim, reportProgress: () => new Promise(() => {}) },
    ({ print }) => {
      print('into the void');
      endedAtMs = performance.now();
      return Promise.resolve('done');
    },
  );
  scripted.agent.wake();
  await vi.waitFor(() => expect(scripted.reports).toMatchObject([{ outcome: 'completed' }]), 3_000);
  const heldBackMs = performance.now() - endedAtMs;
  expect(heldBackMs).toBeGreaterThan(400);
  expect(heldBackMs).toBeLessThan(1_500);
});

test('what is given up is not said after all', async () => {
  const answer = Promise.withResolvers<ProgressAnswer[]>();
  const report = vi.fn<Report>(accept).mockReturnValueOnce(answer.promise);
  const reporter = createReporter(report);
  const given = reporter.open({ id: 'given up', attempt: 1 });
  given.voice.print('one');
  await reporter.end(given);
  answer.reject(new Error('Connection terminated'));
  const other = reporter.open({ id: 'other', attempt: 1 });
  other.voice.print('two');
  await reporter.end(other);
  expect(report.mock.calls.flat(2).map(({ id }) => id)).toEqual(['given up', 'other']);
});

test('what the database cannot store is left out alone', async () => {
  const stored: string[] = [];
  const report: Report = (reports) => {
    if (reports.some(({ id }) => id === 'bad')) {
      const error = new DatabaseError('no equivalent in encoding "LATIN1"', 0, 'error');
      error.code = '22P05';
      return Promise.reject(error);
    }
    stored.push(...reports.map(({ id }) => id));
    return accept(reports);
  };
  const reporter = createReporter(report);
  const transcripts = ['a', 'bad', 'b'].map((id) => reporter.open({ id, attempt: 1 }));
  for (const { voice } of transcripts) voice.print('…');
  await Promise.all(transcripts.map((transcript) => reporter.end(transcript)));
  expect(stored).toEqual(['a', 'b']);
});

test('an error that will not pass is not repeated for ever', async () => {
  const report = vi.fn<Report>(() => Promise.reject(new Error('no such function')));
  const reporter = createReporter(report);
  const transcript = reporter.open({ id: 'a', attempt: 1 });
  transcript.voice.print('one');
  await vi.waitFor(() => expect(transcript.isQuiet).toBe(true));
  expect(report).toHaveBeenCalledTimes(1);
});

test('while the database is away the lines that are kept are bounded, and the rest is counted', async () => {
  const answer = Promise.withResolvers<ProgressAnswer[]>();
  const report = vi.fn<Report>(accept).mockReturnValueOnce(answer.promise);
  const reporter = createReporter(report);
  const transcripts = Array.from({ length: 10 }, (_, attempt) =>
    reporter.open({ id: 'a', attempt }),
  );
  transcripts[0]?.voice.print('first');
  await vi.waitFor(() => expect(report).toHaveBeenCalledTimes(1));
  for (const { voice } of transcripts)
    for (let i = 0; i < 900; i += 1) voice.print('x'.repeat(2_000));
  answer.resolve(['accepted']);
  await vi.waitFor(() => expect(transcripts.every(({ isQuiet }) => isQuiet)).toBe(true));
  const reported = report.mock.calls.flat(2).flatMap(({ lines = [] }) => lines);
  const characters = reported.reduce((sum, { line }) => sum + line.length, 0);
  expect(characters).toBeGreaterThan(1_500_000);
  expect(characters).toBeLessThan(2_200_000);

  // There is room again: what was left out is said first.
  transcripts[9]?.voice.print('back');
  await Promise.all(transcripts.map((transcript) => reporter.end(transcript)));
  const last = report.mock.calls.flat(2).filter(({ attempt }) => attempt === 9);
  expect(last.flatMap(({ lines = [] }) => lines)).toEqual([
    { no: 1, line: '… 900 lines were left out' },
    { no: 2, line: 'back' },
  ]);
});

test('long texts are not kept in memory for the sake of their beginnings', () => {
  setFlagsFromString('--expose-gc');
  const collectGarbage = runInNewContext('gc') as () => void;
  const usedBytes = () => {
    collectGarbage();
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };
  const reporter = createReporter(() => new Promise(() => {}));
  const transcript = reporter.open({ id: 'a', attempt: 1 });
  const before = usedBytes();
  for (let i = 0; i < 200; i += 1) {
    const text = Buffer.alloc(1_000_000, 97 + (i % 26)).toString('latin1');
    transcript.voice.print(text);
    transcript.voice.print(text.slice(0, 100));
    transcript.voice.progress(0.5, text);
  }
  expect(usedBytes() - before).toBeLessThan(50_000_000);
  reporter.close();
});
