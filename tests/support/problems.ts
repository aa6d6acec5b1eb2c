import { expect } from 'vitest';

export interface ProblemBody {
  type: string;
  title: string;
  status: number;
  detail: string;
  instance: string;
  code: string;
  requestId: string;
  errors: { pointer: string; detail: string }[];
}

/** Expects an answer to be a whole problem+json, and gives it back. */
export async function expectProblem(response: Response, status: number): Promise<ProblemBody> {
  expect(response.headers.get('content-type')).toBe('application/problem+json');
  const problem = (await response.json()) as ProblemBody;
  expect({ ...problem, status: response.status }).toMatchObject({ status });
  expect(problem).toEqual({
    type: 'about:blank',
    title: expect.any(String),
    status,
    detail: expect.stringMatching(/^[A-Z].*\.$/s),
    instance: new URL(response.url).pathname,
    code: expect.stringMatching(/^[a-z0-9_]+$/),
    requestId: response.headers.get('x-request-id'),
    errors: expect.any(Array),
  });
  for (const error of problem.errors)
    expect(error).toEqual({
      pointer: expect.stringMatching(/^#(\/|$)/),
      detail: expect.stringMatching(/./),
    });
  return problem;
}
