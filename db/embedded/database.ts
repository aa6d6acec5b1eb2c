// A first visit to the embedded server: does the password fit, is our database there?

import { Client, DatabaseError } from 'pg';
import { clientConfig } from '../client-config.ts';
import { DATABASE } from './address.ts';

const INVALID_PASSWORD = '28P01';

/** Creates the database where it is missing; answers false when the URL's password is wrong. */
export async function ensureDatabase(url: string): Promise<boolean> {
  const elsewhere = new URL(url);
  elsewhere.pathname = '/template1';
  const client = new Client(clientConfig(elsewhere.href, 'agent-executor start'));
  try {
    await client.connect();
  } catch (error) {
    if (error instanceof DatabaseError && error.code === INVALID_PASSWORD) return false;
    throw error;
  }
  try {
    const found = await client.query('select from pg_database where datname = $1', [DATABASE]);
    // From template0, since nobody may be connected to the template.
    if (found.rowCount === 0) await client.query(`create database ${DATABASE} template template0`);
    return true;
  } finally {
    await client.end();
  }
}
