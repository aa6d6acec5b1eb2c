// What `POST /commands` takes: a type, its payload, and options that say how to treat it. The bounds are
// those of the ledger's constraints, so that nothing of this fails there.

import type { ParameterizedContext } from 'koa';
import { z } from 'zod';
import { DELIVERIES } from '../db/command-json.ts';
import type { CommandOptions, NewCommand } from '../db/commands.ts';
import { readJson } from './body.ts';
import { parse } from './parse.ts';
import { oneOf } from './query.ts';

const THIRTY_DAYS_MS = 30 * 24 * 60 * 60 * 1_000;

const WRONG_COMMAND = { at: [], code: 'invalid_command', detail: 'This is no command.' };
const WRONG_PAYLOAD = { at: ['payload'], code: 'invalid_payload', detail: 'This is no payload.' };

// Years and zones that Postgres knows; zod knows the calendar.
const TIMESTAMP = /^[12]\d{3}-[\d-]{5}T[\d:]{8}(\.\d{1,9})?(Z|[+-](0\d|1[0-4]):[0-5]\d)$/;
const EXPECTED_TIMESTAMP = 'expected a time such as 2030-01-31T08:30:00Z or …+02:00';

const backoff = z.strictObject(
  {
    initialMs: wholeNumber(0, THIRTY_DAYS_MS).exactOptional(),
    factor: z
      .number('expected a number')
      .min(1, 'expected at least 1')
      .max(1_000, 'expected at most 1000')
      .exactOptional(),
    maxMs: wholeNumber(0, THIRTY_DAYS_MS).exactOptional(),
  },
  'expected an object with initialMs, factor or maxMs',
);

const envelope = z
  .strictObject(
    {
      type: z.string('expected the name of a command type'),
      payload: z.unknown().optional(),
      maxAttempts: wholeNumber(1, 1_000).exactOptional(),
      backoff: backoff.exactOptional(),
      delivery: oneOf(DELIVERIES).exactOptional(),
      timeoutMs: wholeNumber(1, THIRTY_DAYS_MS).exactOptional(),
      runAt: z.iso
        .datetime({ offset: true, error: EXPECTED_TIMESTAMP, abort: true })
        .regex(TIMESTAMP, EXPECTED_TIMESTAMP)
        .exactOptional(),
      delayMs: wholeNumber(0, THIRTY_DAYS_MS).exactOptional(),
      priority: wholeNumber(-100, 100).exactOptional(),
    },
    'expected an object with type and payload',
  )
  .refine(({ runAt, delayMs }) => runAt === undefined || delayMs === undefined, {
    path: ['delayMs'],
    error: 'runAt is given too: expected one of the two',
  });

const anyPayload = z.record(z.string(), z.unknown(), 'expected an object');

/** @throws Problem 400, 413 or 415. The type and its payload are not compared yet. */
export async function readNewCommand(ctx: ParameterizedContext): Promise<Omit<NewCommand, 'id'>> {
  const { type, payload, ...options } = parse(envelope, await readJson(ctx), WRONG_COMMAND);
  return {
    type,
    payload: parse(anyPayload, payload, WRONG_PAYLOAD),
    ...(options satisfies CommandOptions),
  };
}

function wholeNumber(least: number, most: number) {
  const expected = `expected a whole number from ${least} to ${most}`;
  return z.number(expected).refine((n) => Number.isInteger(n) && n >= least && n <= most, expected);
}
