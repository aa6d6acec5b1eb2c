// What a type publishes must agree with what its executor does: a server that checks by the one must not
// accept what the other refuses.

import { Ajv2020 } from 'ajv/dist/2020.js';
import { expect } from 'vitest';
import type { Executor } from '../../agent/executors/executor.ts';
import { commandTypes, createRegistry } from '../../agent/executors/registry.ts';

const ajv = new Ajv2020({ strict: false, formats: { uri: (text) => URL.canParse(text) } });

/** Expects the published schema and the executor's own to say the same of a payload. */
export function expectPayload(executor: Executor, payload: unknown, accepted: boolean): void {
  const [published] = commandTypes(createRegistry([executor]));
  expect({
    published: ajv.validate(published!.payloadSchema, payload),
    own: executor.payload.safeParse(payload).success,
  }).toEqual({ published: accepted, own: accepted });
}
