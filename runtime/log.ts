// Logs: one JSON line an event on stdout, readable text when that is a terminal, and rotated files
// as well where LOG_DIR asks for them.

import { mkdirSync } from 'node:fs';
import pino, { type Logger } from 'pino';
import pretty from 'pino-pretty';
import { createStream, type RotatingFileStream } from 'rotating-file-stream';
import { ConfigError } from './environment.ts';

export type { Logger } from 'pino';

export interface LogOptions {
  /** Who speaks: `server`, `agent` or `start`. */
  name: string;
  level: string;
  /** The directory of the rotated files; none are written without it. */
  dir?: string | undefined;
  /** The file's name without `.log`; `name` unless given. */
  file?: string;
  /** Members that every line carries, such as `{ agentId }`. */
  bindings?: Record<string, unknown>;
}

const files = new Set<RotatingFileStream>();

const ROTATION = { size: '10M', maxFiles: 5 } as const;

/** Makes a process's logger. Times are ISO 8601; secrets in connection strings never appear. */
export function createLog(options: LogOptions): Logger {
  // Whoever read our output may go (`npm start | head`): the work goes on, unheard.
  process.stdout.on('error', () => {});
  const streams: pino.StreamEntry[] = [{ level: 'trace', stream: terminalOrJson() }];
  if (options.dir) {
    makeDirectory(options.dir);
    const file = createStream(`${options.file ?? options.name}.log`, {
      ...ROTATION,
      path: options.dir,
    });
    file.on('error', (error) => process.stderr.write(`log file: ${error.message}\n`));
    files.add(file);
    streams.push({ level: 'trace', stream: file });
  }
  return pino(
    {
      level: options.level,
      base: { name: options.name, ...options.bindings },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      hooks: { streamWrite: withoutPasswords },
    },
    pino.multistream(streams),
  );
}

function makeDirectory(dir: string): void {
  try {
    mkdirSync(dir, { recursive: true });
  } catch (cause) {
    throw new ConfigError(`Cannot write to LOG_DIR ${dir}: ${(cause as Error).message}`, { cause });
  }
}

/** Writes out what the log files have yet to take; the last thing that a process does. */
export async function closeLogFiles(): Promise<void> {
  await Promise.all(Array.from(files, (file) => new Promise<void>((done) => file.end(done))));
}

/** Hides the password of every `scheme://user:password@` in a line. */
export function withoutPasswords(line: string): string {
  return line.replaceAll(/(\w+:\/\/[^\s:/@"]*):[^\s@"]*@/g, '$1:***@');
}

function terminalOrJson(): pino.DestinationStream {
  if (!process.stdout.isTTY) {
    const stdout = pino.destination({ fd: 1, sync: true });
    stdout.on('error', () => {});
    return stdout;
  }
  return pretty({ sync: true, ignore: 'name,agentId,pid,hostname', messageFormat: prefixed });
}

function prefixed(line: Record<string, unknown>, messageKey: string): string {
  const who = line['agentId'] ?? line['name'];
  return `[${String(who)}] ${String(line[messageKey])}`;
}
