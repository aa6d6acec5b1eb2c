// Where the embedded server is reached: a port that is free, and the file that says so.

import { once } from 'node:events';
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { SUPERUSER } from './cluster.ts';

export const DATABASE = 'agent_executor';

const HOST = '127.0.0.1';

export interface Saved {
  port?: number;
  password?: string;
}

export function urlFor(password: string, port: number): string {
  return `postgres://${SUPERUSER}:${password}@${HOST}:${port}/${DATABASE}`;
}

/** What an earlier start left in the file; nothing where it cannot be read as a URL. */
export function readSaved(urlFile?: string): Saved {
  if (!urlFile || !existsSync(urlFile)) return {};
  const url = URL.parse(readFileSync(urlFile, 'utf8').trim());
  return {
    ...(url?.port && { port: Number(url.port) }),
    ...(url?.password && { password: decodeURIComponent(url.password) }),
  };
}

/** Replaces the file in one step: readers see the old URL or the new one, and nobody else either. */
export function save(urlFile: string, url: string): void {
  const unfinished = `${urlFile}.new`;
  rmSync(unfinished, { force: true });
  writeFileSync(unfinished, `${url}\n`, { mode: 0o600 });
  renameSync(unfinished, urlFile);
}

/** The preferred port, or any other one that is free now. */
export async function freePort(preferred?: number): Promise<number> {
  return (preferred && (await tryPort(preferred))) || (await tryPort(0)) || 0;
}

async function tryPort(port: number): Promise<number | undefined> {
  const probe = createServer();
  try {
    await once(probe.listen(port, HOST), 'listening');
    return (probe.address() as AddressInfo).port;
  } catch {
    return undefined;
  } finally {
    probe.close();
  }
}
