import { fileURLToPath } from 'node:url';

import { defineConfig } from 'vitepress';

import { checkAnchors } from './anchors.mts';
import { links, slug } from './links.mts';
import { sidebar } from './sidebar.mts';

const docs = fileURLToPath(new URL('../', import.meta.url));

// The pages are those of the repository, where they lie: docs/ at the root of the site, the components' READMEs below components/.
export default defineConfig({
  title: 'Tailrace',
  description: 'An OpenTelemetry Collector distribution: durable files, ClickHouse exactly once, live tail',
  srcDir: '..',
  outDir: '../_build/docs',
  cacheDir: '../_build/docs-cache',
  srcExclude: ['**/{node_modules,dist,testdata,internal}/**', '**/documentation.md', '_build/**', 'bench/**', 'data/**', 'embedded/**', 'examples/**', 'test/**', 'web/**'],
  rewrites: {
    'README.md': 'about.md',
    'CHANGELOG.md': 'changelog.md',
    'docs/README.md': 'index.md',
    'docs/:page*/README.md': ':page*/index.md',
    'docs/:page*': ':page*',
    ':kind(extension|receiver|processor|exporter|converter)/:name/README.md': 'components/:name.md',
  },
  head: [['link', { rel: 'icon', href: 'data:,' }]],
  cleanUrls: true,
  lastUpdated: false,
  ignoreDeadLinks: 'localhostLinks',
  // No HTML in Markdown: `<host>` in a text is just that. The fenced languages are for tests, which read the documents.
  markdown: { html: false, languageAlias: { duckdb: 'sql', clickhouse: 'sql', 'clickhouse-insert': 'sql' }, anchor: { slugify: slug }, config: links },
  buildEnd: (site) => checkAnchors(site.outDir),
  vite: {
    publicDir: false,
    plugins: [
      {
        // Pages that lie beside docs/ have no node_modules above them: they take Vue from where the others do.
        name: 'vue-of-docs',
        enforce: 'pre',
        resolveId(id, importer) {
          const beside = importer !== undefined && /\.md(\?|$)/.test(importer) && !importer.startsWith(docs);
          return beside && /^vue(\/|$)/.test(id) ? this.resolve(id, docs + 'README.md', { skipSelf: true }) : null;
        },
      },
    ],
  },
  themeConfig: {
    search: { provider: 'local' },
    nav: [
      { text: 'Tutorial', link: '/tutorial' },
      { text: 'How-to guides', link: '/how-to/' },
      { text: 'Reference', link: '/reference/' },
      { text: 'Architecture', link: '/architecture' },
    ],
    sidebar,
    outline: { level: [2, 3] },
  },
});
