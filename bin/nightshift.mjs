#!/usr/bin/env node
// Plain JavaScript, so that even a Node that cannot run TypeScript says what is wrong instead of failing to parse.
import { existsSync } from 'node:fs';
import module from 'node:module';
import { fileURLToPath } from 'node:url';

if (Number.parseInt(process.versions.node, 10) < 24) {
  console.error(
    `Nightshift runs on Node 24 or later; this is Node ${process.versions.node}. Its npm scripts bring a Node of their own: ` +
      'run `npm ci` (with install scripts allowed for the package "node"), then `npm start` or `npm run nightshift -- COMMAND`.',
  );
  process.exit(2);
}
// Compiled code, and TypeScript without its types, so that the next start need not load what strips them. Where nothing can be
// written, as in a read-only container, Node goes on without.
module.enableCompileCache(fileURLToPath(new URL('../node_modules/.cache/nightshift', import.meta.url)));
// The sources of a checkout, or what `npm pack` compiled of them.
const mains = ['../src/main.ts', '../src/main.js', '../dist/src/main.js'].map((path) => new URL(path, import.meta.url));
await import((mains.find((main) => existsSync(main)) ?? mains[0]).href);
