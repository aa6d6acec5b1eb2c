// The types that every agent carries out. A new one is a file beside this and its name in the list; one
// that is not for everybody is a file of the agent's own directory, see ../custom-executors.ts.

import { z } from 'zod';
import type { CommandTypeDefinition } from '../../db/command-types.ts';
import { delay } from './delay.ts';
import type { Executor, ExecutorRegistry } from './executor.ts';
import { httpGetJson } from './http-get-json.ts';
import { httpRequest } from './http-request.ts';

export const executors: ExecutorRegistry = createRegistry([delay, httpGetJson, httpRequest]);

/** @throws when two executors claim the same type. */
export function createRegistry(list: readonly Executor[]): ExecutorRegistry {
  const registry = new Map<string, Executor>();
  for (const executor of list) {
    if (registry.has(executor.type)) throw new Error(`two executors for type ${executor.type}`);
    registry.set(executor.type, executor);
  }
  return registry;
}

/** The contracts of a registry's types, for submitters and validators in any language. */
export function commandTypes(registry: ExecutorRegistry = executors): CommandTypeDefinition[] {
  return Array.from(registry.values(), (executor) => ({
    type: executor.type,
    description: executor.description,
    payloadSchema: z.toJSONSchema(executor.payload, { io: 'input' }),
    resultSchema: z.toJSONSchema(executor.result, { io: 'output' }),
    defaultTimeoutMs: executor.timeout.defaultMs,
    timeoutPayloadKey: executor.timeout.payloadKey ?? null,
  }));
}
