// A JSON Schema from elsewhere as a component of the API's description: a document has one dialect and one
// base, so references to parts of the schema itself are turned accordingly.

import { compilePayloadCheck } from './payload-schema.ts';

export type Json = Record<string, unknown>;

/**
 * The schema as it reads under `#/components/schemas/<component>`, or undefined: it does not compile, or
 * leans on one that is elsewhere. Such a schema checks nothing; see payloads.ts.
 */
export function embed(schema: Json, component: string): Json | undefined {
  try {
    compilePayloadCheck(schema);
    const { $schema: _dialect, $id: _base, ...own } = schema;
    return turn(own, `#/components/schemas/${component}`) as Json;
  } catch {
    return undefined;
  }
}

/** Members whose value is data, and those whose value is schemas by name. */
const DATA = new Set(['const', 'enum', 'default', 'example', 'examples']);
const NAMED = new Set([
  'properties',
  'patternProperties',
  '$defs',
  'definitions',
  'dependentSchemas',
]);
/** What refers, or is referred to, in other ways than by a path in the document. */
const ELSEWHERE = new Set(['$id', '$anchor', '$dynamicRef', '$dynamicAnchor', '$recursiveRef']);

function turn(schema: unknown, base: string): unknown {
  if (Array.isArray(schema)) return schema.map((part) => turn(part, base));
  if (typeof schema !== 'object' || schema === null) return schema;
  const turned: Json = {};
  for (const [key, value] of Object.entries(schema)) {
    if (ELSEWHERE.has(key)) throw new Error(`${key} cannot be shown`);
    if (key === '$ref') turned[key] = turnReference(value, base);
    else if (DATA.has(key)) turned[key] = value;
    else if (NAMED.has(key) && typeof value === 'object' && value !== null)
      turned[key] = Object.fromEntries(
        Object.entries(value).map(([name, part]) => [name, turn(part, base)]),
      );
    else turned[key] = turn(value, base);
  }
  return turned;
}

function turnReference(reference: unknown, base: string): string {
  if (typeof reference !== 'string' || !/^#(\/|$)/.test(reference))
    throw new Error('a reference to elsewhere cannot be shown');
  return `${base}${reference.slice(1)}`;
}
