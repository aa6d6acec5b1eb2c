// Server-Sent Events, as bytes: who reads, how many, and how much may wait for each.
//
// A reader that does not keep up is cut off, and comes back for the present state: nothing is kept for it
// but what was on its way. Events are bytes that all their readers share.

import type { ServerResponse } from 'node:http';
import type { ParameterizedContext } from 'koa';
import type { Logger } from '../runtime/log.ts';
import type { RequestState } from './observe.ts';
import { Problem } from './problem.ts';

export interface StreamLimits {
  mostStreams: number;
  /** What may wait for a reader when the next event comes. */
  mostWaitingBytes: number;
  /** How often something is said, so that proxies see a live connection. */
  commentMs: number;
}

const LIMITS = { mostStreams: 2_000, mostWaitingBytes: 1024 * 1024, commentMs: 15_000 };

const COMMENT = Buffer.from(':\n\n');

/** One event as it goes over the wire. */
export function toEvent(event: string, id: string, data: unknown): Buffer {
  return Buffer.from(`event: ${event}\nid: ${id}\ndata: ${JSON.stringify(data)}\n\n`);
}

/** All streams of a server. */
export class EventStreams {
  readonly #log: Logger;
  readonly #limits: StreamLimits;
  readonly #open = new Set<EventStream>();
  #comments: NodeJS.Timeout | undefined;
  #ended = false;

  constructor(log: Logger, limits: Partial<StreamLimits> = {}) {
    this.#log = log;
    this.#limits = { ...LIMITS, ...limits };
  }

  /**
   * Takes a place for a reader. Nothing is sent before its first event: until then the request can
   * still fail like any other, and must then close the stream.
   *
   * @throws Problem 503 when there are too many, or the server stops.
   */
  open(ctx: ParameterizedContext<RequestState>): EventStream {
    if (this.#ended) throw stopping();
    if (this.#open.size >= this.#limits.mostStreams) throw tooManyReaders();
    const stream = new EventStream(ctx, this.#limits.mostWaitingBytes);
    this.#open.add(stream);
    this.#comments ??= setInterval(() => {
      for (const each of this.#open) each.comment();
    }, this.#limits.commentMs);
    ctx.res.once('close', () => this.#forget(stream));
    return stream;
  }

  /** Ends every stream, at once, and opens no more. */
  end(): void {
    this.#ended = true;
    for (const stream of this.#open) stream.cut();
  }

  #forget(stream: EventStream): void {
    if (stream.wasTooSlow) this.#log.debug('a slow reader of events was cut off');
    this.#open.delete(stream);
    if (this.#open.size > 0) return;
    clearInterval(this.#comments);
    this.#comments = undefined;
  }
}

export class EventStream {
  readonly #ctx: ParameterizedContext<RequestState>;
  readonly #response: ServerResponse;
  readonly #mostWaitingBytes: number;
  readonly #closed = new AbortController();
  #begun = false;
  #wasTooSlow = false;

  constructor(ctx: ParameterizedContext<RequestState>, mostWaitingBytes: number) {
    this.#ctx = ctx;
    this.#response = ctx.res;
    this.#mostWaitingBytes = mostWaitingBytes;
    this.#response.once('close', () => this.close());
  }

  /** Aborts once there is nobody to tell anything any more. */
  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  get wasTooSlow(): boolean {
    return this.#wasTooSlow;
  }

  /** Whether the answer is under way: from then on it can only break off. */
  get hasBegun(): boolean {
    return this.#begun;
  }

  /** Events that come together must be sent together: all of them wait until this turn has ended. */
  send(events: Buffer): void {
    if (this.closed.aborted || this.#response.destroyed) return;
    if (!this.#begun) this.#begin();
    if (this.#ctx.method === 'HEAD') return this.close();
    if (this.#response.writableLength <= this.#mostWaitingBytes) {
      this.#response.write(events);
      return;
    }
    this.#wasTooSlow = true;
    this.#response.destroy();
  }

  comment(): void {
    // All was said a while ago, and has still not been read.
    if (this.#response.writableEnded && this.closed.aborted) this.#response.destroy();
    else if (this.#begun) this.send(COMMENT);
  }

  /** There is no more to say; what was said still goes out. */
  end(): void {
    this.close();
    if (this.#begun) this.#response.end();
  }

  /** Has it get nothing more. */
  close(): void {
    this.#closed.abort();
  }

  /** Ends it without waiting for a slow reader. */
  cut(): void {
    if (this.#response.writableLength > 0) this.#response.destroy();
    else this.end();
  }

  #begin(): void {
    this.#begun = true;
    this.#ctx.status = 200;
    this.#ctx.set({
      'Content-Type': 'text/event-stream',
      'Cache-Control': 'no-store',
      'X-Accel-Buffering': 'no',
    });
    if (this.#ctx.method === 'HEAD') return;
    this.#ctx.respond = false;
    // Thousands that lost one server do not return to it at the same moment.
    this.#response.write(`retry: ${Math.round(1_000 + 4_000 * Math.random())}\n\n`);
  }
}

/** What a request gets that was held when the server stopped. */
export function stopping(): Problem {
  const headers = { 'Retry-After': '1' };
  return new Problem(503, 'server_stopping', 'The server stops.', { headers });
}

function tooManyReaders(): Problem {
  const headers = { 'Retry-After': '5' };
  return new Problem(503, 'too_many_readers', 'Too many read events already.', { headers });
}
