// The attempts that an agent owns, by the ids of their commands: at most one of each.
//
// A Map alone would do, but keeps what has left it. Each table that a Map has outgrown (deleted entries
// count) links to the next one; once one of them is in the garbage collector's old space, what later tables
// held counts as alive until a full collection, and is copied where thousands of commands a second pass.
// So what the Map holds is small, and attempts are in an array.

import type { Attempt } from './attempt.ts';

export class Roster {
  /** Where in `#attempts` a command's is. */
  readonly #places = new Map<string, number>();
  readonly #attempts: (Attempt | undefined)[] = [];
  readonly #free: number[] = [];

  get size(): number {
    return this.#places.size;
  }

  get(id: string): Attempt | undefined {
    const place = this.#places.get(id);
    return place === undefined ? undefined : this.#attempts[place];
  }

  /** Adds an attempt, in the place of an older one of the same command. */
  add(attempt: Attempt): void {
    const { id } = attempt.command;
    const place = this.#places.get(id) ?? this.#free.pop() ?? this.#attempts.length;
    this.#attempts[place] = attempt;
    this.#places.set(id, place);
  }

  /** Does nothing when a newer attempt of the same command has taken its place. */
  remove(attempt: Attempt): void {
    const { id } = attempt.command;
    const place = this.#places.get(id);
    if (place === undefined || this.#attempts[place] !== attempt) return;
    this.#attempts[place] = undefined;
    this.#places.delete(id);
    this.#free.push(place);
  }

  /** All of them, in the order in which their commands came. */
  all(): Attempt[] {
    return Array.from(this.#places.values(), (place) => this.#attempts[place]).filter(
      (attempt) => attempt !== undefined,
    );
  }
}
