// The API's description: whole, valid, true to the command types that are published; and the page that
// shows it.

import type { ServerResponse } from 'node:http';
import { createConfig, lintFromString } from '@redocly/openapi-core';
import { Router } from '@koa/router';
import pino from 'pino';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { readCommandTypes } from '../../db/command-types.ts';
import { AgentDesks } from '../../server/agent-desks.ts';
import { createApp } from '../../server/app.ts';
import { Following } from '../../server/following.ts';
import { describeApi, type Document } from '../../server/openapi.ts';
import { useDatabase } from '../support/database.ts';
import { startHttpServer } from '../support/http-server.ts';
import { expectProblem } from '../support/problems.ts';
import { sendRaw } from '../support/raw-http.ts';
import { startServer, submit, useServer } from '../support/server.ts';
import { startSession } from '../support/session.ts';

const database = useDatabase();
const server = useServer(database);

async function describedNow(): Promise<Document> {
  return describeApi(await readCommandTypes(database().kysely));
}

/** What the linter says about a document; warnings as well. */
async function lint(document: object): Promise<string[]> {
  const config = await createConfig({ extends: ['recommended'] });
  const problems = await lintFromString({ source: JSON.stringify(document), config });
  return problems.map(({ severity, ruleId, message }) => `${severity} ${ruleId}: ${message}`);
}

async function publish(type: string, payloadSchema: unknown): Promise<void> {
  await database().pool.query(
    `insert into executor.command_types
       (type, description, payload_schema, result_schema, default_timeout)
     values ($1, 'A test.', $2, '{}', '1 min')`,
    [type, JSON.stringify(payloadSchema)],
  );
}

afterEach(() =>
  database().pool.query(`delete from executor.command_types where description = 'A test.'`),
);

