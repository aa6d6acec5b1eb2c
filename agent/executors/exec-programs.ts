// Which programs EXEC may run: what the operator listed, as it was when the agent started.
//
// A command names a program letter by letter as the list does. To compare what names lead to instead
// would open a door: where `echo` and `sh` are links to one file, whoever may run the one could run
// the other. What a name leads to is fixed at the start, so that a link that is bent later leads
// nowhere new.

import { accessSync, constants, realpathSync, statSync } from 'node:fs';
import { delimiter, isAbsolute, join } from 'node:path';
import { ConfigError } from '../../runtime/environment.ts';

/** The file to run, by what a command may call it. */
export type Programs = ReadonlyMap<string, string>;

/**
 * Finds the programs of a list. A name without a slash is looked for in `path`, and may be called by
 * that name as well as by the path where it was found.
 *
 * @throws ConfigError that names the one that is not there.
 */
export function findPrograms(list: readonly string[], path = ''): Programs {
  const programs = new Map<string, string>();
  for (const listed of list) {
    const found = isAbsolute(listed) ? listed : search(listed, path);
    const file = found === undefined ? undefined : executable(found);
    if (found === undefined || file === undefined) {
      const where = isAbsolute(listed) ? '' : ' on PATH';
      throw new ConfigError(`Wrong settings: ALLOW_EXEC: no program ${listed}${where}`);
    }
    programs.set(listed, file);
    programs.set(found, file);
  }
  return programs;
}

function search(name: string, path: string): string | undefined {
  const places = path.split(delimiter).filter(isAbsolute);
  return places.map((place) => join(place, name)).find(executable);
}

/** The file that a path leads to in the end, if it can be run. */
function executable(path: string): string | undefined {
  try {
    const file = realpathSync(path);
    accessSync(file, constants.X_OK);
    return statSync(file).isFile() ? file : undefined;
  } catch {
    return undefined;
  }
}
