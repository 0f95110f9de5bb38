import { access, mkdir } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fetchBinary, goInstall } from '../../src/processes/local/fetch-binary.ts';
import { withLock } from '../../src/processes/local/lock.ts';
import { quietSteps, type Steps } from '../../src/processes/local/steps.ts';

const VERSION = '3.22.0';

/** Path of `helm` of the version that the tests are made for: in the cache of this user, or built into it with Go. */
export async function helmBinary(steps: Steps = quietSteps): Promise<string> {
  const cache = join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'nightshift');
  const path = join(cache, `helm-${VERSION}`, 'helm');
  if (await exists(path)) return path;
  await mkdir(cache, { recursive: true });
  const { signal } = new AbortController();
  return await withLock(join(cache, `helm-${VERSION}.lock`), signal, async () => {
    if (!(await exists(path))) await fetchBinary([goInstall(`helm.sh/helm/v3/cmd/helm@v${VERSION}`)], path, steps, signal);
    return path;
  });
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}
