// The Postgres transport: one connection that claims, one that reports, each opened when needed and
// kept. (The third, which listens and beats, is the lifeline's.)

import {
  finish,
  registerAgent,
  release,
  reportProgress,
  signOff,
  type AgentInfo,
  type Answer,
  type AttemptKey,
  type Identity,
  type ProgressAnswer,
  type ProgressReport,
  type Report,
} from '../../db/agents.ts';
import { publishTypes, type CommandTypeDefinition } from '../../db/command-types.ts';
import { connect, type Database } from '../../db/connect.ts';
import { CLAIM_SETUP, ClaimQueue, DEFAULT_QUEUE, type ClaimedCommand } from '../../db/queue.ts';
import type { Logger } from '../../runtime/log.ts';
import type { Transport } from './transport.ts';

export class PostgresTransport implements Transport {
  readonly #identity: Identity;
  readonly #log: Logger;
  readonly #claims: Database;
  readonly #reports: Database;
  #queue: ClaimQueue | undefined;
  #claimNo = 0;
  #settledClaimNo = 0;

  constructor(url: string, identity: Identity, log: Logger) {
    const applicationName = `agent-executor agent ${identity.agentId}`.slice(0, 63);
    this.#identity = identity;
    this.#log = log;
    this.#claims = connect(url, { applicationName, max: 1, setup: CLAIM_SETUP, log });
    this.#reports = connect(url, { applicationName, max: 1, log });
  }

  get settledClaimNo(): number {
    return this.#settledClaimNo;
  }

  async register(info: AgentInfo, ownTypes: CommandTypeDefinition[]): Promise<number> {
    this.#queue = await ClaimQueue.open(this.#claims.pool, (error) =>
      this.#log.debug({ err: error }, 'pg-boss'),
    );
    await publishTypes(this.#reports.pool, ownTypes);
    return await registerAgent(this.#reports.pool, this.#identity, info);
  }

  async claim(limit: number): Promise<ClaimedCommand[]> {
    if (!this.#queue) throw new Error('claim before register');
    const claimNo = ++this.#claimNo;
    try {
      return await this.#queue.claim({ queue: DEFAULT_QUEUE, limit, claimNo, ...this.#identity });
    } finally {
      // Also when the reply was lost: the next beat then tells the ledger that nothing of this claim
      // runs here, and what it took goes back.
      this.#settledClaimNo = claimNo;
    }
  }

  finish(reports: Report[]): Promise<Answer[]> {
    return finish(this.#reports.pool, this.#identity.session, reports);
  }

  reportProgress(reports: ProgressReport[]): Promise<ProgressAnswer[]> {
    return reportProgress(this.#reports.pool, this.#identity.session, reports);
  }

  release(claims: AttemptKey[]): Promise<Answer[]> {
    return release(this.#reports.pool, this.#identity.session, claims);
  }

  signOff(): Promise<void> {
    return signOff(this.#reports.pool, this.#identity);
  }

  async close(): Promise<void> {
    await this.#queue?.close();
    await Promise.all([this.#claims.close(), this.#reports.close()]);
  }
}
