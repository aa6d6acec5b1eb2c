// Loads the executors of directories as an agent does, in a Node of its own: the test runner would
// load TypeScript in its own way. Prints a line of JSON for each.

import { loadExecutors } from '../../agent/custom-executors.ts';
import { EXEC } from '../../agent/executors/exec.ts';
import { executors } from '../../agent/executors/registry.ts';

const loadMs = process.env['LOAD_MS'] === undefined ? undefined : Number(process.env['LOAD_MS']);

for (const dir of process.argv.slice(2)) {
  const answer = await loadExecutors(dir, [...executors.keys(), EXEC], loadMs).then(
    (loaded) => ({ types: loaded.map(({ type }) => type) }),
    (error: Error) => ({ error: error.name, message: error.message }),
  );
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
