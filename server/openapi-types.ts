// Command types in the API's description: what each takes and answers, from executor.command_types.
//
// A command to submit is one of as many shapes as there are types: `NewCommand.DELAY` has the options that
// all have, and `Payload.DELAY`.

import type { CommandTypeDefinition } from '../db/command-types.ts';
import { embed, type Json } from './openapi-embed.ts';
import { sample } from './openapi-sample.ts';

export interface DescribedType {
  type: string;
  description: string;
  /** The name that components of it carry. */
  name: string;
  payload: Json;
  result: Json;
  /** A command that can be submitted, if its payload could be thought of. */
  example?: Json;
}

export function describeTypes(rows: CommandTypeDefinition[]): DescribedType[] {
  const names = new Set<string>();
  return rows.map(({ type, description, payloadSchema, resultSchema }) => {
    const name = nameOf(type, names);
    const payload = sample(payloadSchema as Json);
    return {
      type,
      description,
      name,
      payload: embed(payloadSchema as Json, `Payload.${name}`) ?? { type: 'object' },
      result: embed(resultSchema as Json, `Result.${name}`) ?? {},
      ...(payload && { example: { type, payload } }),
    };
  });
}

/** Adds them to the document's schemas, where `NewCommand` and `Command` are those of any type. */
export function addTypes(schemas: Record<string, Json>, types: DescribedType[]): void {
  const { NewCommand: any = {}, Command: command = {} } = schemas;
  const { result } = command['properties'] as { result: Json };
  for (const { type, description, name, payload, result: answer } of types) {
    schemas[`Payload.${name}`] = payload;
    schemas[`Result.${name}`] = answer;
    schemas[`NewCommand.${name}`] = {
      ...any,
      title: type,
      description,
      required: ['type', 'payload'],
      properties: {
        ...(any['properties'] as Json),
        type: { type: 'string', const: type },
        payload: refer(`Payload.${name}`),
      },
    };
  }
  if (types.length === 0) return;
  const variants = types.map(({ type, name }) => [type, refer(`NewCommand.${name}`)] as const);
  schemas['NewCommand'] = {
    type: 'object',
    required: ['type', 'payload'],
    oneOf: variants.map(([, variant]) => variant),
    discriminator: {
      propertyName: 'type',
      mapping: Object.fromEntries(variants.map(([type, variant]) => [type, variant.$ref])),
    },
  };
  // The last is for types that are not published any more.
  const results = types.map(({ name }) => refer(`Result.${name}`));
  result['anyOf'] = [{ type: 'null' }, ...results, { type: ANYTHING }];
}

const ANYTHING = ['object', 'array', 'string', 'number', 'boolean'];

function refer(component: string): { $ref: string } {
  return { $ref: `#/components/schemas/${component}` };
}

/** Component names know no colon. */
function nameOf(type: string, taken: Set<string>): string {
  let name = type.replaceAll(':', '_');
  while (taken.has(name)) name += '_';
  taken.add(name);
  return name;
}
