// Apart from connect.ts, so that a thread that needs one connection does not load a query builder.

import type { ClientConfig } from 'pg';

const CONNECT_TIMEOUT_MS = 5_000;

/** What every connection of ours has in common. */
export function clientConfig(url: string, applicationName: string): ClientConfig {
  return {
    connectionString: url,
    application_name: applicationName,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
  };
}
