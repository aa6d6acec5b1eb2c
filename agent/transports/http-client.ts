// JSON over HTTP to a server, over connections that are kept. Every request has a time limit.

import { once } from 'node:events';
import { Agent, request as plainRequest, type IncomingMessage } from 'node:http';
import { Agent as TlsAgent, request as tlsRequest } from 'node:https';
import { z } from 'zod';

/** More than the largest answer to a claim. */
const MOST_BYTES = 268_435_456;

/** What says that the same request may succeed later: too many at once, or something is away. */
const AWAY_STATUSES = new Set([0, 429, 502, 503, 504]);

/** A server's refusal, or that there was no answer. */
export class ServerError extends Error {
  override name = 'ServerError';
  /** Of the answer; 0: there was none. */
  readonly status: number;
  /** What programs go by; undefined: the answer was not this project's. */
  readonly code: string | undefined;

  constructor(status: number, message: string, options: ErrorOptions & { code?: string } = {}) {
    super(message, options);
    this.status = status;
    this.code = options.code;
  }

  /** Whether the server, or what it needs, is away: the same request may succeed later. */
  get isAway(): boolean {
    return AWAY_STATUSES.has(this.status);
  }
}

export interface RequestOptions {
  /** How long all of it may take. */
  timeoutMs: number;
  /** Ends it early: it then rejects with anything. */
  signal?: AbortSignal;
}

/** What of a problem+json is of use here. */
const Problem = z.object({ code: z.string(), detail: z.string() });

export class HttpClient {
  readonly #base: URL;
  readonly #agent: Agent;
  readonly #request: typeof plainRequest;
  readonly #headers: Record<string, string> = { Accept: 'application/json' };

  /** `serverUrl` may have a path, which stays in front of all others, and a user and password. */
  constructor(serverUrl: string) {
    const { base, authorization } = dissect(serverUrl);
    this.#base = base;
    if (authorization) this.#headers['Authorization'] = authorization;
    const isTls = base.protocol === 'https:';
    this.#agent = new (isTls ? TlsAgent : Agent)({ keepAlive: true });
    this.#request = isTls ? tlsRequest : plainRequest;
  }

  /** Where requests go, fit to be printed: without its password. */
  get address(): string {
    return this.#base.href;
  }

  /** @throws ServerError unless the answer is a 2xx with JSON, or with nothing. */
  get(path: string, options: RequestOptions): Promise<unknown> {
    return this.#ask('GET', path, undefined, options);
  }

  /** @throws ServerError unless the answer is a 2xx with JSON, or with nothing. */
  post(path: string, body: unknown, options: RequestOptions): Promise<unknown> {
    return this.#ask('POST', path, JSON.stringify(body), options);
  }

  /** Ends what is under way, and all connections. */
  close(): void {
    this.#agent.destroy();
  }

  async #ask(
    method: string,
    path: string,
    body: string | undefined,
    options: RequestOptions,
  ): Promise<unknown> {
    const { status, text } = await this.#exchange(method, path, body, options);
    if (status < 200 || status > 299) throw refusal(`${method} ${path}`, status, text);
    if (text === '') return undefined;
    try {
      return JSON.parse(text);
    } catch (cause) {
      throw new ServerError(status, `${method} ${path}: the answer is not JSON`, { cause });
    }
  }

  async #exchange(
    method: string,
    path: string,
    body: string | undefined,
    { timeoutMs, signal }: RequestOptions,
  ): Promise<{ status: number; text: string }> {
    const request = this.#request(new URL(path, this.#base), {
      method,
      agent: this.#agent,
      headers: { ...this.#headers, ...(body !== undefined && describe(body)) },
      ...(signal && { signal }),
    });
    // It may fail once more after we have stopped to listen.
    request.on('error', () => {});
    const timer = setTimeout(
      () => request.destroy(new Error(`no answer in ${timeoutMs} ms`)),
      timeoutMs,
    );
    try {
      request.end(body);
      const [response] = (await once(request, 'response')) as [IncomingMessage];
      return { status: response.statusCode ?? 0, text: await read(response) };
    } catch (cause) {
      throw new ServerError(0, `${method} ${path}: ${reasonOf(request.errored ?? cause)}`, {
        cause,
      });
    } finally {
      clearTimeout(timer);
    }
  }
}

// URLs with a user and password are what people put in settings; in a request they are a header.
function dissect(serverUrl: string): { base: URL; authorization: string | undefined } {
  const base = new URL(serverUrl);
  const { username, password } = base;
  base.username = '';
  base.password = '';
  if (!base.pathname.endsWith('/')) base.pathname += '/';
  if (!username) return { base, authorization: undefined };
  const credentials = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return { base, authorization: `Basic ${Buffer.from(credentials).toString('base64')}` };
}

function describe(body: string): Record<string, string> {
  return {
    'Content-Type': 'application/json',
    'Content-Length': String(Buffer.byteLength(body)),
  };
}

async function read(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MOST_BYTES) throw new Error(`the answer is longer than ${MOST_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function refusal(what: string, status: number, text: string): ServerError {
  const problem = Problem.safeParse(parse(text)).data;
  if (!problem) return new ServerError(status, `${what}: ${status}`);
  return new ServerError(status, `${what}: ${status} ${problem.detail}`, { code: problem.code });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function reasonOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(reasonOf).join(', ');
  return error instanceof Error ? error.message : String(error);
}
