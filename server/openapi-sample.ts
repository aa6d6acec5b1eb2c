// A payload to begin with, thought of from its schema: what it gives as an example, or the plainest
// values that its required members allow.

import { compilePayloadCheck } from './payload-schema.ts';

type Json = Record<string, unknown>;

const MAX_DEPTH = 8;
const PLAIN_NUMBER = 1_000;
const PLAIN_TEXTS: Record<string, string> = {
  uri: 'https://example.org/',
  'date-time': '2030-01-31T08:30:00Z',
  date: '2030-01-31',
  uuid: '00000000-0000-0000-0000-000000000000',
  email: 'someone@example.org',
};

/** One that the schema allows, or undefined. */
export function sample(schema: Json): Json | undefined {
  const value = thinkOf(schema, 0);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  return isAllowed(schema, value) ? (value as Json) : undefined;
}

function isAllowed(schema: Json, value: object): boolean {
  try {
    return compilePayloadCheck(schema)(value).length === 0;
  } catch {
    return false;
  }
}

function thinkOf(schema: unknown, depth: number): unknown {
  if (typeof schema !== 'object' || schema === null || depth > MAX_DEPTH) return {};
  const { examples, enum: words, type, minItems } = schema as Json;
  if (Array.isArray(examples) && examples.length > 0) return examples[0];
  if ('const' in schema) return schema.const;
  if ('default' in schema) return schema.default;
  if (Array.isArray(words)) return words[0];
  const kind: unknown = Array.isArray(type) ? type[0] : type;
  if (kind === 'string') return plainText(schema as Json);
  if (kind === 'integer' || kind === 'number') return plainNumber(schema as Json);
  if (kind === 'boolean') return true;
  if (kind === 'null') return null;
  if (kind === 'array') return minItems ? [thinkOf((schema as Json)['items'], depth + 1)] : [];
  return plainObject(schema as Json, depth);
}

function plainObject({ properties, required }: Json, depth: number): Json {
  const names = Array.isArray(required) ? required.map(String) : [];
  const schemas = (properties ?? {}) as Json;
  return Object.fromEntries(names.map((name) => [name, thinkOf(schemas[name], depth + 1)]));
}

function plainNumber({ minimum, maximum }: Json): number {
  const least = typeof minimum === 'number' ? minimum : 0;
  const most = typeof maximum === 'number' ? maximum : PLAIN_NUMBER;
  return Math.min(Math.max(PLAIN_NUMBER, least), most);
}

function plainText({ format, minLength }: Json): string {
  return PLAIN_TEXTS[String(format)] ?? 'text'.padEnd(Math.min(Number(minLength ?? 0), 100), '.');
}
