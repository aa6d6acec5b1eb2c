import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { defineExecutor, type ExecutorContext } from '../../../agent/executors/executor.ts';
import { createRegistry } from '../../../agent/executors/registry.ts';
import { runExecutor } from '../../../agent/executors/run.ts';
import { executorContext } from '../../support/executor-context.ts';

test('a command of an unknown type fails, and may be tried elsewhere', async () => {
  const outcome = await runExecutor(new Map(), { type: 'NOPE', payload: {} }, executorContext());
  const error = { code: 'unknown_type', message: 'no executor for type NOPE', retryable: true };
  expect(outcome).toEqual({ outcome: 'failed', error });
});

test('an executor is given its payload and its context', async () => {
  const context = executorContext({ attempt: 3 });
  const outcome = await run(
    async (payload, { attempt, commandId }) => ({ payload, attempt, commandId }),
    { context },
  );
  const result = { payload: { name: 'x' }, attempt: 3, commandId: context.commandId };
  expect(outcome).toEqual({ outcome: 'completed', result });
});

describe('a payload that the schema refuses', () => {
  test('fails for good, saying where it is wrong, and is not executed', async () => {
    let executed = false;
    const outcome = await run(async () => (executed = true), { payload: { name: 5 } });
    expectFailure(outcome, 'invalid_payload', false, /^name: .*expected string/);
    expect(executed).toBe(false);
  });

  test.each([[null], [undefined], ['text'], [[]], [{ name: 'x', 'more\0': 1 }]])(
    '%j',
    async (payload) => {
      expectFailure(await run(async () => null, { payload }), 'invalid_payload', false, /^[^\0]+$/);
    },
  );
});

describe('an executor that throws', () => {
  test('fails with the message kept, to be retried', async () => {
    const outcome = await run(async () => Promise.reject(new Error('disk full')));
    expectFailure(outcome, 'executor_error', true, /^disk full$/);
  });

  test('before it returns a promise fails as well', async () => {
    const outcome = await run(() => {
      throw new Error('at once');
    });
    expectFailure(outcome, 'executor_error', true, /^at once$/);
  });

  test('an error with retryable: false fails for good', async () => {
    const error = Object.assign(new Error('no such account'), { retryable: false });
    const outcome = await run(() => Promise.reject(error));
    expectFailure(outcome, 'executor_error', false, /^no such account$/);
  });

  test('an error with causes keeps them all in the message', async () => {
    const root = new Error('ECONNREFUSED');
    const error = new Error('no price', { cause: new Error('no answer', { cause: root }) });
    const outcome = await run(() => Promise.reject(error));
    expectFailure(outcome, 'executor_error', true, /^no price: no answer: ECONNREFUSED$/);
  });

  test('an error that is its own cause ends', async () => {
    const error = new Error('circular');
    error.cause = error;
    expectFailure(await run(() => Promise.reject(error)), 'executor_error', true, /^circular$/);
  });

  test('an error of several says what they were', async () => {
    const error = new AggregateError([new Error('one'), new Error('two')]);
    expectFailure(await run(() => Promise.reject(error)), 'executor_error', true, /^one, two$/);
  });

  test('a message of a million characters is cut to 10,000', async () => {
    const outcome = await run(() => Promise.reject(new Error('x'.repeat(1_000_000))));
    expectFailure(outcome, 'executor_error', true, /^x{9999}…$/);
  });

  test('a message that jsonb cannot hold is mended', async () => {
    const outcome = await run(() => Promise.reject(new Error('a\0b\uD800')));
    expectFailure(outcome, 'executor_error', true, /^a\uFFFDb\uFFFD$/);
  });

  test.each([
    ['undefined', undefined, /^undefined$/],
    ['null', null, /^null$/],
    ['a text', 'oops', /^oops$/],
    ['an empty text', '', /^an error without a message$/],
    ['a number', 42, /^42$/],
    ['a symbol', Symbol('s'), /^Symbol\(s\)$/],
    ['an object', { reason: 'x' }, /^{ reason: 'x' }$/],
    ['an object without a prototype', Object.create(null), /./],
    ['an error without a message', new TypeError(), /^TypeError$/],
    ['an error whose message is no text', Object.assign(new Error(), { message: 5 }), /./],
    ['an error that cannot be read', unreadable(), /^an error that cannot be described$/],
  ])('%s is an error too', async (_, thrown: unknown, message) => {
    // oxlint-disable-next-line typescript/prefer-promise-reject-errors
    expectFailure(await run(() => Promise.reject(thrown)), 'executor_error', true, message);
  });

  test('an abort is a failed outcome like any other', async () => {
    const signal = AbortSignal.abort(new Error('cancelled'));
    const outcome = await run(async (_, context) => context.signal.throwIfAborted(), {
      context: executorContext({ signal }),
    });
    expectFailure(outcome, 'executor_error', true, /^cancelled$/);
  });
});

describe('a result', () => {
  test('that the schema refuses fails for good', async () => {
    const outcome = await run(async () => ({ sum: 'x' }), { result: summing });
    expectFailure(outcome, 'invalid_result', false, /^sum: .*expected number/);
  });

  test('that is missing fails for good', async () => {
    const outcome = await run(async () => undefined, { result: summing });
    expectFailure(outcome, 'invalid_result', false, /expected object/);
  });

  test('that a schema chokes on fails for good', async () => {
    const choking = z.unknown().refine(async () => true);
    const outcome = await run(async () => 1, { result: choking });
    expectFailure(outcome, 'invalid_result', false, /./);
  });

  test.each([
    ['a BigInt', 1n],
    ['NaN', { value: Number.NaN }],
    ['more than 1 MiB', 'x'.repeat(1_048_576)],
    ['a million levels', JSON.parse('['.repeat(1_000_000) + ']'.repeat(1_000_000))],
  ])('of %s cannot be stored and fails for good', async (_, value: unknown) => {
    expectFailure(await run(async () => value), 'unstorable_result', false, /./);
  });

  test('that jsonb cannot hold is mended', async () => {
    const outcome = await run(async () => ({ 'key\0': 'text\uD800' }));
    expect(outcome).toEqual({ outcome: 'completed', result: { 'key\uFFFD': 'text\uFFFD' } });
  });
});

type Execute = Parameters<typeof defineExecutor<{ name: string }, unknown>>[0]['execute'];

const summing = z.strictObject({ sum: z.number() });

interface Options {
  payload?: unknown;
  context?: ExecutorContext;
  result?: z.ZodType;
}

/** Runs a command of a type made for the test. */
function run(execute: Execute, options: Options = {}) {
  const executor = defineExecutor({
    type: 'TEST',
    description: 'A test.',
    payload: z.strictObject({ name: z.string() }),
    result: options.result ?? z.unknown(),
    timeout: { defaultMs: 1_000 },
    execute,
  });
  const payload = 'payload' in options ? options.payload : { name: 'x' };
  const context = options.context ?? executorContext();
  return runExecutor(createRegistry([executor]), { type: 'TEST', payload }, context);
}

function expectFailure(outcome: unknown, code: string, retryable: boolean, message: RegExp) {
  const error = { code, retryable, message: expect.stringMatching(message) as string };
  expect(outcome).toEqual({ outcome: 'failed', error });
}

function unreadable(): Error {
  return new Proxy(new Error('x'), { get: refuse, getPrototypeOf: refuse });
}

function refuse(): never {
  throw new Error('no');
}
