// POST /commands a second, over one connection and over a hundred.

import { Agent, request } from 'node:http';
import { startProcess } from './processes.ts';

const SECONDS = 4;
const BODY = '{"type":"DELAY","payload":{"ms":0}}';

export async function posts(url: string): Promise<string[]> {
  await using server = await startProcess('server', url);
  await rate(server.ready, 10);
  const one = await rate(server.ready, 1);
  const hundred = await rate(server.ready, 100);
  return [
    `1 connection: ${one.toFixed(0)}/s; 100 connections: ${hundred.toFixed(0)}/s; ` +
      `ratio ${(hundred / one).toFixed(1)}`,
  ];
}

async function rate(server: string, connections: number): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: connections });
  const until = performance.now() + SECONDS * 1_000;
  let done = 0;
  const client = async () => {
    while (performance.now() < until) {
      await post(server, agent);
      done += 1;
    }
  };
  await Promise.all(Array.from({ length: connections }, client));
  agent.destroy();
  return done / SECONDS;
}

function post(server: string, agent: Agent): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = { 'Content-Type': 'application/json', 'Content-Length': BODY.length };
    const sent = request(`${server}/commands`, { method: 'POST', agent, headers }, (response) => {
      response.resume();
      response.on('end', () =>
        response.statusCode === 201 ? resolve() : reject(new Error(`${response.statusCode}`)),
      );
    });
    sent.on('error', reject);
    sent.end(BODY);
  });
}
