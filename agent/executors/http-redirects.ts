// Sends a request and follows its redirects, by the rules of fetch, which cannot be used for it: it
// follows 20 of them, to wherever they lead.

const MAX_REDIRECTS = 5;
const REDIRECT_STATUSES: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/** What describes a body goes when the body does; what identifies us stays on the origin it is for. */
const BODY_HEADERS = ['content-type', 'content-encoding', 'content-language', 'content-location'];
const CREDENTIALS = ['authorization', 'cookie'];

export interface HttpRequest {
  url: string;
  method: string;
  headers: Headers;
  body: string | null;
}

/** The answer to the last request, body unread. Rejects when there is none. */
export async function fetchFollowing(request: HttpRequest, signal: AbortSignal): Promise<Response> {
  let next = request;
  for (let count = 0; count <= MAX_REDIRECTS; count++) {
    const { url, ...init } = next;
    const response = await fetch(url, { ...init, redirect: 'manual', signal });
    const location = response.headers.get('location');
    if (location === null || !REDIRECT_STATUSES.has(response.status)) return response;
    // Nobody reads this body, so neither does it matter if it is broken.
    await response.body?.cancel().catch(() => undefined);
    next = redirected(next, response.status, redirectTarget(location, url));
  }
  throw new Error(`more than ${MAX_REDIRECTS} redirects`);
}

function redirected(request: HttpRequest, status: number, target: URL): HttpRequest {
  const headers = new Headers(request.headers);
  if (target.origin !== new URL(request.url).origin) without(headers, CREDENTIALS);
  const next = { ...request, url: target.href, headers };
  if (!becomesGet(request.method, status)) return next;
  without(headers, BODY_HEADERS);
  return { ...next, method: 'GET', body: null };
}

function becomesGet(method: string, status: number): boolean {
  if (status === 303) return method !== 'GET' && method !== 'HEAD';
  return method === 'POST' && (status === 301 || status === 302);
}

function without(headers: Headers, names: string[]): void {
  for (const name of names) headers.delete(name);
}

/** Where a redirect leads. The message does not repeat it: it may hold secrets. */
function redirectTarget(location: string, base: string): URL {
  // fetch reads headers as latin1, and a Location that is not ASCII is UTF-8 in practice.
  const target = URL.parse(Buffer.from(location, 'latin1').toString(), base);
  if (target === null) throw new Error('redirected to an invalid URL');
  if (target.protocol !== 'http:' && target.protocol !== 'https:') {
    throw new Error(`redirected to a URL that is not http or https (${target.protocol})`);
  }
  if (target.username || target.password) throw new Error('redirected to a URL with credentials');
  return target;
}
