// A reader of Server-Sent Events, as a client would write it.

import { vi } from 'vitest';
import type { Command } from '../../db/command-json.ts';

export interface ServerEvent {
  event: string;
  id: string;
  data: unknown;
}

export interface EventReader extends AsyncDisposable {
  response: Response;
  /** All that has come so far. */
  events: ServerEvent[];
  /** The comments among it. */
  comments: number;
  /** Resolves once the stream has ended, however it did. */
  ended: Promise<void>;
  /** Waits until so many events have come. */
  count(count: number): Promise<void>;
}

/** Opens a stream that must be there. */
export async function readEvents(
  url: string,
  headers: Record<string, string> = {},
): Promise<EventReader> {
  const abort = new AbortController();
  const response = await fetch(url, { headers, signal: abort.signal });
  if (response.status !== 200) throw new Error(`refused: ${response.status}`);
  const reader: EventReader = {
    response,
    events: [],
    comments: 0,
    ended: Promise.resolve(),
    count: (count) =>
      vi.waitFor(
        () => {
          if (reader.events.length < count)
            throw new Error(`${reader.events.length} events so far`);
        },
        { timeout: 10_000, interval: 5 },
      ),
    [Symbol.asyncDispose]: async () => {
      abort.abort();
      await reader.ended;
    },
  };
  reader.ended = consume(response, reader).catch(() => {});
  return reader;
}

async function consume(response: Response, reader: EventReader): Promise<void> {
  let text = '';
  const decoder = new TextDecoder();
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk, { stream: true });
    const blocks = text.split('\n\n');
    text = blocks.pop() ?? '';
    for (const block of blocks) {
      if (block.startsWith(':')) reader.comments += 1;
      else if (block.startsWith('event: ')) reader.events.push(parseEvent(block));
    }
  }
}

function parseEvent(block: string): ServerEvent {
  const fields = Object.fromEntries(
    block.split('\n').map((line) => {
      const colon = line.indexOf(': ');
      return [line.slice(0, colon), line.slice(colon + 2)];
    }),
  );
  const { event = '', id = '', data = 'null' } = fields;
  return { event, id, data: JSON.parse(data) };
}

/** The list that a reader of `/events` has by now, newest first. */
export function listOf(events: ServerEvent[], limit: number): Command[] {
  const last = events.findLastIndex(({ event }) => event === 'snapshot');
  const snapshot = (events[last]?.data ?? []) as Command[];
  const list = new Map(snapshot.map((command) => [command.id, command]));
  for (const { event, data } of events.slice(last + 1)) {
    const command = data as Command;
    if (event === 'removed') list.delete(command.id);
    else list.set(command.id, command);
  }
  return [...list.values()].sort(newestFirst).slice(0, limit);
}

function newestFirst(a: Command, b: Command): number {
  return a.createdAt + a.id < b.createdAt + b.id ? 1 : -1;
}
