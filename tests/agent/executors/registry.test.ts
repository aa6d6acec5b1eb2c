import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, test } from 'vitest';
import { delay } from '../../../agent/executors/delay.ts';
import { commandTypes, createRegistry, executors } from '../../../agent/executors/registry.ts';

const ajv = new Ajv2020({ formats: { uri: (text) => URL.canParse(text) } });

test('the built-in types are there by name', () => {
  expect([...executors.keys()]).toEqual(['DELAY', 'HTTP_GET_JSON', 'HTTP_REQUEST']);
});

test('two executors for one type are refused', () => {
  expect(() => createRegistry([delay, delay])).toThrow('two executors for type DELAY');
});

test('a type is published with its schemas and its default timeout', () => {
  const [published] = commandTypes();
  expect(published).toMatchObject({
    type: 'DELAY',
    description: expect.stringMatching(/\w/) as string,
    payloadSchema: {
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      properties: { ms: { type: 'integer', minimum: 0, maximum: 604_800_000 } },
      required: ['ms'],
      additionalProperties: false,
    },
    resultSchema: { required: ['ok', 'tookMs'], additionalProperties: false },
    defaultTimeoutMs: 60_000,
    timeoutPayloadKey: 'ms',
  });
});

test('a type whose timeout is fixed has no payload member for it', () => {
  expect(commandTypes()[1]).toMatchObject({ type: 'HTTP_GET_JSON', timeoutPayloadKey: null });
});

describe('the published schema and the executor agree', () => {
  test.each([
    ['DELAY', { ms: 0 }, true],
    ['DELAY', { ms: 604_800_000 }, true],
    ['DELAY', { ms: 604_800_001 }, false],
    ['DELAY', { ms: -1 }, false],
    ['DELAY', { ms: 0.5 }, false],
    ['DELAY', { ms: '1' }, false],
    ['DELAY', { ms: 1, more: 1 }, false],
    ['DELAY', {}, false],
    ['HTTP_GET_JSON', { url: 'http://example.com' }, true],
    ['HTTP_GET_JSON', { url: 'HTTPS://example.com:8443/a?b=c@d#e' }, true],
    ['HTTP_GET_JSON', { url: 'http://127.0.0.1/@me' }, true],
    ['HTTP_GET_JSON', { url: 'http://[::1]/ü' }, true],
    ['HTTP_GET_JSON', { url: `http://example.com/${'a'.repeat(8_173)}` }, true],
    ['HTTP_GET_JSON', { url: `http://example.com/${'a'.repeat(8_174)}` }, false],
    ['HTTP_GET_JSON', { url: 'http://example.com', more: 1 }, false],
    ['HTTP_GET_JSON', { url: 'not a url' }, false],
    ['HTTP_GET_JSON', { url: '' }, false],
    ['HTTP_GET_JSON', { url: '/relative' }, false],
    ['HTTP_GET_JSON', { url: 'http:example.com' }, false],
    ['HTTP_GET_JSON', { url: 'http://' }, false],
    ['HTTP_GET_JSON', { url: 'http:///' }, false],
    ['HTTP_GET_JSON', { url: 'http://example.com:99999' }, false],
    ['HTTP_GET_JSON', { url: 'http://exa mple.com' }, false],
    ['HTTP_GET_JSON', { url: ' http://example.com' }, false],
    ['HTTP_GET_JSON', { url: 'http://exa\nmple.com' }, false],
    ['HTTP_GET_JSON', { url: 'http://user:secret@example.com' }, false],
    ['HTTP_GET_JSON', { url: 'http://user@example.com' }, false],
    ['HTTP_GET_JSON', { url: 'http:////user:secret@example.com' }, false],
    ['HTTP_GET_JSON', { url: 'http://\\user:secret@example.com' }, false],
    ['HTTP_GET_JSON', { url: 'ftp://example.com' }, false],
    ['HTTP_GET_JSON', { url: 'file:///etc/passwd' }, false],
    ['HTTP_GET_JSON', { url: 'javascript:alert(1)' }, false],
    ['HTTP_GET_JSON', { url: 42 }, false],
    ['HTTP_GET_JSON', {}, false],
    ['HTTP_GET_JSON', null, false],
  ])('%s %j: %j', (type, payload, accepted) => {
    const published = commandTypes().find((definition) => definition.type === type)!;
    expect(ajv.validate(published.payloadSchema, payload)).toBe(accepted);
    expect(executors.get(type)!.payload.safeParse(payload).success).toBe(accepted);
  });
});
