// The page that shows the API's description: Swagger UI from its package's own files, nothing from
// elsewhere. Every address in it is relative, so that a path prefix in front does no harm.

import { readFile } from 'node:fs/promises';
import swaggerUi from 'swagger-ui-dist/package.json' with { type: 'json' };

export interface Asset {
  type: string;
  body: Buffer | string;
}

/** Of what is served under `/docs/`; another version has other files. */
export const ASSETS_VERSION = swaggerUi.version;

/** The page may load what comes from here, and talk to here; nothing may put it into a frame. */
export const PAGE_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** `base` leads from the page's own address to `/docs/`. */
export function page(base: string): string {
  return `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>agent-executor API</title>
    <link rel="stylesheet" href="${base}swagger-ui.css">
    <link rel="icon" type="image/png" href="${base}favicon-32x32.png" sizes="32x32">
    <link rel="icon" type="image/png" href="${base}favicon-16x16.png" sizes="16x16">
  </head>
  <body>
    <div id="swagger-ui"></div>
    <noscript>The description itself is in <a href="${base}openapi.json">openapi.json</a>.</noscript>
    <script src="${base}swagger-ui-bundle.js"></script>
    <script src="${base}start.js"></script>
  </body>
</html>
`;
}

/** The file of this name, or undefined when it is none of those that the page needs. */
export async function asset(name: string): Promise<Asset | undefined> {
  if (name === 'start.js') return { type: SCRIPT, body: START };
  const type = FILES.get(name);
  if (!type) return undefined;
  let file = files.get(name);
  if (!file) {
    file = readFile(new URL(import.meta.resolve(`swagger-ui-dist/${name}`)));
    files.set(name, file);
    file.catch(() => files.delete(name));
  }
  return { type, body: await file };
}

const SCRIPT = 'text/javascript; charset=utf-8';
const FILES = new Map([
  ['swagger-ui.css', 'text/css; charset=utf-8'],
  ['swagger-ui-bundle.js', SCRIPT],
  ['favicon-16x16.png', 'image/png'],
  ['favicon-32x32.png', 'image/png'],
]);

const files = new Map<string, Promise<Buffer>>();

// Its own validator badge would send the description to a server elsewhere.
const START = `SwaggerUIBundle({
  url: new URL('openapi.json', document.currentScript.src).href,
  dom_id: '#swagger-ui',
  deepLinking: true,
  validatorUrl: null,
});
`;
