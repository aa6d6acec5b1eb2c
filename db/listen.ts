// One connection that listens, and says so when it (re)connects: NOTIFY is a hint, so whoever listens
// must look for itself after every gap.
//
// A silent connection may be dead. Whoever owns the listener sends its regular statement (a beat)
// through `query`; when that gets no answer in time the connection is dropped and made anew.

import { Client, DatabaseError } from 'pg';
import type { Logger } from '../runtime/log.ts';
import { jitteredBackoffMs } from './backoff.ts';
import { clientConfig } from './client-config.ts';

const QUERY_TIMEOUT_MS = 5_000;

export interface ListenerOptions {
  applicationName: string;
  /** Comes first on every connection, before LISTEN; when it fails the connection is dropped. */
  prepare?: (connection: Client) => Promise<void>;
  channels: string[];
  onNotification: (channel: string, payload: string) => void;
  /** LISTEN is in force, at first and after each reconnect: look for what was missed. */
  onListening: () => void;
  /** What a statement of ours raised as a notice or a warning. */
  onNotice?: (message: string) => void;
  log: Pick<Logger, 'debug' | 'info' | 'warn'>;
}

/** Keeps one listening connection alive until it is closed. */
export class Listener {
  readonly #url: string;
  readonly #options: ListenerOptions;
  #client: Client | undefined;
  #retry: NodeJS.Timeout | undefined;
  #failures = 0;
  #closed = false;

  constructor(url: string, options: ListenerOptions) {
    this.#url = url;
    this.#options = options;
  }

  /** Connects once; from then on it reconnects by itself. Rejects when the first attempt fails. */
  async open(): Promise<void> {
    await this.#connect();
  }

  /** Runs a statement on the listening connection. A failure that hints at a dead one drops it. */
  async query(text: string, values: unknown[]): Promise<{ rows: unknown[] }> {
    const client = this.#client;
    if (!client) throw new Error('Connection terminated: not listening at the moment');
    try {
      return await client.query(text, values);
    } catch (error) {
      if (!(error instanceof DatabaseError)) this.#lost(client, error as Error);
      throw error;
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#retry);
    const client = this.#client;
    this.#client = undefined;
    await client?.end().catch(() => {});
  }

  async #connect(): Promise<void> {
    const client = new Client({
      ...clientConfig(this.#url, this.#options.applicationName),
      query_timeout: QUERY_TIMEOUT_MS,
    });
    client.on('error', (error) => this.#lost(client, error));
    client.on('end', () => this.#lost(client, new Error('Connection terminated')));
    client.on('notification', ({ channel, payload }) =>
      this.#options.onNotification(channel, payload ?? ''),
    );
    client.on('notice', ({ message }) => this.#options.onNotice?.(message ?? ''));
    try {
      await client.connect();
      await this.#options.prepare?.(client);
      for (const channel of this.#options.channels)
        await client.query(`listen ${client.escapeIdentifier(channel)}`);
    } catch (error) {
      destroy(client);
      throw error;
    }
    if (this.#closed) return destroy(client);
    this.#client = client;
    if (this.#failures > 0) this.#options.log.info('listening again');
    this.#failures = 0;
    this.#options.onListening();
  }

  #lost(client: Client, error: Error): void {
    if (this.#client !== client) return;
    this.#client = undefined;
    destroy(client);
    if (this.#closed) return;
    this.#options.log.warn({ reason: error.message }, 'lost the listening connection');
    this.#reconnectLater();
  }

  #reconnectLater(): void {
    this.#failures += 1;
    this.#retry = setTimeout(() => {
      if (this.#closed) return;
      this.#connect().catch((error: unknown) => {
        this.#options.log.debug({ err: error }, 'could not listen');
        if (!this.#closed) this.#reconnectLater();
      });
    }, jitteredBackoffMs(this.#failures));
  }
}

function destroy(client: Client): void {
  client.removeAllListeners();
  client.on('error', () => {});
  client.end().catch(() => {});
}