describe('the document', () => {
  test('GET /openapi.json answers it, and 304 to those who have it', async () => {
    const response = await fetch(`${server().url}/openapi.json`);
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('application/json; charset=utf-8');
    expect(await response.json()).toEqual(JSON.parse(JSON.stringify(await describedNow())));
    const etag = response.headers.get('etag') ?? '';
    expect(etag).toMatch(/^W\/"[\w-]{22}"$/);
    const headers = { 'If-None-Match': etag };
    expect((await fetch(`${server().url}/openapi.json`, { headers })).status).toBe(304);
  });

  test('the linter finds no fault with it, and warns of nothing', async () => {
    expect(await lint(await describedNow())).toEqual([]);
  });

  test('nor without any command type', async () => {
    expect(await lint(describeApi([]))).toEqual([]);
  });

  test('every route that the server has is in it', async () => {
    const { paths } = await describedNow();
    const described = Object.entries(paths).flatMap(([path, operations]) =>
      Object.keys(operations).map((method) => `${method.toUpperCase()} ${path}`),
    );
    expect(described.sort()).toEqual(routes());
  });

  test('a submission is shown by type, with its schema and an example', async () => {
    const { paths, components } = await describedNow();
    expect(components.schemas['NewCommand']).toMatchObject({
      oneOf: expect.arrayContaining([{ $ref: '#/components/schemas/NewCommand.DELAY' }]),
      discriminator: {
        propertyName: 'type',
        mapping: { DELAY: '#/components/schemas/NewCommand.DELAY' },
      },
    });
    expect(components.schemas['NewCommand.DELAY']).toMatchObject({
      properties: {
        type: { const: 'DELAY' },
        payload: { $ref: '#/components/schemas/Payload.DELAY' },
        priority: { type: 'integer', minimum: -100, maximum: 100 },
        runAt: { type: 'string', format: 'date-time' },
      },
      required: ['type', 'payload'],
      additionalProperties: false,
    });
    expect(components.schemas['Payload.DELAY']).toMatchObject({
      properties: { ms: { type: 'integer', maximum: 604_800_000 } },
    });
    expect(paths['/commands']?.['post']?.requestBody?.content['application/json']).toMatchObject({
      examples: { DELAY: { value: { type: 'DELAY', payload: { ms: 1_000 } } } },
    });
  });

  test('a type that is published now is shown some seconds later at the latest', async () => {
    await fetch(`${server().url}/openapi.json`);
    await publish('LATER:THAN-THAT', { required: ['x'] });
    await expect
      .poll(
        async () => {
          const response = await fetch(`${server().url}/openapi.json`);
          return ((await response.json()) as Document).components.schemas;
        },
        { timeout: 15_000, interval: 500 },
      )
      .toHaveProperty(['Payload.LATER_THAN-THAT']);
  });

  test('payload schemas may refer to their own parts, and be anything else', async () => {
    await publish('OWN-PARTS', {
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      $id: 'https://example.org/tree',
      $ref: '#/$defs/node',
      $defs: {
        node: {
          type: 'object',
          properties: { children: { type: 'array', items: { $ref: '#/$defs/node' } } },
          examples: [{ $ref: 'is a name here', children: [] }],
        },
      },
    });
    await publish('A:B', { type: 'object' });
    await publish('A_B', {});
    for (const [i, schema] of [
      { type: 'nonsense' },
      { $ref: 'https://example.org/elsewhere' },
      { $ref: '#/$defs/missing' },
      { $dynamicRef: '#x' },
      { properties: { x: { $anchor: 'x' }, y: { $ref: '#x' } } },
      { allOf: 'nonsense' },
    ].entries())
      await publish(`BROKEN-${i}`, schema);
    const document = await describedNow();
    const { schemas } = document.components;
    const base = '#/components/schemas/Payload.OWN-PARTS/$defs/node';
    expect(schemas['Payload.OWN-PARTS']).toMatchObject({
      $ref: base,
      $defs: { node: { properties: { children: { items: { $ref: base } } } } },
    });
    expect(schemas['Payload.OWN-PARTS']).not.toHaveProperty('$id');
    expect(schemas).toHaveProperty(['Payload.A_B']);
    expect(schemas).toHaveProperty(['Payload.A_B_']);
    for (let i = 0; i < 6; i += 1)
      expect(schemas[`Payload.BROKEN-${i}`]).toEqual({ type: 'object' });
    expect((await lint(document)).filter((line) => line.startsWith('error'))).toEqual([]);
  });

  test('what it gives as an example works when it is sent', async () => {
    const { paths } = await describedNow();
    await using session = await startSession(database(), 'tried');
    for (const [path, { post }] of Object.entries(paths)) {
      // What agents say goes with a session that no example can know.
      if (post?.tags[0] === 'Agents over HTTP') continue;
      const media = post?.requestBody?.content['application/json'];
      const { example, examples = {} } = (media ?? {}) as {
        example?: unknown;
        examples?: Record<string, { value: unknown }>;
      };
      const bodies = [example, ...Object.values(examples).map(({ value }) => value)];
      for (const body of bodies.filter((one) => one !== undefined)) {
        const id = await submit(server().url, 'DELAY', { ms: 1 });
        if (path.endsWith('/retry')) await fetch(`${server().url}/commands/${id}/cancel`, POST);
        const known = path.startsWith('/agents') ? session.agentId : id;
        const shown = path.replace('{id}', known).replace('{name}', 'default');
        const response = await fetch(server().url + shown, {
          ...POST,
          headers: { 'Content-Type': 'application/json' },
          body: JSON.stringify(body),
        });
        expect({ path, body, ok: response.ok }).toEqual({ path, body, ok: true });
      }
    }
  });
});

const POST = { method: 'POST' };

/** What the server's router has, but the parts of the page. */
function routes(): string[] {
  const register = vi.spyOn(Router.prototype, 'register');
  const log = pino({ level: 'silent' });
  const following = new Following({ url: database().url, kysely: database().kysely, log });
  const desks = new AgentDesks({ database: database(), url: database().url, log });
  createApp({ database: database(), log, corsOrigins: ['*'], following, desks });
  const found = register.mock.calls.flatMap(([path, methods]) =>
    methods.map(
      (method: string) => `${method.toUpperCase()} ${String(path).replaceAll(/:(\w+)/g, '{$1}')}`,
    ),
  );
  register.mockRestore();
  return found.filter((route) => !route.startsWith('GET /docs/')).sort();
}

/** What a proxy does with a request. */
async function forward(path: string, response: ServerResponse): Promise<void> {
  const answer = await fetch(server().url + path);
  response.writeHead(answer.status, { 'Content-Type': answer.headers.get('content-type')! });
  response.end(Buffer.from(await answer.arrayBuffer()));
}

