import { Client } from 'pg';
import { vi } from 'vitest';

/** Listens on a channel; `count` waits until so many notifications have come. */
export async function listen(url: string, channel: string) {
  const client = new Client(url);
  await client.connect();
  const payloads: string[] = [];
  client.on('notification', ({ payload }) => payloads.push(payload ?? ''));
  await client.query(`listen ${channel}`);
  return {
    payloads,
    count: (count: number) =>
      vi.waitFor(() => {
        if (payloads.length < count) throw new Error(`${payloads.length} notifications so far`);
      }),
    [Symbol.asyncDispose]: () => client.end(),
  };
}
