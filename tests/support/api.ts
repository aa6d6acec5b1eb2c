// The API as it describes itself: its operations, and a check of what they answer.

import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import assert from 'node:assert/strict';
import { type Json, resolve } from './schema-arbitrary.ts';

export interface Operation {
  method: string;
  path: string;
  parameters: Parameter[];
  bodySchema: unknown;
  bodyRequired: boolean;
  responses: Record<string, Answer>;
}

export interface Parameter {
  in: 'path' | 'query' | 'header';
  name: string;
  required?: boolean;
  /** Of a list: false where it is one text with commas between. */
  explode?: boolean;
  schema: Json;
}

interface Answer {
  headers?: Record<string, { required?: boolean }>;
  content?: Record<string, { schema: unknown }>;
}

export class Api {
  readonly document: Json;
  readonly operations: Operation[];
  readonly #ajv: Ajv2020;
  readonly #checks = new Map<string, ValidateFunction>();

  constructor(document: Json) {
    this.document = closed(document);
    this.operations = Object.entries(this.document['paths'] as Record<string, Json>).flatMap(
      ([path, item]) =>
        Object.entries(item).map(([method, operation]) =>
          this.#operation(path, method.toUpperCase(), operation as Json),
        ),
    );
    this.#ajv = new Ajv2020({ strict: false, allErrors: true, formats: FORMATS });
    this.#ajv.addSchema(this.document, 'api');
  }

  /** Asserts that an answer is one that the operation says it gives, in status, headers and body. */
  async assertDocumented(operation: Operation, response: Response): Promise<void> {
    const answer = operation.responses[response.status];
    if (!answer) throw new Error(`the status ${response.status} is not documented`);
    for (const [name, { required }] of Object.entries(answer.headers ?? {}))
      assert.ok(!required || response.headers.has(name), `the header ${name} is missing`);
    assert.equal(response.headers.get('x-content-type-options'), 'nosniff');
    const [type = ''] = (response.headers.get('content-type') ?? '').split(';');
    if (!answer.content) return assert.equal(await response.text(), '');
    const media = answer.content[type];
    if (!media)
      throw new Error(`the content type ${type} is not documented for ${response.status}`);
    if (response.status >= 400) assert.equal(type, 'application/problem+json');
    if (type.endsWith('json')) this.#assertValid(media.schema, await response.json(), response);
    else await response.body?.cancel();
  }

  allows(schema: unknown, value: unknown): boolean {
    return this.#check(schema)(value);
  }

  #check(schema: unknown): ValidateFunction {
    const text = JSON.stringify(schema).replaceAll('"$ref":"#/', '"$ref":"api#/');
    const check = this.#checks.get(text) ?? this.#ajv.compile(JSON.parse(text) as object);
    this.#checks.set(text, check);
    return check;
  }

  #assertValid(schema: unknown, body: unknown, response: Response): void {
    const check = this.#check(schema);
    if (!check(body)) throw new Error(`not as documented: ${this.#ajv.errorsText(check.errors)}`);
    if (response.status < 400) return;
    const { status, requestId, errors } = body as { status: number; requestId: string; errors: [] };
    assert.equal(status, response.status);
    assert.equal(requestId, response.headers.get('x-request-id'));
    assert.notEqual(errors.length, 0, 'a problem without errors');
  }

  #operation(path: string, method: string, operation: Json): Operation {
    const { parameters = [], requestBody, responses } = operation;
    const body = requestBody as { required?: boolean; content: Record<string, Json> } | undefined;
    return {
      method,
      path,
      parameters: (parameters as Json[]).map((one) => this.#resolved(one) as unknown as Parameter),
      bodySchema: body?.content['application/json']?.['schema'],
      bodyRequired: body?.required ?? false,
      responses: Object.fromEntries(
        Object.entries(responses as Record<string, Json>).map(([status, answer]) => {
          const { headers = {}, ...rest } = this.#resolved(answer);
          return [status, { ...rest, headers: this.#resolvedAll(headers as Json) } as Answer];
        }),
      ),
    };
  }

  #resolved(part: Json): Json {
    const { $ref } = part;
    return typeof $ref === 'string' ? (resolve($ref, this.document) as Json) : part;
  }

  #resolvedAll(parts: Json): Json {
    return Object.fromEntries(
      Object.entries(parts).map(([name, part]) => [name, this.#resolved(part as Json)]),
    );
  }
}

const ISO_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/;

const FORMATS = {
  'date-time': ISO_TIME,
  uuid: /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i,
  uri: (text: string) => URL.canParse(text),
};

/** The document promises that members are there; here it also has to name all that are. */
function closed(document: Json): Json {
  const { schemas = {}, ...components } = document['components'] as Record<string, Json>;
  const own = Object.entries(schemas).map(([name, schema]) => [
    name,
    /^(Payload|Result|NewCommand)\./.test(name) ? schema : close(schema),
  ]);
  const paths = close(document['paths']);
  return { ...document, paths, components: { ...components, schemas: Object.fromEntries(own) } };
}

function close(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(close);
  if (typeof value !== 'object' || value === null) return value;
  const copy = Object.fromEntries(Object.entries(value).map(([key, part]) => [key, close(part)]));
  if (copy['type'] === 'object' && copy['properties']) copy['additionalProperties'] ??= false;
  return copy;
}
