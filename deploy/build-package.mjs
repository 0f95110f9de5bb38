// `npm pack` runs this. Node strips no types below node_modules, so the package has JavaScript, in `dist`.
import { execFileSync } from 'node:child_process';
import { cpSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const ROOT = new URL('../', import.meta.url);
const path = (name) => fileURLToPath(new URL(name, ROOT));

rmSync(path('dist'), { recursive: true, force: true });
execFileSync(process.execPath, [path('node_modules/typescript/bin/tsc'), '-p', path('tsconfig.build.json')], { stdio: 'inherit' });
// Compiled files find them where the sources do.
for (const name of ['bin/nightshift.mjs', 'examples/first-batch.jsonl']) cpSync(path(name), path(`dist/${name}`));
// Bundled ahead, so that the first worker starts at once.
const { workflowBundle } = await import(new URL('dist/src/temporal/workflow-bundle.js', ROOT));
await workflowBundle(path('dist/bundle'));
