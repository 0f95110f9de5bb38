import { execFile } from 'node:child_process';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import packageJson from '../../package.json' with { type: 'json' };
import { serverBinary } from '../../src/processes/local/server-binaries.ts';
import { CANCEL_SIGNAL } from '../../workflows/contract.ts';
import { type Engine, startEngine } from './engine.ts';
import { HISTORIES } from './histories.ts';
import { createModel, type Fate, gate, type Model, type ModelOptions, until } from './model.ts';

/**
 * Runs one batch of every kind on the workflows as they are now, and writes their histories, of batch and shards, into the
 * folder of this version: `npm run histories`. Folders of earlier versions stay as long as one of their batches may still run.
 */

/** How many workflow runs a kind leaves behind. */
interface Kind {
  runs: number;
  play(engine: Engine): Promise<Model>;
}

const never = new Promise<Fate>(() => undefined);
const onlyThree = async (line: number): Promise<Fate> => (line <= 3 ? 'completed' : await never);

/** A batch that nobody disturbs. */
function undisturbed(options: ModelOptions, runs: number): Kind {
  return {
    runs,
    async play(engine) {
      const model = createModel(options);
      await (await engine.start(model)).result();
      return model;
    },
  };
}

const KINDS: Record<string, Kind> = {
  completed: undisturbed({ shards: [4, 4, 4, 4, 4], policy: { linesPerActivity: 2 } }, 6),
  refused: undisturbed({ shards: [1], refused: true }, 1),
  expired: undisturbed({ shards: [5, 5], fate: onlyThree, windowMs: 2_000 }, 3),
  'continued-as-new': undisturbed({ shards: [2, 2, 2, 2, 2], policy: { shardsPerRun: 2 } }, 8),
  'faults-and-losses': undisturbed(
    {
      shards: [8],
      policy: { linesPerActivity: 4 },
      fate: (line, attempt) => {
        if (attempt > 2) return 'completed';
        if (line === 2) return 'fault';
        if (attempt === 1 && line === 5) return 'lost';
        if (attempt === 1 && line === 7) return 'untouched';
        return line === 8 ? 'failed' : 'completed';
      },
    },
    2,
  ),

  'cancelled-while-validating': {
    runs: 1,
    async play(engine) {
      const held = gate();
      const model = createModel({ shards: [2], before: { validateInput: held.wait } });
      const handle = await engine.start(model);
      await until('validation runs', () => model.validations.count === 1);
      model.requestCancel();
      await handle.signal(CANCEL_SIGNAL);
      await handle.result();
      held.open();
      return model;
    },
  },

  'cancelled-in-progress': {
    runs: 3,
    async play(engine) {
      const model = createModel({ shards: [5, 5, 5, 5], fate: onlyThree, policy: { linesPerActivity: 5 } });
      const handle = await engine.start(model);
      await until('line 4 is on the wire, and the second shard has begun', () => model.inFlight.has(4) && model.inFlight.has(6));
      model.requestCancel();
      await handle.signal(CANCEL_SIGNAL);
      await handle.result();
      return model;
    },
  },

  'cancelled-while-finalizing': {
    runs: 2,
    async play(engine) {
      const held = gate();
      const model = createModel({ shards: [2], before: { publishResults: held.wait } });
      const handle = await engine.start(model);
      await until('results are being published', () => model.published.length === 1);
      model.requestCancel();
      await handle.signal(CANCEL_SIGNAL);
      held.open();
      await handle.result();
      return model;
    },
  },

  'cancelled-in-temporal': {
    runs: 3,
    async play(engine) {
      const model = createModel({ shards: [5, 5], fate: onlyThree });
      const handle = await engine.start(model);
      await until('three lines are answered', () => model.outcomes.size === 3);
      await handle.cancel();
      await handle.result().catch(() => undefined);
      return model;
    },
  },

  'terminated-and-resumed': {
    runs: 5,
    async play(engine) {
      const held = gate();
      const fate = async (line: number): Promise<Fate> => {
        if (line >= 6) await held.wait();
        return 'completed';
      };
      const model = createModel({ shards: [4, 4], fate });
      const first = await engine.start(model);
      await until('the first shard is closed', () => model.closedShards.size === 1 && model.outcomes.size === 5);
      await first.terminate('test');
      const second = await engine.start(model);
      await until('the second run sends', () => model.slices.some(({ resumed }) => resumed));
      held.open();
      await second.result();
      return model;
    },
  },

  'shard-terminated': {
    runs: 3,
    async play(engine) {
      const held = gate();
      const fate = async (line: number): Promise<Fate> => {
        if (line >= 3) await held.wait();
        return 'completed';
      };
      const model = createModel({ shards: [4], fate });
      const handle = await engine.start(model);
      await until('half of it is done', () => model.outcomes.size === 2);
      await engine.client.workflow.getHandle(`${model.id}/shard-0000`).terminate('test');
      held.open();
      await handle.result();
      return model;
    },
  },
};

await using engine = await startEngine();
const temporal = await serverBinary('temporal');

/** As Temporal's own command writes it. */
async function historyOf(workflowId: string, runId: string): Promise<unknown> {
  const args = ['workflow', 'show', '-w', workflowId, '-r', runId, '--output', 'json', '--address', engine.server.address];
  const { stdout } = await promisify(execFile)(temporal, args, { maxBuffer: 64 * 1024 * 1024 });
  return JSON.parse(stdout);
}

/** Without the names of the machine, its files and its processes. */
function scrubbed(name: string, value: unknown): unknown {
  if (name === 'stackTrace') return '';
  return typeof value === 'string' ? value.replace(/\d+@.*/, 'worker').replaceAll(hostname(), 'host') : value;
}

const folder = join(HISTORIES, packageJson.version);
await rm(folder, { recursive: true, force: true });
await mkdir(folder, { recursive: true });
for (const [name, kind] of Object.entries(KINDS)) {
  const { id } = await kind.play(engine);
  const lines: string[] = [];
  await until(`the ${kind.runs} runs of ${name} are listed`, async () => {
    lines.length = 0;
    let running = 0;
    for await (const { workflowId, runId, status } of engine.client.workflow.list()) {
      if (workflowId.split('/')[0] !== id) continue;
      if (status.name === 'RUNNING') running += 1;
      const history = await historyOf(workflowId, runId);
      lines.push(JSON.stringify({ workflowId, history }, scrubbed));
    }
    return running === 0 && lines.length >= kind.runs;
  });
  await writeFile(join(folder, `${name}.jsonl`), `${lines.join('\n')}\n`);
  process.stdout.write(`${name}: ${lines.length} histories\n`);
}
