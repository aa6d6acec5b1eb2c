// The answers that are due, on any connection.
//
// In an array, for a Set keeps what has left it: see agent/roster.ts.

import type { ServerResponse } from 'node:http';

interface Due {
  response: ServerResponse;
  /** Where it is in the array. */
  place: number;
}

export class AnswersDue {
  readonly #due: Due[] = [];

  /** Until it was sent, or its connection is gone. */
  add(response: ServerResponse): void {
    const due = { response, place: this.#due.length };
    this.#due.push(due);
    response.once('close', () => this.#remove(due));
  }

  all(): ServerResponse[] {
    return this.#due.map(({ response }) => response);
  }

  /** The last one takes its place. */
  #remove({ place }: Due): void {
    const last = this.#due.pop();
    if (last === undefined || last.place === place) return;
    this.#due[place] = last;
    last.place = place;
  }
}
