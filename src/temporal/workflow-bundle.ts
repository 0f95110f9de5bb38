import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { SOURCE_EXTENSION } from '../domain/source-extension.ts';

const BUNDLER = fileURLToPath(new URL(`bundle-workflows${SOURCE_EXTENSION}`, import.meta.url));
const ROOT = fileURLToPath(new URL('../../', import.meta.url));
/** Everything a workflow may reach besides Temporal's own code. */
const SOURCE_FOLDERS = ['workflows', join('src', 'domain')];

/**
 * The code that runs in Temporal's sandbox, as a worker wants it (`workflowBundle`). Built once per version of the sources
 * and of the SDK and kept in `cacheDirectory`, so that only the first start takes seconds; an image build calls it ahead.
 */
export async function workflowBundle(cacheDirectory: string): Promise<{ codePath: string }> {
  const codePath = join(cacheDirectory, `workflows-${await sourcesHash()}.js`);
  if (await exists(codePath)) return { codePath };
  await mkdir(cacheDirectory, { recursive: true });
  // Two processes may build at once: each writes a file of its own and puts it in place whole.
  const ownPath = `${codePath}.${process.pid}`;
  // In a process of its own: a worker would keep the 150 MB that it takes.
  await promisify(execFile)(process.execPath, [BUNDLER, ownPath]).catch((cause: unknown) => {
    throw new Error(`The workflows could not be bundled: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  });
  await rename(ownPath, codePath);
  return { codePath };
}

async function sourcesHash(): Promise<string> {
  const { version } = JSON.parse(await readFile(createRequire(import.meta.url).resolve('@temporalio/worker/package.json'), 'utf8'));
  // How it is bundled counts as well.
  const hash = createHash('sha256')
    .update(String(version))
    .update(await readFile(BUNDLER));
  for (const folder of SOURCE_FOLDERS) {
    for (const path of (await readdir(join(ROOT, folder), { recursive: true })).toSorted()) {
      if (!/\.[jt]s$/.test(path)) continue;
      hash.update(`\n${folder}/${path}\n`).update(await readFile(join(ROOT, folder, path)));
    }
  }
  return hash.digest('hex').slice(0, 16);
}

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}
