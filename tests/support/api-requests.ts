// Requests to an operation: such as its description allows, and such as nobody should send.

import * as fc from 'fast-check';
import type { Api, Operation, Parameter } from './api.ts';
import { type Json, valuesOf } from './schema-arbitrary.ts';

export interface ApiRequest {
  /** Whether the description allows it: then it may not be refused as malformed. */
  isAllowed: boolean;
  /** What comes for `{id}` or `{name}`: a number stands for one of those that are known. */
  id: string | number;
  query: string;
  headers: Record<string, string>;
  body?: string;
}

export function requestsTo(api: Api, operation: Operation): fc.Arbitrary<ApiRequest> {
  const allowed = allowedRequests(api, operation);
  return fc.oneof(
    { weight: 2, arbitrary: allowed },
    {
      weight: 3,
      arbitrary: fc.tuple(allowed, spoilings(operation)).map(([one, spoil]) => spoil(one)),
    },
  );
}

/** For what holds a request up: rarely a second. */
const WAITS = fc.nat(15).map((n) => (n === 0 ? '1' : '0'));

/** Only such as the description allows. */
export function allowedRequests(api: Api, operation: Operation): fc.Arbitrary<ApiRequest> {
  const { parameters, bodySchema, bodyRequired } = operation;
  const own = parameters.filter((parameter) => parameter.in === 'query');
  const query = fc.record(Object.fromEntries(own.map((one) => [one.name, queryValues(one, api)])), {
    requiredKeys: own.flatMap(({ name, required }) => (required ? [name] : [])),
  });
  const headers = fc.record(
    Object.fromEntries(
      parameters
        .filter((parameter) => parameter.in === 'header')
        .map(({ name }) => [name, HEADERS[name] ?? fc.constant('x')]),
    ),
    { requiredKeys: [] },
  );
  const bodies = bodySchema ? valuesOf(bodySchema, api) : fc.constant(undefined);
  return fc
    .record({
      id: fc.oneof({ weight: 4, arbitrary: fc.nat() }, { weight: 1, arbitrary: fc.uuid() }),
      query,
      headers,
      body: bodyRequired ? bodies : fc.option(bodies, { nil: undefined }),
    })
    .map(({ id, query: parts, headers: given, body }) => ({
      isAllowed: true,
      id,
      query: new URLSearchParams(Object.values(parts).flatMap((pairs) => pairs ?? [])).toString(),
      headers: withoutSecondKey(given as Record<string, string>, body),
      ...(body !== undefined && { body: JSON.stringify(body) }),
    }));
}

/** Each value as pairs of a name and a text: a list is a parameter that repeats, or has commas. */
function queryValues(
  { name, schema, explode }: Parameter,
  api: Api,
): fc.Arbitrary<[string, string][]> {
  if (name === 'wait' && !('const' in schema)) return WAITS.map((text) => [[name, text]]);
  if (name === 'cursor' || name === 'after') return fc.constant([]);
  return valuesOf({ minItems: 1, ...schema }, api).map((value) =>
    [explode === false ? String(value) : value]
      .flat()
      .map((one): [string, string] => [name, String(one)]),
  );
}

const FEW_KEYS = fc.constantFrom('k1', 'k2', '"k1"', '"quoted \\" key"', 'x'.repeat(255));
const HEADERS: Record<string, fc.Arbitrary<string>> = {
  'X-Request-Id': fc.stringMatching(/^[\w.:-]{1,128}$/),
  'Idempotency-Key': FEW_KEYS,
  Prefer: WAITS.map((seconds) => `wait=${seconds}`),
  'If-None-Match': fc.constantFrom('*', 'W/"1"', '"a", "b"'),
  'Last-Event-ID': fc.constantFrom('0', '1893400200000000-COMPLETED'),
};

/** One key is enough. */
function withoutSecondKey(headers: Record<string, string>, body: unknown): Record<string, string> {
  const { 'Idempotency-Key': key, ...others } = headers;
  const hasKey = typeof body === 'object' && body !== null && 'idempotencyKey' in body;
  return key === undefined || hasKey ? others : headers;
}

type Spoil = (request: ApiRequest) => ApiRequest;

