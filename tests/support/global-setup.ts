// One server for the whole project, with a migrated database that every test file clones.

import { Client } from 'pg';
import type { TestProject } from 'vitest/node';
import { commandTypes } from '../../agent/executors/registry.ts';
import { migrate } from '../../db/migrate.ts';
import { findPostgres15, startTestPostgres } from './postgres.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    /** The server's maintenance database. */
    postgresUrl: string;
  }
}

export const TEMPLATE = 'executor_template';

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const server = await startTestPostgres(
    project.name === 'postgres-15' ? findPostgres15() : undefined,
  );
  project.provide('postgresUrl', server.url);
  const client = new Client(server.url);
  await client.connect();
  await client.query(`create database ${TEMPLATE}`);
  await client.end();
  const template = new URL(server.url);
  template.pathname = `/${TEMPLATE}`;
  await migrate(template.href, { types: commandTypes() });
  return () => server.stop();
}
