// Whether answers reached their client.

import { EventEmitter } from 'node:events';
import type { ParameterizedContext } from 'koa';
import { expect, test, vi } from 'vitest';
import { onUndelivered } from '../../server/undelivered.ts';

/** A request over a connection; `sent` ends its answer. */
function requestOver(socket: EventEmitter) {
  const res = Object.assign(new EventEmitter(), { socket, writableFinished: false });
  const sent = () => {
    res.writableFinished = true;
    res.emit('close');
  };
  const isLost = vi.fn();
  onUndelivered({ res } as unknown as ParameterizedContext, isLost, { orReset: true });
  return { res, sent, isLost };
}

const reset = Object.assign(new Error('reset'), { code: 'ECONNRESET' });

test('an answer whose connection went before it was sent did not', () => {
  const { res, isLost } = requestOver(new EventEmitter());
  res.emit('close');
  expect(isLost).toHaveBeenCalledTimes(1);
});

test('of many over one connection only the last can be lost to a reset', () => {
  const socket = new EventEmitter();
  const requests = Array.from({ length: 30 }, () => {
    const request = requestOver(socket);
    request.sent();
    return request;
  });
  expect(socket.listenerCount('error')).toBe(1);
  socket.emit('error', reset);
  expect(requests.map(({ isLost }) => isLost.mock.calls.length)).toEqual([
    ...Array.from({ length: 29 }, () => 0),
    1,
  ]);
  expect(socket.listenerCount('error')).toBe(0);
});