describe('the page', () => {
  test.each([
    ['/docs', 'docs/'],
    ['/docs/', ''],
  ])('%s loads its parts from addresses relative to its own', async (path, base) => {
    const response = await fetch(server().url + path);
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('text/html; charset=utf-8');
    const html = await response.text();
    const links = [...html.matchAll(/(?:src|href)="([^"]*)"/g)].map(([, link]) => link);
    expect(links).toEqual(
      [
        'swagger-ui.css',
        'favicon-32x32.png',
        'favicon-16x16.png',
        'openapi.json',
        'swagger-ui-bundle.js',
        'start.js',
      ].map((name) => base + name),
    );
    expect(html).not.toMatch(/https?:\/\/|<script>|style=|onload/);
  });

  test('works behind a path prefix', async () => {
    await using proxy = await startHttpServer((request, response) => {
      const [, path] = /^\/agent-executor(\/.*)$/.exec(request.url ?? '') ?? [];
      if (path) void forward(path, response);
      else response.writeHead(404).end();
    });
    for (const page of ['docs', 'docs/']) {
      const at = new URL(`/agent-executor/${page}`, proxy.url);
      const html = await (await fetch(at)).text();
      for (const [, link = ''] of html.matchAll(/(?:src|href)="([^"]*)"/g))
        expect((await fetch(new URL(link, at))).status).toBe(200);
    }
    const description = new URL('/agent-executor/docs/openapi.json', proxy.url);
    const document = (await (await fetch(description)).json()) as { servers: { url: string }[] };
    expect(new URL(document.servers[0]!.url, description).pathname).toBe('/agent-executor/');
  });

  test('may load and call nothing but this server', async () => {
    const policy = (await fetch(`${server().url}/docs`)).headers.get('content-security-policy');
    expect(policy).toBe(
      "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    );
  });

  test.each([
    ['swagger-ui.css', 'text/css; charset=utf-8', 100_000],
    ['swagger-ui-bundle.js', 'text/javascript; charset=utf-8', 1_000_000],
    ['start.js', 'text/javascript; charset=utf-8', 100],
    ['favicon-16x16.png', 'image/png', 500],
    ['favicon-32x32.png', 'image/png', 500],
  ])('%s is there as %s, and kept by browsers', async (name, type, leastBytes) => {
    const response = await fetch(`${server().url}/docs/${name}`);
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe(type);
    expect(response.headers.get('x-content-type-options')).toBe('nosniff');
    expect(response.headers.get('cache-control')).toBe('public, max-age=86400');
    expect((await response.arrayBuffer()).byteLength).toBeGreaterThan(leastBytes);
    const headers = { 'If-None-Match': response.headers.get('etag') ?? '' };
    expect((await fetch(`${server().url}/docs/${name}`, { headers })).status).toBe(304);
  });

  test.each([
    'index.html',
    'package.json',
    'swagger-ui.js.map',
    'toString',
    '__proto__',
    '..%2fpackage.json',
    '%2e%2e%2fpackage.json',
    '..%5cpackage.json',
    '%00',
    '%',
    'a/b',
    'swagger-ui.css/x',
  ])('/docs/%s is 404', async (name) => {
    const response = await fetch(`${server().url}/docs/${name}`);
    expect((await expectProblem(response, 404)).code).toBe('unknown_route');
  });

  test.each(['/docs/../package.json', '/docs/../../package.json', '/docs/./../package.json'])(
    'a client that does not tidy %s up gets 404 too',
    async (path) => {
      const request = `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`;
      expect((await sendRaw(server().url, request)).status).toBe(404);
    },
  );

  test('the linter finds no fault with what it shows either', async () => {
    await using own = await startServer(database());
    const response = await fetch(`${own.url}/docs/openapi.json`);
    expect(await lint((await response.json()) as object)).toEqual([]);
  });

  test('its examples are the newest command and an agent', async () => {
    await using session = await startSession(database(), 'shown');
    const id = await submit(server().url, 'DELAY', { ms: 1 });
    const response = await fetch(`${server().url}/docs/openapi.json`);
    const { parameters } = ((await response.json()) as Document).components;
    expect(parameters['CommandId']).toMatchObject({ example: id });
    expect(parameters['AgentId']).toMatchObject({ example: session.agentId });
  });

  test.each(['/docs', '/docs/openapi.json', '/docs/start.js', '/openapi.json'])(
    '%s takes no query',
    async (path) => {
      const problem = await expectProblem(await fetch(`${server().url}${path}?x=1`), 400);
      expect(problem.errors).toMatchObject([{ pointer: '#/query/x' }]);
    },
  );
});
