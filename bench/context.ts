// Where benches run: one throwaway PostgreSQL with production's durability, and a fresh database for each
// measurement.

import { randomUUID } from 'node:crypto';
import { Client } from 'pg';
import { commandTypes } from '../agent/executors/registry.ts';
import { migrate } from '../db/migrate.ts';

export class Context {
  readonly #url: string;
  /** Fewer rounds and smaller numbers: three minutes for all. */
  readonly quick: boolean;

  constructor(url: string, { quick }: { quick: boolean }) {
    this.#url = url;
    this.quick = quick;
  }

  /** How often a figure is measured. */
  get rounds(): number {
    return this.quick ? 1 : 5;
  }

  /** An empty database, or a copy of `template`; it is dropped at the scope's end. */
  async database(template = 'template1'): Promise<BenchDatabase> {
    const name = `bench_${randomUUID().replaceAll('-', '')}`;
    await this.#maintain(`create database ${name} template ${template}`);
    const url = new URL(this.#url);
    url.pathname = `/${name}`;
    const drop = () => this.#maintain(`drop database if exists ${name} with (force)`);
    return { name, url: url.href, [Symbol.asyncDispose]: drop };
  }

  /** The same with our schema in it. */
  async migrated(): Promise<BenchDatabase> {
    const database = await this.database();
    await migrate(database.url, { types: commandTypes() });
    return database;
  }

  async #maintain(statement: string): Promise<void> {
    const client = new Client(this.#url);
    await client.connect();
    try {
      await client.query(statement);
    } finally {
      await client.end();
    }
  }
}

export interface BenchDatabase extends AsyncDisposable {
  name: string;
  url: string;
}
