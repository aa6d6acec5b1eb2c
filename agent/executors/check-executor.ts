// Checks what somebody wrote as an executor, which no compiler may have seen.

import { z } from 'zod';
import type { Executor } from './executor.ts';
import { commandTypes, createRegistry } from './registry.ts';
import { toStorable } from './storable.ts';

const TYPE_NAME = /^[A-Za-z0-9_.:-]{1,64}$/;
const LONGEST_TIMEOUT_MS = 30 * 86_400_000;

const schema = z.custom<z.ZodType>(isSchema, 'expected a schema of zod 4');

const Shape = z.object({
  type: z.string().regex(TYPE_NAME, 'expected 1 to 64 of the characters A-Z a-z 0-9 _ . : -'),
  description: z.string().min(1).max(10_000),
  payload: schema,
  result: schema,
  timeout: z.object({
    defaultMs: z.int().min(1).max(LONGEST_TIMEOUT_MS),
    payloadKey: z.string().optional(),
  }),
  execute: z.custom<Executor['execute']>((it) => typeof it === 'function', 'expected a function'),
});

/**
 * The executor that somebody wrote, as a plain object, whatever it was before: others copy executors
 * member by member.
 *
 * @throws Error that says all that is wrong with it.
 */
export function checkExecutor(candidate: object): Executor {
  const parsed = Shape.safeParse(candidate);
  if (!parsed.success) throw new Error(parsed.error.issues.map(describeIssue).join('; '));
  const { timeout, ...shape } = parsed.data;
  const { defaultMs, payloadKey } = timeout;
  const executor: Executor = {
    ...shape,
    timeout: payloadKey === undefined ? { defaultMs } : { defaultMs, payloadKey },
    execute: (payload, context) => (candidate as Executor).execute(payload, context),
  };
  assertPublishable(executor);
  return executor;
}

function describeIssue({ path, message }: z.core.$ZodIssue): string {
  return `${path.join('.')}: ${message}`;
}

/** @throws Error when the contract cannot be JSON Schema, or one that no payload can meet. */
function assertPublishable(executor: Executor): void {
  const [contract] = commandTypes(createRegistry([executor]));
  if (!contract) return;
  const { type = 'object' } = contract.payloadSchema as { type?: unknown };
  if (type !== 'object') throw new Error('payload: every payload is an object');
  const text = JSON.stringify(contract);
  if (JSON.stringify(toStorable(contract)) !== text) {
    throw new Error('its description or schemas hold characters that Postgres cannot store');
  }
}

/** One of any copy of zod: what a file imports need not be ours. */
function isSchema(value: unknown): boolean {
  return typeof value === 'object' && value !== null && '_zod' in value && 'safeParse' in value;
}
