// Answers to what never becomes a request: bytes that are no HTTP, headers that are too large, requests
// that take too long to come in, CONNECT. Node writes bare status lines for these; here they are
// problems like any other, written straight to the socket, which is closed after them.

import { randomUUID } from 'node:crypto';
import { type IncomingMessage, type Server, STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import type { AnswersDue } from './answers-due.ts';
import { type Fault, Problem, problemJson } from './problem.ts';

/** What is still being sent would reset the connection, and with it the answer: it is read so long. */
const DRAIN_MS = 1_000;

export function answerUnreadable(server: Server, answers: AnswersDue): void {
  const answered = new WeakSet<Duplex>();
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
    // What comes after the first fault is no request either.
    if (answered.has(socket)) return;
    answered.add(socket);
    const due = answers.all().find((response) => response.socket === socket);
    if (!due) return answerRaw(socket, toProblem(error));
    if (due.headersSent) return void socket.destroy();
    // The fault is in the body of the request that is being answered, or in what follows it.
    if (!due.req.complete) return answerRaw(socket, toProblem(error));
    due.once('finish', () => socket.destroy());
  });
  server.on('connect', (_request: IncomingMessage, socket: Duplex) => {
    socket.on('error', () => socket.destroy());
    answerRaw(socket, problem(501, 'method_not_implemented', 'This is no proxy.', '#/method'));
  });
}

function toProblem({ code }: NodeJS.ErrnoException): Problem {
  if (code === 'HPE_HEADER_OVERFLOW')
    return problem(431, 'headers_too_large', 'The headers are too large.', '#/header');
  if (code === 'HPE_CHUNK_EXTENSIONS_OVERFLOW')
    return problem(413, 'body_too_large', 'The chunk extensions are too large.', '#');
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return problem(408, 'request_timeout', 'The request took too long to come in.', '#');
  return problem(400, 'malformed_request', 'This is no HTTP/1.1 request.', '#');
}

function problem(status: number, code: string, detail: string, pointer: Fault['pointer']): Problem {
  return new Problem(status, code, detail, { errors: [{ pointer, detail }] });
}

function answerRaw(socket: Duplex, problem: Problem): void {
  if (!socket.writable) return void socket.destroy();
  const requestId = randomUUID();
  const body = JSON.stringify(problemJson(problem, requestId));
  const head = [
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}`,
    `Date: ${new Date().toUTCString()}`,
    'Content-Type: application/problem+json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'X-Content-Type-Options: nosniff',
    `X-Request-Id: ${requestId}`,
    'Connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
  const timer = setTimeout(() => socket.destroy(), DRAIN_MS);
  socket.once('close', () => clearTimeout(timer)).once('end', () => socket.destroy());
  socket.resume();
}
