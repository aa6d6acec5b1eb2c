// The connection that an agent's life hangs on: session lock and beats.

import { Client } from 'pg';
import { holdSession, type Identity } from '../../db/agents.ts';
import { clientConfig } from '../../db/client-config.ts';
import { VICTIM } from './connections.ts';

export class Lifeline {
  readonly #url: string;
  readonly #identity: Identity;
  #client: Client | undefined;
  #held = false;

  constructor(url: string, identity: Identity) {
    this.#url = url;
    this.#identity = identity;
  }

  /** Connects again where needed, and takes the session lock as soon as it can be had. */
  async query(text: string, values: unknown[]): Promise<{ rows: unknown[] }> {
    const client = this.#client ?? (await this.#connect());
    if (!this.#held) this.#held = await holdSession(client, this.#identity);
    return await client.query(text, values);
  }

  async #connect(): Promise<Client> {
    const client = new Client(clientConfig(this.#url, VICTIM));
    const lose = () => {
      if (this.#client === client) this.#client = undefined;
      this.#held = false;
    };
    client.on('error', lose).on('end', lose);
    await client.connect();
    this.#client = client;
    return client;
  }

  /** As the kernel does when a process is killed: not a word to the server. */
  cut(): void {
    const client = this.#client;
    this.#client = undefined;
    this.#held = false;
    client?.connection.stream.destroy();
  }
}
