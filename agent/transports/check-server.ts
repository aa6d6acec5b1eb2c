// Whether an address is that of a server of this project: asked before anything else.

import { z } from 'zod';
import { StartupError } from '../../db/errors.ts';
import { HttpClient, ServerError } from './http-client.ts';

const PATIENCE_MS = 10_000;

const Health = z.object({ status: z.literal('ok') });

/** @throws StartupError with one clear line. */
export async function checkServer(serverUrl: string): Promise<void> {
  const client = new HttpClient(serverUrl);
  try {
    const health = await client.get('health', { timeoutMs: PATIENCE_MS });
    if (!Health.safeParse(health).success) throw new ServerError(200, 'it answers something else');
  } catch (cause) {
    throw new StartupError(explain(cause, client.address), { cause });
  } finally {
    client.close();
  }
}

function explain(error: unknown, address: string): string {
  const message = error instanceof Error ? error.message : String(error);
  if (!(error instanceof ServerError) || error.isAway)
    return `Cannot reach the server at ${address}: ${message}`;
  return `There is no agent-executor server at ${address}: ${message}`;
}
