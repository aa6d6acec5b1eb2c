// Agents of the HTTP protocol, as a test speaks for them.

import { randomUUID } from 'node:crypto';

/** What DELAY comes to. */
export const DELAY_RESULT = { ok: true, tookMs: 1 };

type Json = Record<string, unknown>;

export interface ClaimedJson extends Json {
  id: string;
  attempt: number;
}

export interface Answered<T = Json> {
  status: number;
  body: T;
}

/** Sends JSON; answers the status and what came back, parsed. */
export async function send<T = Json>(
  url: string,
  method: string,
  path: string,
  body?: unknown,
): Promise<Answered<T>> {
  const response = await fetch(url + path, {
    method,
    ...(body !== undefined && {
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    }),
  });
  const text = await response.text();
  return { status: response.status, body: (text ? JSON.parse(text) : undefined) as T };
}

/** A simple client without a session. */
export function simpleClient(url: () => string, agentId: string) {
  const next = (query = '') =>
    send<ClaimedJson>(url(), 'GET', `/commands/next?agentId=${agentId}${query}`);
  const report = (id: string, report: object) =>
    send(url(), 'PUT', `/commands/${id}/result`, { agentId, ...report });
  return { next, report };
}

/** One with a session, which it registers. */
export async function sessionClient(url: () => string, registration: object = {}) {
  const session = randomUUID();
  const { status, body } = await send(url(), 'POST', '/agents', { session, ...registration });
  if (status !== 201) throw new Error(`not registered: ${JSON.stringify(body)}`);
  const agentId = String(body['agentId']);
  const say = <T = Json>(verb: string, rest: object = {}) =>
    send<T>(url(), 'POST', `/agents/${agentId}/${verb}`, { session, ...rest });
  let claimNo = 0;
  const claim = async (request: object = {}) => {
    claimNo += 1;
    const whole = { agentId, session, claimNo, ...request };
    return await send<ClaimedJson[]>(url(), 'POST', '/commands/claim', whole);
  };
  return { agentId, session, registered: body, say, claim };
}
