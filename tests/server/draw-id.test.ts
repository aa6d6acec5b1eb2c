import { expect, test, vi } from 'vitest';
import { drawId } from '../../server/draw-id.ts';

test('an id is a UUIDv7 of the time', () => {
  vi.spyOn(Date, 'now').mockReturnValue(0x0192_3456_789a);
  expect(drawId()).toMatch(/^01923456-789a-7[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/);
  vi.restoreAllMocks();
});

test('no two are the same', () => {
  expect(new Set(Array.from({ length: 10_000 }, drawId)).size).toBe(10_000);
});
