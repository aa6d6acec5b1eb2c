// Loads the types that whoever runs the agent wrote: the files of a directory, one type or more each.
//
// A file is written as the built-in ones are, with one difference: it may be anywhere, where neither this
// project nor zod can be imported by name. So its default export may be a function, which is given both;
// see examples/README.md. Anything wrong with a file ends the start: an agent that silently lacks a type
// would fail every command of it.

import { readdirSync, statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { z } from 'zod';
import { ConfigError } from '../runtime/environment.ts';
import { checkExecutor } from './executors/check-executor.ts';
import { describeError } from './executors/describe-error.ts';
import { defineExecutor, type Executor } from './executors/executor.ts';

/** What a default export that is a function is given. */
export interface ExecutorKit {
  defineExecutor: typeof defineExecutor;
  z: typeof z;
}

const EXECUTOR_FILE = /^[^.].*\.m?[jt]s$/;
const NO_EXECUTOR_FILE = /\.(d|test|spec)\.m?[jt]s$/;
const LOAD_MS = 30_000;

/**
 * The executors of a directory's files, in the order of the files' names.
 *
 * @param reserved types that no file may have.
 * @param loadMs how long a file may take.
 * @throws ConfigError: one line that names the file.
 */
export async function loadExecutors(
  dir: string,
  reserved: Iterable<string>,
  loadMs = LOAD_MS,
): Promise<Executor[]> {
  const owners = new Map(Array.from(reserved, (type) => [type, 'built in']));
  const executors: Executor[] = [];
  for (const file of executorFiles(resolve(dir))) {
    try {
      for (const executor of await executorsOf(file, loadMs)) {
        const owner = owners.get(executor.type);
        if (owner !== undefined) throw new Error(`type ${executor.type} is ${owner} already`);
        owners.set(executor.type, `in ${basename(file)}`);
        executors.push(executor);
      }
    } catch (cause) {
      const why = describeError(cause).replaceAll(/\s+/g, ' ');
      throw new ConfigError(`Cannot use ${file}: ${why}${place(cause)}`, { cause });
    }
  }
  return executors;
}

function executorFiles(dir: string): string[] {
  try {
    return readdirSync(dir)
      .filter((name) => EXECUTOR_FILE.test(name) && !NO_EXECUTOR_FILE.test(name))
      .sort()
      .map((name) => join(dir, name))
      .filter((file) => statSync(file).isFile());
  } catch (cause) {
    throw new ConfigError(`Cannot read EXECUTORS_DIR: ${(cause as Error).message}`, { cause });
  }
}

async function executorsOf(file: string, loadMs: number): Promise<Executor[]> {
  const { default: main, ...others } = await inTime(loadMs, importFile(file));
  const made: unknown = typeof main === 'function' ? await inTime(loadMs, callWithKit(main)) : main;
  const found = new Set([made, ...Object.values(others)].filter(looksLikeExecutor));
  if (found.size === 0) throw new Error('exports no executor (see examples/README.md)');
  return Array.from(found, checkExecutor);
}

async function importFile(file: string): Promise<{ default?: unknown }> {
  return (await import(pathToFileURL(file).href)) as { default?: unknown };
}

async function callWithKit(make: unknown): Promise<unknown> {
  const kit: ExecutorKit = { defineExecutor, z };
  return await (make as (kit: ExecutorKit) => unknown)(kit);
}

/** A file may export other things too; half an executor is a mistake, and not one of them. */
function looksLikeExecutor(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false;
  return ['type', 'payload', 'execute'].filter((member) => member in value).length >= 2;
}

/** A file may wait for something before it is ready, but not for ever. */
async function inTime<T>(loadMs: number, work: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>();
  const error = new Error(`not loaded after ${loadMs / 1_000} s`);
  const timer = setTimeout(() => late.reject(error), loadMs);
  try {
    return await Promise.race([work, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** Where a file cannot be parsed; Node says so in the stack's first line. */
function place(error: unknown): string {
  if (!(error instanceof SyntaxError)) return '';
  const [, line] = /^\S+:(\d+)\n/.exec(error.stack ?? '') ?? [];
  return line === undefined ? '' : ` (line ${line})`;
}
