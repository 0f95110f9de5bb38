import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { bareEnvironment } from '../helpers/environment.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PAGE = join(ROOT, 'docs/tutorial.md');
/** These download a model, and start what a test has already. */
const STARTS_SERVERS = /^(?:ollama|llama-server|NIGHTSHIFT_UPSTREAM_URL=\S+ npm) /m;
/** Reader and test type the same commands. Only the programs behind them differ. */
const PROGRAMS = `
npx() { shift; "$NODE" "$NIGHTSHIFT" "$@"; }
python() { "$PYTHON" "$@"; }
pip() { echo "pip $*"; }
upstream() { curl -sS -o /dev/null "$UPSTREAM/__set" -d "$1"; }
`;

/** A step of the tutorial: commands, and lines of output that the page shows. */
interface Step {
  commands: string;
  expected: readonly string[];
}

/** What a step wrote, and the lines of the page that are not in it. */
export interface StepResult {
  commands: string;
  output: string;
  missing: readonly string[];
}

/** The steps of docs/tutorial.md: each block of commands, with the block of output behind it. */
async function readSteps(): Promise<{ run: Step[]; left: number }> {
  const page = await readFile(PAGE, 'utf8');
  const steps = [...page.matchAll(/^```sh\n([\s\S]*?)^```$(?:\n\n```text\n([\s\S]*?)^```$)?/gm)].map(
    ([, commands = '', expected = '']): Step => ({ commands, expected: expected.split('\n').filter((line) => line !== '') }),
  );
  const run = steps.filter(({ commands }) => !STARTS_SERVERS.test(commands));
  return { run, left: steps.length - run.length };
}

/** Runs the tutorial in a folder of its own, by one shell, because later steps use variables of earlier ones. */
export async function runTutorial(given: {
  baseURL: string;
  apiKey: string;
  upstream: string;
  python: string;
}): Promise<{ results: StepResult[]; left: number }> {
  const { run, left } = await readSteps();
  const home = await mkdtemp(join(tmpdir(), 'nightshift-tutorial-'));
  try {
    await symlink(join(ROOT, 'examples'), join(home, 'examples'));
    const script = [PROGRAMS, ...run.map(({ commands }, index) => `echo "=== ${index}"\n${slowedDown(commands)}`)].join('\n');
    const env = bareEnvironment({
      NODE: process.execPath,
      NIGHTSHIFT: join(ROOT, 'bin/nightshift.mjs'),
      PYTHON: given.python,
      UPSTREAM: given.upstream,
      NIGHTSHIFT_BASE_URL: given.baseURL,
      NIGHTSHIFT_API_KEY: given.apiKey,
    });
    const { stdout } = await promisify(execFile)('bash', ['-c', `exec 2>&1\n${script}`], { cwd: home, env });
    const outputs = stdout.split(/^=== \d+\n/m).slice(1);
    const results = run.map(({ commands, expected }, index): StepResult => {
      const output = outputs[index] ?? '';
      return { commands, output, missing: expected.filter((line) => !patternOf(line).test(output)) };
    });
    return { results, left };
  } finally {
    await rm(home, { recursive: true, force: true });
  }
}

/** The example upstream is too fast to be cancelled; a model on a laptop is not. */
function slowedDown(commands: string): string {
  return / cancel /.test(commands) ? `upstream '{"latency":3000}'\n${commands}upstream '{"latency":5}'\n` : commands;
}

/** A line of output, with `…` for anything. */
function patternOf(line: string): RegExp {
  const literal = line.split('…').map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`));
  return new RegExp(`^${literal.join('.*')}$`, 'm');
}
