// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

const backend = process.env.TAILRACE_BACKEND ?? 'http://localhost:4400';

export default defineConfig({
  plugins: [react()],
  base: '/',
  build: {
    target: 'es2022',
    // Data URLs would need `data:` in the content security policy; files need nothing.
    assetsInlineLimit: 0,
    cssCodeSplit: false,
    sourcemap: false,
    reportCompressedSize: true,
    // What the bundle contains of others, with their licences.
    license: { fileName: 'licenses.md' },
    modulePreload: { polyfill: false },
  },
  server: {
    port: 4401,
    proxy: {
      '/api': { target: backend, changeOrigin: true },
      '/ws': { target: backend, ws: true, changeOrigin: true },
    },
  },
  test: { include: ['test/**/*.test.ts'], environment: 'node' },
} as Parameters<typeof defineConfig>[0]);
