// The HTTP transport: through a server, or any of several behind one address; no state in a server is
// relied upon. (Beats are the lifeline's: see lifeline-thread-http.ts.)

import { z } from 'zod';
import type {
  AgentInfo,
  Answer,
  GivenBack,
  Identity,
  ProgressAnswer,
  ProgressReport,
  Report,
} from '../../db/agents.ts';
import type { CommandTypeDefinition } from '../../db/command-types.ts';
import { StartupError } from '../../db/errors.ts';
import type { ClaimedCommand } from '../../db/claim.ts';
import type { Demand } from '../claimer.ts';
import { HttpClient, ServerError } from './http-client.ts';
import type { Transport } from './transport.ts';

/** How long a claim waits at the server for work: less than proxies wait for an answer, as a rule. */
const WAIT_S = 50;

/** How long an answer may take, beyond what a request asks to wait. */
const PATIENCE_MS = 10_000;

/** So that the answer to one claim stays of a size to handle: payloads have up to a megabyte. */
const MOST_CLAIMED = 100;

/** As many as a server takes in one request. */
const MOST_ITEMS = 1_000;

const ClaimedCommands = z.array(
  z
    .object({
      id: z.string(),
      type: z.string(),
      payload: z.record(z.string(), z.unknown()),
      attempt: z.number(),
      timeoutMs: z.number(),
      cancelRequestedAt: z.string().nullable(),
    })
    .transform(({ cancelRequestedAt, ...command }) => ({
      ...command,
      cancelRequested: cancelRequestedAt !== null,
    })),
);
const Answers = z.object({ answers: z.array(z.enum(['accepted', 'stale', 'unknown'])) });
const ProgressAnswers = z.object({ answers: z.array(z.enum(['accepted', 'stale', 'busy'])) });
const Registered = z.object({ takenBack: z.number() });

/** What an agent tells the server as it starts. */
export interface Registration extends Identity, AgentInfo {
  contracts: CommandTypeDefinition[];
}

export class HttpTransport implements Transport {
  readonly mayClaimAhead = false;
  readonly pollIntervalMs: number;
  readonly #identity: Identity;
  readonly #client: HttpClient;
  #claimNo = 0;
  #settledClaimNo = 0;
  #waiting: AbortController | undefined;

  constructor(serverUrl: string, identity: Identity, pollIntervalMs: number) {
    this.pollIntervalMs = pollIntervalMs;
    this.#identity = identity;
    this.#client = new HttpClient(serverUrl);
  }

  get settledClaimNo(): number {
    return this.#settledClaimNo;
  }

  get isWaiting(): boolean {
    return this.#claimNo > this.#settledClaimNo;
  }

  /** @throws StartupError when no server takes it: this is called as the agent starts. */
  async register(info: AgentInfo, contracts: CommandTypeDefinition[]): Promise<number> {
    const registration: Registration = { ...this.#identity, ...info, contracts };
    try {
      return Registered.parse(await this.#post('agents', registration)).takenBack;
    } catch (cause) {
      if (!(cause instanceof ServerError)) throw cause;
      throw new StartupError(`Cannot register: ${cause.message}`, { cause });
    }
  }

  async claim({ limit }: Demand): Promise<ClaimedCommand[]> {
    const claimNo = ++this.#claimNo;
    const { signal } = (this.#waiting = new AbortController());
    const wanted = { claimNo, limit: Math.min(limit, MOST_CLAIMED), wait: WAIT_S };
    try {
      const answer = await this.#client.post(
        'commands/claim',
        { ...this.#identity, ...wanted },
        { timeoutMs: WAIT_S * 1_000 + PATIENCE_MS, signal },
      );
      return ClaimedCommands.parse(answer);
    } catch (error) {
      if (signal.aborted) return [];
      throw error;
    } finally {
      // Also when the reply was lost: the next beat then tells the ledger that nothing of this claim
      // runs here, and what it took goes back.
      this.#settledClaimNo = claimNo;
    }
  }

  endClaim(): void {
    this.#waiting?.abort();
  }

  async finish(reports: Report[], session = this.#identity.session): Promise<Answer[]> {
    const answer = await this.#post(this.#mine('results'), { session, reports });
    return Answers.parse(answer).answers;
  }

  async reportProgress(reports: ProgressReport[]): Promise<ProgressAnswer[]> {
    return await inPieces(reports, async (piece) => {
      const answer = await this.#post(this.#mine('progress'), this.#with({ reports: piece }));
      return ProgressAnswers.parse(answer).answers;
    });
  }

  async release(claims: GivenBack[]): Promise<Answer[]> {
    return await inPieces(claims, async (piece) => {
      const answer = await this.#post(this.#mine('release'), this.#with({ claims: piece }));
      return Answers.parse(answer).answers;
    });
  }

  async signOff(): Promise<void> {
    // What a claim that was given up may have taken was never started: the ledger is to know that first.
    const beat = { running: [], settledClaimNo: this.#settledClaimNo, draining: true };
    await this.#post(this.#mine('beat'), this.#with(beat));
    await this.#post(this.#mine('sign-off'), this.#with({}));
  }

  close(): Promise<void> {
    this.#client.close();
    return Promise.resolve();
  }

  #post(path: string, body: unknown): Promise<unknown> {
    return this.#client.post(path, body, { timeoutMs: PATIENCE_MS });
  }

  #mine(what: string): string {
    return `agents/${this.#identity.agentId}/${what}`;
  }

  #with<T extends object>(body: T): T & { session: string } {
    return { session: this.#identity.session, ...body };
  }
}

/** In order. A piece that was taken before a later one failed is taken once more: that changes nothing. */
async function inPieces<T, A>(items: T[], send: (piece: T[]) => Promise<A[]>): Promise<A[]> {
  const answers: A[] = [];
  for (let from = 0; from < items.length; from += MOST_ITEMS)
    answers.push(...(await send(items.slice(from, from + MOST_ITEMS))));
  return answers;
}
