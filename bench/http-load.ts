// Requests as fast as so many connections bring them, each after the answer to the one before.

import { Agent, request } from 'node:http';

export interface Load {
  url: string;
  body: string;
  connections: number;
  seconds: number;
}

/** Answers a second. */
export async function load({ url, body, connections, seconds }: Load): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: connections });
  const until = performance.now() + seconds * 1_000;
  let done = 0;
  const client = async () => {
    while (performance.now() < until) {
      await post(url, body, agent);
      done += 1;
    }
  };
  const startedAt = performance.now();
  await Promise.all(Array.from({ length: connections }, client));
  const rate = (done * 1_000) / (performance.now() - startedAt);
  agent.destroy();
  return rate;
}

function post(url: string, body: string, agent: Agent): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = {
      'Content-Type': 'application/json',
      'Content-Length': Buffer.byteLength(body),
    };
    const sent = request(url, { method: 'POST', agent, headers }, (response) => {
      response.resume();
      response.on('end', () =>
        response.statusCode === 201 ? resolve() : reject(new Error(`${response.statusCode}`)),
      );
    });
    sent.on('error', reject);
    sent.end(body);
  });
}
