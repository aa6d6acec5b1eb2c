// Which answers are due, as they come and go in any order.

import { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import { expect, test } from 'vitest';
import { AnswersDue } from '../../server/answers-due.ts';

const response = () => new EventEmitter() as ServerResponse;

test.for([[0], [1], [2], [0, 1], [2, 0], [1, 2, 0], [2, 1, 0]])('without those of %j', (sent) => {
  const answers = new AnswersDue();
  const responses = [response(), response(), response()];
  for (const one of responses) answers.add(one);
  for (const place of sent) responses[place]?.emit('close');
  const due = responses.filter((_, place) => !sent.includes(place));
  expect(new Set(answers.all())).toEqual(new Set(due));
  answers.add(responses[sent[0]!]!);
  expect(answers.all()).toHaveLength(due.length + 1);
});
