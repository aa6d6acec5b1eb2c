// Where benches run: one throwaway PostgreSQL with production's durability, and a fresh database for each
// measurement.

import { randomUUID } from 'node:crypto';
import { Client } from 'pg';
import type { Binaries } from '../db/embedded/binaries.ts';
import { startCluster, type Cluster } from './cluster.ts';
import { ours } from './peers/ours.ts';
import type { Peer } from './peers/peer.ts';

export interface ContextOptions {
  quick: boolean;
  /** How many commands the long haul takes, where somebody said so. */
  commands?: number | undefined;
  /** PostgreSQL's, where it is not npm's. */
  binaries?: Binaries | undefined;
}

export interface BenchDatabase extends AsyncDisposable {
  name: string;
  url: string;
}

export class Context {
  readonly #url: string;
  readonly #binaries: Binaries | undefined;
  readonly #templates = new Map<Peer, Promise<BenchDatabase>>();
  /** One round and smaller numbers: three minutes for what is compared. */
  readonly quick: boolean;
  readonly commands: number | undefined;

  constructor(url: string, { quick, commands, binaries }: ContextOptions) {
    this.#url = url;
    this.#binaries = binaries;
    this.quick = quick;
    this.commands = commands;
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

  /** A database with that peer's schema in it, which is installed once and then copied. */
  async installed(peer: Peer): Promise<BenchDatabase> {
    let template = this.#templates.get(peer);
    if (!template) this.#templates.set(peer, (template = this.#install(peer)));
    return await this.database((await template).name);
  }

  /** The same with ours. */
  async migrated(): Promise<BenchDatabase> {
    return await this.installed(ours);
  }

  /** A PostgreSQL of the same version for a bench that restarts it, or needs settings of its own. */
  async cluster(settings: Record<string, string>): Promise<Cluster> {
    return await startCluster(this.#binaries, settings);
  }

  async #install(peer: Peer): Promise<BenchDatabase> {
    const database = await this.database();
    await peer.install(database.url);
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
