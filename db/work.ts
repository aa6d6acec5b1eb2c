// What NOTIFY executor_work says: see sql/functions/offer.sql.

import type { Subscription } from './agents.ts';

export const DEFAULT_QUEUE = 'default';

/** Whether an agent may claim what a payload (`queue type` or `queue type agent`) announces. */
export function isWorkFor(
  payload: string,
  agentId: string,
  { queues, types }: Subscription,
): boolean {
  const [queue = '', type = '', target = agentId] = payload.split(' ');
  return target === agentId && queues.includes(queue) && types.includes(type);
}
