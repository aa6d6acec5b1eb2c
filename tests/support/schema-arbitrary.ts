// Values that a JSON Schema allows, as far as the API's own description uses it.

import * as fc from 'fast-check';

export type Json = Record<string, unknown>;

/** JSON that a server takes in: `__proto__` is refused. */
const anyJson = fc.jsonValue({ maxDepth: 2 }).filter(isHarmless);
const anyObject = fc.dictionary(fc.string({ maxLength: 8 }), anyJson, { maxKeys: 3 });

/** Where references lead, and what says whether a value is one of a schema's. */
export interface Schemas {
  document: Json;
  allows(schema: unknown, value: unknown): boolean;
}

export function valuesOf(schema: unknown, schemas: Schemas): fc.Arbitrary<unknown> {
  if (typeof schema !== 'object' || schema === null) return anyJson;
  const { $ref, oneOf, anyOf, const: only, enum: words, type } = schema as Json;
  if (typeof $ref === 'string') {
    const values = valuesOf(resolve($ref, schemas.document), schemas);
    // Command types' schemas say more than is understood here.
    const isPayload = $ref.includes('/Payload.');
    return isPayload ? values.filter((value) => schemas.allows(schema, value)) : values;
  }
  if ('const' in schema) return fc.constant(only);
  if (words) return fc.constantFrom(...(words as unknown[]));
  const choices = 'properties' in schema ? undefined : ((oneOf ?? anyOf) as unknown[] | undefined);
  if (choices) return fc.oneof(...choices.map((choice) => valuesOf(choice, schemas)));
  const kinds = [type].flat();
  return fc.oneof(...kinds.map((kind) => valuesOfType(kind, schema as Json, schemas)));
}

/** What a JSON pointer in its URI fragment form leads to. */
export function resolve(pointer: string, document: Json): unknown {
  const segments = pointer.slice(2).split('/');
  return segments.reduce<unknown>((value, segment) => {
    const name = decodeURIComponent(segment).replaceAll('~1', '/').replaceAll('~0', '~');
    return (value as Json)[name];
  }, document);
}

function valuesOfType(type: unknown, schema: Json, schemas: Schemas): fc.Arbitrary<unknown> {
  if (type === 'string') return texts(schema);
  if (type === 'integer') return integers(schema);
  if (type === 'number') return numbers(schema);
  if (type === 'boolean') return fc.boolean();
  if (type === 'null') return fc.constant(null);
  if (type === 'array') return arrays(schema, schemas);
  if (type === 'object') return objects(schema, schemas);
  return anyJson;
}

function texts({ format, pattern, minLength = 0, maxLength = 100 }: Json): fc.Arbitrary<string> {
  if (format === 'uuid') return fc.uuid();
  if (format === 'uri') return fc.webUrl();
  if (format === 'date-time') return times();
  if (typeof pattern === 'string') return fc.stringMatching(new RegExp(pattern));
  return fc
    .string({
      unit: 'grapheme',
      minLength: Number(minLength),
      maxLength: Math.min(Number(maxLength), 50),
    })
    .filter((text) => Buffer.byteLength(text) <= Number(maxLength));
}

function times(): fc.Arbitrary<string> {
  const range = { min: new Date('2000-01-01'), max: new Date('2100-01-01'), noInvalidDate: true };
  const offset = fc.constantFrom('Z', '+02:00', '-09:30');
  return fc
    .tuple(fc.date(range), offset)
    .map(([date, zone]) => date.toISOString().replace('Z', zone));
}

function integers({ minimum, maximum }: Json): fc.Arbitrary<number> {
  const least = Number(minimum ?? -1_000);
  const most = Number(maximum ?? Math.max(1_000, least + 1_000));
  return fc.oneof(
    fc.maxSafeInteger().map((n) => least + (Math.abs(n) % (most - least + 1))),
    fc.constantFrom(least, most),
  );
}

function numbers({ minimum = -1e6, maximum = 1e6 }: Json): fc.Arbitrary<number> {
  return fc.double({ min: Number(minimum), max: Number(maximum), noNaN: true });
}

function arrays(schema: Json, schemas: Schemas): fc.Arbitrary<unknown[]> {
  const { items, minItems, maxItems, uniqueItems } = schema;
  const values = valuesOf(items, schemas);
  const bounds = {
    minLength: Number(minItems ?? 0),
    maxLength: Math.min(Number(maxItems ?? 4), 4),
  };
  return uniqueItems ? fc.uniqueArray(values, { ...bounds, selector }) : fc.array(values, bounds);
}

/** What must not come twice: items of one id or type are the same here. */
function selector(item: unknown): string {
  const { id, type } = (typeof item === 'object' && item !== null ? item : {}) as Json;
  return JSON.stringify(id ?? type ?? item);
}

function objects(schema: Json, schemas: Schemas): fc.Arbitrary<unknown> {
  const { properties, required = [], minProperties = 0, oneOf, dependentSchemas = {} } = schema;
  if (!properties) return anyObject;
  const members = Object.entries(properties as Json);
  const model = Object.fromEntries(
    members.map(([name, member]) => [name, valuesOf(member, schemas)]),
  );
  const always = required as string[];
  if (Array.isArray(oneOf))
    return fc
      .oneof(...alternatives(oneOf as Alternative[], model, always))
      .filter((value) => schemas.allows(schema, value));
  return fc
    .record(model, { requiredKeys: always })
    .map((value) => withoutExcluded(value, dependentSchemas as Record<string, Json>))
    .filter((value) => Object.keys(value).length >= Number(minProperties));
}

interface Alternative {
  required: string[];
}

type Model = Record<string, fc.Arbitrary<unknown>>;

/** Each with the members that it requires, and without those of the others. */
function alternatives(oneOf: Alternative[], model: Model, always: string[]) {
  const all = oneOf.flatMap(({ required }) => required);
  return oneOf.map(({ required }) => {
    const own = Object.entries(model).filter(
      ([name]) => !all.includes(name) || required.includes(name),
    );
    return fc.record(Object.fromEntries(own), { requiredKeys: [...always, ...required] });
  });
}

function withoutExcluded(value: Json, dependent: Record<string, Json>): Json {
  const excluded = Object.entries(dependent).flatMap(([name, { properties }]) =>
    name in value ? Object.keys(properties as Json) : [],
  );
  return Object.fromEntries(Object.entries(value).filter(([name]) => !excluded.includes(name)));
}

function isHarmless(value: unknown): boolean {
  return !JSON.stringify(value).includes('__proto__');
}
