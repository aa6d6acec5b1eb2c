// What an agent can carry out: the built-in types, EXEC where it is allowed, and types of its own.

import type { CommandTypeDefinition } from '../db/command-types.ts';
import type { AgentConfig } from './config.ts';
import { loadExecutors } from './custom-executors.ts';
import { createExec, EXEC } from './executors/exec.ts';
import { findPrograms } from './executors/exec-programs.ts';
import type { ExecutorRegistry } from './executors/executor.ts';
import { commandTypes, createRegistry, executors } from './executors/registry.ts';

export interface Repertoire {
  executors: ExecutorRegistry;
  /** The contracts that `migrate` does not publish, and this agent therefore must. */
  ownTypes: CommandTypeDefinition[];
}

/** @throws ConfigError when a program of the list or a file of the directory is not as it should be. */
export async function loadRepertoire(
  { ALLOW_EXEC, EXECUTORS_DIR }: Pick<AgentConfig, 'ALLOW_EXEC' | 'EXECUTORS_DIR'>,
  environment: NodeJS.ProcessEnv,
): Promise<Repertoire> {
  const exec = ALLOW_EXEC && findPrograms(ALLOW_EXEC, environment['PATH']);
  // No file may be called EXEC, so that it means the same on every agent.
  const reserved = [...executors.keys(), EXEC];
  const own = [
    ...(exec ? [createExec({ programs: exec, environment })] : []),
    ...(EXECUTORS_DIR ? await loadExecutors(EXECUTORS_DIR, reserved) : []),
  ];
  return {
    executors: createRegistry([...executors.values(), ...own]),
    ownTypes: commandTypes(createRegistry(own)),
  };
}
