// What pictures have in common. Their colours are of a middle tone, legible on white and on black alike: a
// picture in a README is not told which of them its page has.

const STYLE = `
    text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #717a85; }
    .title { font-size: 16px; font-weight: 600; }
    .group { font-weight: 600; }
    .ours { fill: #2f81f7; }
    .other { fill: #8b949e; }
    text.ours { font-weight: 600; }
    .axis { stroke: #8b949e; stroke-width: 1; }
    .line { fill: none; stroke-width: 1.5; }
    .line.ours { stroke: #2f81f7; }
    .line.other { stroke: #8b949e; }`;

const MARGIN = 16;

export function svg(
  title: string,
  note: string,
  { width, height }: { width: number; height: number },
  parts: string[],
): string {
  const head = [text(MARGIN, 24, title, 'title'), text(MARGIN, 44, note)];
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${escape(title)}">
  <style>${STYLE}
  </style>
  ${[...head, ...parts].join('\n  ')}
</svg>
`;
}

export function text(x: number, y: number, words: string, kind?: string): string {
  const attribute = kind === undefined ? '' : ` class="${kind}"`;
  return `<text${attribute} x="${x.toFixed(1)}" y="${y}">${escape(words)}</text>`;
}

const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

export function escape(words: string): string {
  return words.replaceAll(/[&<>"]/g, (character) => ENTITIES[character] ?? character);
}
