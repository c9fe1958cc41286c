import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** VitePress looks whether a page exists that a link goes to; this looks whether the heading does. */
export function checkAnchors(outDir: string) {
  const pages = new Map(
    readdirSync(outDir, { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.html'))
      .map((file) => ['/' + file.replace(/(^|\/)index\.html$/, '$1').replace(/\.html$/, ''), readFileSync(join(outDir, file), 'utf8')]),
  );
  const dead: string[] = [];
  for (const [name, html] of pages) {
    for (const [, path, id] of html.matchAll(/href="([^":#]*)#([^"]+)"/g)) {
      const target = pages.get(path === '' ? name : path);
      if (target !== undefined && !target.includes(`id="${decodeURIComponent(id)}"`)) dead.push(`${name}: ${path}#${id}`);
    }
  }
  if (dead.length > 0) throw new Error(`links to headings that do not exist:\n${[...new Set(dead)].join('\n')}`);
}
