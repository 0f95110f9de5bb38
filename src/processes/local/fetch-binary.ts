import { chmod, copyFile, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { arch, platform } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { runCommand } from './run-command.ts';
import type { Steps } from './steps.ts';

/** A way to get a server's binary: leaves a file of the server's name somewhere below `folder`, or throws a sentence that says why not. */
export interface Way {
  title: string;
  fetch(folder: string, progress: (detail: string) => void, signal: AbortSignal): Promise<void>;
}

/**
 * Fetches a binary to `target`, trying one way after the other. The file appears there complete or not at all. Throws when
 * no way works, with what was wrong with each.
 */
export async function fetchBinary(ways: readonly Way[], target: string, steps: Steps, signal: AbortSignal): Promise<void> {
  const [home, name] = [dirname(target), basename(target)];
  await mkdir(dirname(home), { recursive: true });
  const failures: string[] = [];
  for (const way of ways) {
    const folder = await mkdtemp(join(dirname(home), `.fetch-${name}-`));
    const step = steps.begin(`fetching ${name}: ${way.title}`);
    try {
      await way.fetch(folder, step.progress, signal);
      const entries = await readdir(folder, { recursive: true, withFileTypes: true });
      const found = entries.find((entry) => entry.isFile() && entry.name === name);
      if (found === undefined) throw new Error(`${name} is not in it`);
      // A file of its own and a rename on the same disk: whoever looks sees nothing or all of it.
      const complete = join(folder, 'complete');
      await copyFile(join(found.parentPath, found.name), complete);
      await chmod(complete, 0o755);
      await mkdir(home, { recursive: true });
      await rename(complete, target);
      step.done(`kept as ${target}`);
      return;
    } catch (error) {
      if (signal.aborted) throw error;
      const reason = error instanceof Error ? error.message : String(error);
      step.failed(reason);
      failures.push(`${way.title}: ${reason}`);
    } finally {
      // Go makes its module cache read-only, but that lies elsewhere; here everything can go.
      await rm(folder, { recursive: true, force: true });
    }
  }
  throw new Error(failures.map((failure) => `  ${failure}`).join('\n'));
}

/** Builds a Go program from its module, which Go checks against its checksum database; needs Go. */
export function goInstall(module: string): Way {
  return {
    title: `go install ${module} (about three minutes)`,
    async fetch(folder, progress, signal) {
      let [downloaded, compiled] = [0, 0];
      const onLine = (line: string) => {
        if (line.startsWith('go: ')) downloaded += 1;
        else compiled += 1;
        progress(compiled === 0 ? `${downloaded} modules downloaded` : `${compiled} packages compiled`);
      };
      await runCommand('go', ['install', '-v', module], { signal, env: { GOBIN: folder }, onLine });
    },
  };
}

/** `linux` and `amd64`, as Go programs are published. */
export const goPlatform = { os: platform() === 'win32' ? 'windows' : platform(), arch: arch() === 'x64' ? 'amd64' : arch() };