/** What makes a request one that should not be sent, if it does not happen to be harmless. */
function spoilings({ parameters, bodySchema }: Operation): fc.Arbitrary<Spoil> {
  const names = parameters.map(({ name }) => name);
  const isOfOne = parameters.some((parameter) => parameter.in === 'path');
  const text = fc.constantFrom(...JUNK_TEXTS);
  const choices: fc.Arbitrary<Spoil>[] = [
    fc
      .tuple(fc.constantFrom(...names, 'x', '__proto__', 'a[b]'), fc.constantFrom(...JUNK_QUERIES))
      .map(([name, junk]) => changing(({ query }) => ({ query: `${query}&${name}=${junk}` }))),
    fc.constantFrom(...JUNK_QUERIES).map((query) => changing(() => ({ query }))),
    fc
      .tuple(fc.constantFrom(...names, 'X-Other'), fc.constantFrom(...JUNK_HEADERS))
      .map(([name, junk]) =>
        changing(({ headers }) => ({ headers: { ...headers, [name]: junk } })),
      ),
  ];
  if (isOfOne) choices.push(fc.constantFrom(...JUNK_IDS).map((id) => changing(() => ({ id }))));
  if (bodySchema)
    choices.push(
      text.map((body) => changing(() => ({ body }))),
      fc
        .constantFrom(...JUNK_TYPES)
        .map((type) =>
          changing(({ headers }) => ({ headers: { ...headers, 'Content-Type': type } })),
        ),
      ...Array.from({ length: 4 }, () =>
        fc
          .tuple(fc.nat(), fc.constantFrom(...JUNK_VALUES))
          .map(([at, junk]) =>
            changing(({ body = '{}' }) => ({ body: replaceOne(body, at, junk) })),
          ),
      ),
    );
  return fc.oneof(...choices);
}

function changing(change: (request: ApiRequest) => Partial<ApiRequest>): Spoil {
  return (request) => ({ ...request, ...change(request), isAllowed: false });
}

const PLACE = 'here comes junk';

/** Puts junk in the place of one of a JSON text's values, or beside its members. */
function replaceOne(text: string, at: number, junk: string): string {
  const values: { holder: Json; key: string }[] = [];
  const root = { value: JSON.parse(text) as unknown };
  visit(root, values);
  const { holder, key } = values[at % values.length]!;
  const value = holder[key];
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
  holder[key] = isObject && at % 3 === 0 ? { ...value, [`extra${at % 7}`]: PLACE } : PLACE;
  return JSON.stringify(root.value).replace(JSON.stringify(PLACE), () => junk);
}

function visit(holder: Json, found: { holder: Json; key: string }[]): void {
  for (const [key, value] of Object.entries(holder)) {
    found.push({ holder, key });
    if (typeof value === 'object' && value !== null) visit(value as Json, found);
  }
}

const LONG = 'x'.repeat(5_000);

const JUNK_TEXTS = ['', '\u0000', `"${LONG}"`, ...words('{ null [] "" 1 true {"a":1}{ [[[[')];

/** JSON, more or less. */
const JUNK_VALUES = words(`
  null true 0 -1 1.5 1e308 1e400 1e-400 123456789012345678901234567890 NaN - \u0001
  "" "x" "\\u0000" "\\ud800" "%00" "2030-02-30T00:00:00Z" "${LONG}"
  [] [null] [[]] {} {"":0} {"__proto__":1} {"a":{"b":{}}}`);

const JUNK_QUERIES = [
  '',
  ...words(`
    = && -1 0 1e9 1.5 null true a,b , % %00 %ff %ED%A0%80 %F0%9F%A6%86 '%20or%201=1-- %0d%0aX-A:%20b
    2030-02-30T00:00:00Z 0000-01-01T00:00:00Z 9999-12-31T23:59:59.999999Z now infinity W10 WyIiLCIiXQ
    ${LONG}`),
];

const JUNK_IDS = words(`
  x 0 -1 null % %00 %ff %0d%0a ..%2f.. %F0%9F%A6%86 '%20or%201=1 ${LONG}
  0198a0de-0000-7000-8000-00000000000g {0198a0de-0000-7000-8000-000000000001}`);

const JUNK_HEADERS = ['', 'a, b', 'a\tb', ...words(`"" " "\\" wait=-1 wait é 0 * ${LONG}`)];

const JUNK_TYPES = [
  '',
  'application/json; charset=latin1',
  ...words(`
    text/plain application/jsonp application/json; multipart/form-data application/problem+json ;
    application/x-www-form-urlencoded`),
];

function words(text: string): string[] {
  return text.trim().split(/\s+/);
}
