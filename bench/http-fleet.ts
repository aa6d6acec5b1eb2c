// Simple agents over HTTP, all in this process: what they cost themselves is small beside the server.

import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

class Unavailable extends Error {}

/** Each polls, reports what it got as done, and polls again. */
export class Fleet {
  /** When each command got here, by performance.now(). */
  readonly reachedAt = new Map<string, number>();
  readonly #server: string;
  readonly #connections = new Agent({ keepAlive: true, maxSockets: Infinity });
  #stopped = false;

  constructor(server: string, agents: number) {
    this.#server = server;
    for (let i = 0; i < agents; i += 1) void this.#live(`bench-${i}`);
  }

  stop(): void {
    this.#stopped = true;
    this.#connections.destroy();
  }

  async #live(agentId: string): Promise<void> {
    while (!this.#stopped) {
      try {
        const text = await this.#send('GET', `/commands/next?agentId=${agentId}&wait=30`);
        if (text === '') continue;
        const { id } = JSON.parse(text) as { id: string };
        this.reachedAt.set(id, performance.now());
        const body = JSON.stringify({ agentId, result: { ok: true, tookMs: 0 } });
        await this.#send('PUT', `/commands/${id}/result`, body);
      } catch (error) {
        if (this.#stopped) return;
        // As the server asks for while its database is away; at random, as a herd should.
        if (!(error instanceof Unavailable)) throw error;
        await sleep(500 + 1_000 * Math.random());
      }
    }
  }

  #send(method: string, path: string, body?: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const headers = body === undefined ? {} : { 'Content-Type': 'application/json' };
      const options = { method, agent: this.#connections, headers };
      const sent = request(this.#server + path, options, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        response.on('end', () => {
          const status = response.statusCode ?? 500;
          if (status < 300) resolve(text);
          else if (status === 503) reject(new Unavailable());
          else reject(new Error(`${status} ${text}`));
        });
      });
      sent.on('error', reject);
      sent.end(body);
    });
  }
}
