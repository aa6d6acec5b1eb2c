// The project's SQL files, as they are applied.

import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const SQL_DIR = join(import.meta.dirname, '..', 'sql');

export interface SqlFile {
  /** Below `sql/`, such as `functions/submit.sql`. */
  name: string;
  text: string;
  checksum: string;
}

export interface Migration extends SqlFile {
  /** The number that its name starts with. */
  id: number;
}

/** The forward-only migrations, in order. */
export function readMigrations(): Migration[] {
  return readFolder('migrations').map((file) => {
    const [, digits] = /^migrations\/(\d{4})_\w+\.sql$/.exec(file.name) ?? [];
    if (!digits) throw new Error(`sql/${file.name} is not named 0001_like_this.sql`);
    return { ...file, id: Number(digits) };
  });
}

/** Functions and views, which are re-applied when they change. */
export function readDefinitions(): SqlFile[] {
  return [...readFolder('functions'), ...readFolder('views')];
}

function readFolder(folder: string): SqlFile[] {
  return readdirSync(join(SQL_DIR, folder))
    .filter((file) => file.endsWith('.sql'))
    .sort()
    .map((file) => {
      const text = readFileSync(join(SQL_DIR, folder, file), 'utf8');
      const checksum = createHash('sha256').update(text).digest('hex');
      return { name: `${folder}/${file}`, text, checksum };
    });
}
