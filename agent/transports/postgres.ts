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
  type GivenBack,
  type Identity,
  type ProgressAnswer,
  type ProgressReport,
  type Report,
  type Subscription,
} from '../../db/agents.ts';
import { publishTypes, type CommandTypeDefinition } from '../../db/command-types.ts';
import { connect, type Database } from '../../db/connect.ts';
import { claim, type ClaimedCommand } from '../../db/claim.ts';
import type { Logger } from '../../runtime/log.ts';
import type { Demand } from '../claimer.ts';
import type { Transport } from './transport.ts';

export class PostgresTransport implements Transport {
  readonly pollIntervalMs = undefined;
  readonly isWaiting = false;
  readonly mayClaimAhead = true;
  readonly #identity: Identity;
  readonly #claims: Database;
  readonly #reports: Database;
  #subscription: Subscription | undefined;
  #claimNo = 0;
  #settledClaimNo = 0;

  constructor(url: string, identity: Identity, log: Logger) {
    const applicationName = `agent-executor agent ${identity.agentId}`.slice(0, 63);
    this.#identity = identity;
    this.#claims = connect(url, { applicationName, max: 1, log });
    this.#reports = connect(url, { applicationName, max: 1, log });
  }

  get settledClaimNo(): number {
    return this.#settledClaimNo;
  }

  async register(info: AgentInfo, ownTypes: CommandTypeDefinition[]): Promise<number> {
    this.#subscription = { queues: info.queues, types: info.types };
    await publishTypes(this.#reports.pool, ownTypes);
    return await registerAgent(this.#reports.pool, this.#identity, info);
  }

  async claim(demand: Demand): Promise<ClaimedCommand[]> {
    if (!this.#subscription) throw new Error('claim before register');
    const claimNo = ++this.#claimNo;
    try {
      return await claim(this.#claims.pool, {
        ...this.#identity,
        ...this.#subscription,
        ...demand,
        claimNo,
      });
    } finally {
      // Also when the reply was lost: the next beat then tells the ledger that nothing of this claim
      // runs here, and what it took goes back.
      this.#settledClaimNo = claimNo;
    }
  }

  /** None waits. */
  endClaim(): void {}

  finish(reports: Report[], session = this.#identity.session): Promise<Answer[]> {
    return finish(this.#reports.pool, session, reports);
  }

  reportProgress(reports: ProgressReport[]): Promise<ProgressAnswer[]> {
    return reportProgress(this.#reports.pool, this.#identity.session, reports);
  }

  release(claims: GivenBack[]): Promise<Answer[]> {
    return release(this.#reports.pool, this.#identity.session, claims);
  }

  signOff(): Promise<void> {
    return signOff(this.#reports.pool, this.#identity);
  }

  async close(): Promise<void> {
    await Promise.all([this.#claims.close(), this.#reports.close()]);
  }
}
