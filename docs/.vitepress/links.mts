import { existsSync, statSync } from 'node:fs';
import { dirname, join, posix, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

import type { MarkdownRenderer } from 'vitepress';

const root = fileURLToPath(new URL('../../', import.meta.url));
const source = 'https://github.com/tailrace/tailrace/blob/main/';

// GitHub's names of headings, so that a link to one works in both places.
export const slug = (heading: string) =>
  heading
    .trim()
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\p{M}_\- ]/gu, '')
    .replaceAll(' ', '-');

/** Links are written for who reads the files: relative to the file. Here they become those of pages, or of the source where there is no page. */
export function links(md: MarkdownRenderer) {
  md.core.ruler.before('normalize', 'badges', (state) => {
    // Pictures of other sites, which would be asked for, and comments.
    state.src = state.src.replace(/^\|.*!\[[^\]]*\]\(https?:.*\|$\n/gm, '').replace(/<!--.*?-->/gs, '');
  });
  md.core.ruler.push('links', (state) => {
    const file = state.env.realPath ?? state.env.path;
    for (const token of state.tokens.flatMap((t) => t.children ?? [])) {
      if (token.type !== 'link_open') continue;
      const href = token.attrGet('href') ?? '';
      if (/^([a-z]+:|#|\/)/i.test(href)) continue;
      token.attrSet('href', resolve(relative(root, file), decodeURI(href)));
    }
  });
}

function resolve(file: string, href: string) {
  const [path, fragment = ''] = href.split(/(?=#)/);
  const target = posix.join(dirname(file), path);
  if (!existsSync(join(root, target))) throw new Error(`${file}: dead link ${href}`);
  const folder = statSync(join(root, target)).isDirectory();
  return (page(folder ? posix.join(target, 'README.md') : target) ?? source + target) + fragment;
}

/** The address of a file that is a page; the same as `rewrites` of the configuration has it. */
function page(file: string): string | undefined {
  if (!file.endsWith('.md') || !existsSync(join(root, file))) return undefined;
  const component = /^(?:extension|receiver|processor|exporter|converter)\/([^/]+)\/README\.md$/.exec(file);
  if (component) return `/components/${component[1]}`;
  if (file === 'README.md') return '/about';
  if (file === 'CHANGELOG.md') return '/changelog';
  return file.startsWith('docs/') ? '/' + file.slice('docs/'.length).replace(/(^|\/)README\.md$/, '$1').replace(/\.md$/, '') : undefined;
}
