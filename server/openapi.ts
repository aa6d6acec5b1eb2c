// The API's description, OpenAPI 3.1: made from the schemas that check requests, and from the command types
// that are published.

import { createDocument, type CreateDocumentOptions, type ZodOpenApiObject } from 'zod-openapi';
import packageJson from '../package.json' with { type: 'json' };
import type { CommandTypeDefinition } from '../db/command-types.ts';
import { agentPaths, serverPaths } from './openapi-agents.ts';
import { commandPaths } from './openapi-commands.ts';
import type { Json } from './openapi-embed.ts';
import { eventPaths } from './openapi-events.ts';
import { queuePaths, typePaths } from './openapi-queues.ts';
import { sessionPaths } from './openapi-sessions.ts';
import { steeringPaths } from './openapi-steering.ts';
import { addTypes, type DescribedType, describeTypes } from './openapi-types.ts';

/** A document whose schemas are none of zod's any more. */
export interface Document {
  /** Where the API is, relative to the document's own address. */
  servers: { url: string }[];
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Json>; parameters: Record<string, Json> };
}

interface Operation {
  tags: string[];
  requestBody?: { content: { 'application/json': Json } };
}

export function describeApi(rows: CommandTypeDefinition[]): Document {
  const document = createDocument(ABOUT, OPTIONS) as unknown as Document;
  const types = describeTypes(rows);
  addTypes(document.components.schemas, types);
  addCommandExamples(document, types);
  return document;
}

/** The same for the page that lies under `/docs/`, with ids to try things with. */
export function describeForPage(
  { components, ...document }: Document,
  examples: { commandId: string | undefined; agentId: string | undefined },
): Document {
  const { CommandId, AgentId, ...others } = components.parameters;
  const parameters = {
    ...others,
    CommandId: { ...CommandId, example: examples.commandId },
    AgentId: { ...AgentId, example: examples.agentId },
  };
  return { ...document, servers: [{ url: '..' }], components: { ...components, parameters } };
}

const FORMATS = new Set<string | undefined>(['date-time', 'uuid']);

const OPTIONS: CreateDocumentOptions = {
  allowEmptySchema: { custom: true, transform: true },
  override: ({ jsonSchema, zodSchema, io }) => {
    const { def } = zodSchema._zod;
    // Patterns that say what the type or the format says already.
    if (jsonSchema.type === 'integer' || FORMATS.has(jsonSchema.format)) {
      delete jsonSchema.pattern;
      delete jsonSchema.allOf;
    }
    // Answers may have more members one day, requests not.
    if (io === 'output' && def.type === 'object' && !('catchall' in def && def.catchall))
      delete jsonSchema.additionalProperties;
  },
};

const ABOUT: ZodOpenApiObject = {
  openapi: '3.1.1',
  info: {
    title: 'agent-executor',
    version: packageJson.version,
    summary: 'Commands, executed by agents, kept in Postgres.',
    description:
      'Submit commands, follow them, steer them. Times are ISO 8601; what is not there is null. A ' +
      'request that is refused is answered with a problem (RFC 9457) that says what is wrong and where.',
    license: { name: 'MIT', identifier: 'MIT' },
  },
  servers: [{ url: '.' }],
  security: [],
  tags: [
    { name: 'Commands', description: 'Submitting them and looking at them.' },
    { name: 'Following', description: 'Seeing what becomes of them.' },
    { name: 'Steering', description: 'Cancelling and retrying them.' },
    { name: 'Queues', description: 'Where they wait for agents.' },
    { name: 'Command types', description: 'What each of them takes and answers.' },
    { name: 'Agents', description: 'Who executes them.' },
    { name: 'Agents over HTTP', description: 'What an agent in any language says.' },
    { name: 'Server', description: 'The server itself.' },
  ],
  paths: {
    ...commandPaths,
    ...eventPaths,
    ...steeringPaths,
    ...queuePaths,
    ...typePaths,
    ...agentPaths,
    ...sessionPaths,
    '/agents': { ...agentPaths['/agents'], ...sessionPaths['/agents'] },
    ...serverPaths,
  },
};

function addCommandExamples({ paths }: Document, types: DescribedType[]): void {
  const commands = types.flatMap(({ example }) => example ?? []);
  if (commands.length === 0) return;
  const one = paths['/commands']?.['post']?.requestBody?.content['application/json'];
  const many = paths['/commands/batch']?.['post']?.requestBody?.content['application/json'];
  if (one)
    one['examples'] = Object.fromEntries(
      types.flatMap(({ name, example }) => (example ? [[name, { value: example }]] : [])),
    );
  if (many) many['example'] = { commands: commands.slice(0, 2) };
}
