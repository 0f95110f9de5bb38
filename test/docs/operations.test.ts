import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { access, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { Client, Connection } from '@temporalio/client';
import { parse } from 'yaml';
import { serverBinary } from '../../src/processes/local/server-binaries.ts';
import { provision } from '../../src/temporal/provision.ts';
import { startTemporal, type TestServer } from '../helpers/servers.ts';
import { composeServices } from '../deploy/compose-file.ts';

const run = promisify(execFile);
const page = await readFile('docs/operations.md', 'utf8');
const services = await composeServices();
const BATCH = 'batch_0123456789abcdef0123456789abcdef';

/** The commands of a block of sh, with their continued lines joined and without comments. */
function commandsOf(block: string): string[] {
  return block
    .replaceAll('\\\n', ' ')
    .split('\n')
    .map((line) => line.replace(/\s+#.*$/, '').trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
}

const blocks = [...page.matchAll(/^( *)```sh\n([\s\S]*?)^\1```$/gm)].map(([, indent = '', body = '']) =>
  body.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
);
const commands = blocks.flatMap(commandsOf);
/** Commands in the text: those between backticks that begin like one. */
const inline = [...page.matchAll(/`((?:docker compose|temporal|npx|npm|curl) [^`…][^`]*)`/g)].map(([, command = '']) => command);
const all = [...commands, ...inline];
/** Without the settings before it. */
const program = (command: string) => command.replace(/^(?:[A-Z_]+=\S+ )+/, '').split(/\s+/)[0] ?? '';

describe('docs/operations.md', () => {
  it('has commands', () => assert.ok(commands.length > 25 && inline.length > 15, `${commands.length} ${inline.length}`));

  it('has blocks that a shell can parse', async () => {
    for (const block of blocks) await run('sh', ['-n', '-c', block]);
  });

  it('begins every command with a program that its reader has', () => {
    const known = ['docker', 'temporal', 'git', 'mkdir', 'tar', 'rm', 'npm', 'npx', 'node', 'curl'];
    for (const command of commands) assert.ok(known.includes(program(command)), command);
  });

  it('names services, profiles, scripts and volumes that docker-compose.yml has', async () => {
    const file = await readFile('docker-compose.yml', 'utf8');
    const compose = all.filter((command) => program(command) === 'docker');
    assert.ok(compose.length > 15);
    for (const command of compose) {
      for (const [, profile = ''] of command.matchAll(/--profile (\S+)/g)) assert.ok(file.includes(`profiles: [${profile}]`), command);
      for (const [, volume = ''] of command.matchAll(/nightshift_(\w+)/g)) assert.match(file, new RegExp(`^  ${volume}:$`, 'm'), command);
      for (const [, script = ''] of command.matchAll(/\/deploy\/([\w-]+)/g)) await access(`deploy/minio/${script}`);
      for (const name of servicesIn(command)) assert.ok(name in services, `${name} in: ${command}`);
    }
  });

  it('has overrides of services that docker-compose.yml has, with variables that reach them', async () => {
    const known = await readFile('docs/configuration.md', 'utf8');
    const overrides = [...page.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, body = '']) => body);
    assert.ok(overrides.length >= 2);
    for (const body of overrides) {
      const override: { services: Record<string, { environment?: Record<string, unknown>; extends?: { service: string } }> } = parse(body);
      for (const [name, { environment = {}, extends: base }] of Object.entries(override.services)) {
        assert.ok((base?.service ?? name) in services, name);
        for (const variable of Object.keys(environment).filter((each) => each.startsWith('NIGHTSHIFT_')))
          assert.ok(known.includes(`\`${variable}\``), variable);
      }
    }
  });

  it('confirms in advance what Temporal would ask about', () => {
    const asking = page.match(/set-(?:current|ramping)-version --[^`\n]*|terminate [^`]*--query[^`]*/g) ?? [];
    assert.ok(asking.length >= 4);
    for (const command of asking) assert.match(command, / --yes\b/, command);
  });

  it('names npm scripts that package.json has', async () => {
    const { scripts }: { scripts: Record<string, string> } = JSON.parse(await readFile('package.json', 'utf8'));
    for (const command of all.filter((each) => program(each) === 'npm')) {
      const [, name = ''] = /^npm (?:run )?(?:-s )?([\w:]+)/.exec(command) ?? [];
      assert.ok(name in scripts || name === 'ci', command);
    }
  });
});

/** The services that a command of `docker compose` names, by the shape of its subcommand. */
function servicesIn(command: string): string[] {
  const [, subcommand = '', rest = ''] = /compose (?:--\S+ \S+ )?(\w+)(.*)/.exec(command) ?? [];
  const words = rest
    .replaceAll(/"[^"]*"|'[^']*'/g, 'quoted')
    .replaceAll(/ (--scale \w+=\d+|--user \S+|--volume \S+|--entrypoint \S+|--name \S+|--tail \S+|-\S+)/g, '')
    .trim()
    .split(/\s+/)
    .filter((word) => word !== '');
  if (subcommand === 'exec' || subcommand === 'run') return words.slice(0, 1);
  return ['up', 'stop', 'start', 'restart', 'logs', 'build'].includes(subcommand) ? words : [];
}

describe('the commands of Temporal in docs/operations.md', () => {
  let temporal: TestServer;
  let binary: string;
  let client: Client;

  before(async () => {
    [temporal, binary] = await Promise.all([startTemporal(), serverBinary('temporal')]);
    const connection = await Connection.connect({ address: temporal.address });
    await provision({ connection, namespace: 'default', sweepIntervalMs: 60_000, retentionDays: 3 });
    client = new Client({ connection });
  });
  after(async () => {
    await client.connection.close();
    await temporal[Symbol.asyncDispose]();
  });

  /** A batch and its first shard, which no worker takes. */
  async function startBatch(): Promise<void> {
    for (const workflowId of [BATCH, `${BATCH}/shard-0000`])
      await client.workflow.start('batch', { workflowId, taskQueue: 'nightshift', workflowIdConflictPolicy: 'USE_EXISTING' });
    await client.workflow.start('queue', {
      workflowId: 'queue/default',
      taskQueue: 'nightshift',
      workflowIdConflictPolicy: 'USE_EXISTING',
    });
  }

  const temporals = all
    .map((command) => command.replace(/^docker compose exec temporal /, ''))
    .filter((command) => program(command) === 'temporal');
  // A query needs a worker; the others need workers that have a build id: test/e2e/versions.test.ts runs them.
  const runnable = [...new Set(temporals)].filter((command) => !/^temporal (worker deployment|workflow query)/.test(command));

  for (const command of runnable) {
    it(`runs: ${command}`, async () => {
      await startBatch();
      const script = command
        .replaceAll('batch_…', BATCH)
        .replaceAll('--reason …', '--reason checked')
        .replaceAll("BatchModel = '…'", "BatchModel = 'a-model'");
      assert.doesNotMatch(script, /…/);
      const env = { ...process.env, PATH: `${dirname(binary)}${delimiter}${process.env['PATH']}`, TEMPORAL_ADDRESS: temporal.address };
      await run('sh', ['-c', script], { env });
    });
  }
});

describe('back up and restore of `npm start` in docs/operations.md', () => {
  it('brings back what the data folder held', async () => {
    const [, backUp = '', restore = ''] =
      /^### Back up and restore `npm start`[\s\S]*?```sh\n([\s\S]*?)```[\s\S]*?```sh\n([\s\S]*?)```/m.exec(page) ?? [];
    const home = await mkdtemp(join(tmpdir(), 'nightshift-home-'));
    try {
      const sh = async (script: string) => (await run('sh', ['-ec', script], { cwd: home })).stdout;
      await sh('mkdir -p .nightshift/store/content; cd .nightshift; echo object > store/content/file');
      await sh('cd .nightshift; echo keys > keys.json; echo kind > store.json');
      await sh('echo history > .nightshift/temporal-1.9.1.db');
      await sh(backUp);
      await sh('echo later > .nightshift/store/content/file; echo later > .nightshift/store/content/other');
      await sh(restore);
      assert.equal(await sh('cd .nightshift; cat store/content/file keys.json store.json'), 'object\nkeys\nkind\n');
      assert.equal(await sh('cd .nightshift; ls . store/content'), '.:\nkeys.json\nstore\nstore.json\n\nstore/content:\nfile\n');
    } finally {
      await rm(home, { recursive: true, force: true });
    }
  });
});
