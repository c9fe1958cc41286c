import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));

// The sidebar is docs/README.md: its headings, and the links of the list or table below each.
const entrance = readFileSync(`${root}docs/README.md`, 'utf8');

export const sidebar = entrance
  .split(/^## /m)
  .slice(1)
  .map((section) => ({
    text: section.slice(0, section.indexOf('\n')),
    collapsed: false,
    items: [...section.matchAll(/^(?:- |\| )\[([^\]]+)\]\(([^)]+)\)/gm)].map(([, text, target]) => ({ text: text.replaceAll('`', ''), link: page(target) })),
  }))
  .concat({
    text: 'Components',
    collapsed: true,
    items: ['extension', 'receiver', 'processor', 'exporter', 'converter'].flatMap((kind) =>
      readdirSync(root + kind)
        .filter((name) => existsSync(`${root}${kind}/${name}/README.md`))
        .map((name) => ({ text: name, link: `/components/${name}` })),
    ),
  });

function page(target: string) {
  return '/' + target.replace(/(README)?\.md$/, '').replace(/^\.\.\/CHANGELOG$/, 'changelog');
}
