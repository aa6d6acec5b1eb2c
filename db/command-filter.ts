// What lists and events are narrowed by. Two places decide whether a command matches: the SQL of
// command-walks.ts for lists, and matches() for events; a test holds them together.

import type { CommandStatus, CommandVersion } from './command-json.ts';

/** What is left out matches everything. Times are like those of a PagePosition: text that orders. */
export interface CommandFilter {
  /** One of these. */
  status?: CommandStatus[];
  type?: string;
  queue?: string;
  /** Who runs it, or ended it: a command that waits has no agent. */
  agentId?: string;
  /** One that it has, among others. */
  tag?: string;
  batchId?: string;
  retryOf?: string;
  /** From this time on. */
  createdAfter?: string;
  /** Before this time, which is not included: spans that meet share nothing. */
  createdBefore?: string;
}

export function matches(filter: CommandFilter, { command, position }: CommandVersion): boolean {
  const { createdAfter = '', createdBefore = '~' } = filter;
  return (
    (filter.status?.includes(command.status) ?? true) &&
    isWanted(filter.type, command.type) &&
    isWanted(filter.queue, command.queue) &&
    isWanted(filter.agentId, command.agentId) &&
    (filter.tag === undefined || command.tags.includes(filter.tag)) &&
    isWanted(filter.batchId, command.batchId) &&
    isWanted(filter.retryOf, command.retryOf) &&
    position.createdAt >= createdAfter &&
    position.createdAt < createdBefore
  );
}

function isWanted(wanted: string | undefined, value: string | null): boolean {
  return wanted === undefined || wanted === value;
}
