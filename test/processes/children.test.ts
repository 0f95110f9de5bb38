import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { createChildren } from '../../src/processes/local/children.ts';
import { until } from '../helpers/until.ts';

const CHILDREN = new URL('../../src/processes/local/children.ts', import.meta.url).href;
let folder: string;

before(async () => void (folder = await mkdtemp(join(tmpdir(), 'nightshift-children-'))));
after(async () => await rm(folder, { recursive: true, force: true }));

const isAlive = (pid: number) => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};
const pidIn = async (path: string) => Number(await readFile(path, 'utf8').catch(() => ''));

/** A child that writes its pid and its end, and takes its time to end. */
const slow = (name: string, file: string) => ({
  name,
  command: process.execPath,
  args: [
    '-e',
    `const fs = require('node:fs'); setInterval(() => {}, 1000);
    process.on('SIGTERM', () => setTimeout(() => { fs.appendFileSync('${file}.end', '${name} '); process.exit(0); }, 100));
    fs.writeFileSync('${file}', String(process.pid));`,
  ],
  graceMs: 5_000,
  isReady: async () => (await pidIn(file)) > 0,
});

describe('createChildren', () => {
  it('ends the one started last first, each when the one before is gone', async () => {
    const children = createChildren({ logs: join(folder, 'logs'), signal: new AbortController().signal, onRestart: () => undefined });
    const [a, b] = [join(folder, 'a'), join(folder, 'b')];
    await children.start(slow('first', a));
    await children.start({ ...slow('second', b), args: slow('second', b).args.map((text) => text.replace(`'${b}.end'`, `'${a}.end'`)) });
    const pids = [await pidIn(a), await pidIn(b)];
    await children.stop();
    assert.equal(await readFile(`${a}.end`, 'utf8'), 'second first ');
    assert.deepEqual(pids.map(isAlive), [false, false]);
  });

  it('starts one that dies again', async () => {
    const sentences: string[] = [];
    const children = createChildren({
      logs: join(folder, 'logs'),
      signal: new AbortController().signal,
      onRestart: (sentence) => sentences.push(sentence),
    });
    const file = join(folder, 'again');
    await children.start(slow('again', file));
    const first = await pidIn(file);
    process.kill(first, 'SIGKILL');
    await until(async () => ![0, first].includes(await pidIn(file)), { what: 'a second process' });
    await children.stop();
    assert.equal(isAlive(await pidIn(file)), false);
    assert.match(sentences.join(), /^again ended \(SIGKILL\)/);
  });

  it('shows the last words of one that does not start', async () => {
    const children = createChildren({ logs: join(folder, 'logs'), signal: new AbortController().signal, onRestart: () => undefined });
    const spec = {
      name: 'broken',
      command: process.execPath,
      args: ['-e', 'console.error("no such disk"); process.exit(3)'],
      graceMs: 1_000,
      isReady: async () => await Promise.resolve(false),
    };
    await assert.rejects(children.start(spec), /broken did not start[\s\S]*no such disk/);
    await children.stop();
  });

  it('says why a program cannot be started, and still ends the others', async () => {
    const children = createChildren({ logs: join(folder, 'logs'), signal: new AbortController().signal, onRestart: () => undefined });
    const file = join(folder, 'beside');
    await children.start(slow('beside', file));
    const pid = await pidIn(file);
    const spec = { name: 'absent', command: join(folder, 'no-such-program'), args: [], graceMs: 1_000, isReady: async () => false };
    await assert.rejects(children.start(spec), /absent did not start[\s\S]*ENOENT/);
    await children.stop();
    assert.equal(isAlive(pid), false);
  });

  it('leaves nothing behind when the process that started them is killed', async () => {
    const file = join(folder, 'orphan');
    const { name, args, graceMs } = slow('orphan', file);
    const script = `
      const { createChildren } = await import('${CHILDREN}');
      const children = createChildren({ logs: '${join(folder, 'logs')}', signal: new AbortController().signal, onRestart: () => {} });
      await children.start({ name: '${name}', command: process.execPath, args: ${JSON.stringify(args)}, graceMs: ${graceMs}, isReady: async () => true });
      console.log('started');`;
    const parent = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    let said = '';
    parent.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
    await until(async () => said.includes('started') && (await pidIn(file)) > 0, { what: 'the child' });
    const pid = await pidIn(file);
    parent.kill('SIGKILL');
    await once(parent, 'exit');
    await until(() => Promise.resolve(!isAlive(pid)), { what: 'the end of the child' });
    assert.equal(await readFile(`${file}.end`, 'utf8'), 'orphan ');
  });
});
