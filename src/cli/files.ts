import { join } from 'node:path';
import { CommandError, WrongCall } from './command-error.ts';
import { defineCommand, wholeNumber } from './command.ts';
import { printContent } from './deliver.ts';
import { utc } from './describe-batch.ts';
import { EXIT } from './exit-codes.ts';
import { firstUrl } from './first-request.ts';
import { openInput } from './open-input.ts';
import { bytes } from './progress-line.ts';
import { isFolder, saveFile } from './save-file.ts';
import { fileNameOf } from './save-results.ts';
import { table } from './table.ts';
import { createTransfers } from './transfer-line.ts';
import { uploadShown } from './upload-shown.ts';
import { type File, UPLOAD_PURPOSES } from '../domain/file.ts';

/** `nightshift files list`. */
export const filesList = defineCommand({
  usage: 'files list [options]',
  about: 'Lists files, newest first, and says on stderr how many bytes they have together.',
  options: {
    limit: { type: 'string', value: 'N', default: '20', help: 'how many; 20 by default' },
    all: { type: 'boolean', help: 'all of them, without a limit' },
    purpose: { type: 'string', value: 'PURPOSE', help: 'only files with this purpose: batch, batch_output or user_data' },
    after: { type: 'string', value: 'ID', help: 'go on after this file' },
    json: { type: 'boolean', help: 'the list as the API answers it: data, first_id, last_id, has_more' },
  },
  words: [0, 0],
  async run(values, _words, { api, output }) {
    const limit = values.all ? Infinity : wholeNumber('limit', values.limit, 1, 1_000_000);
    const { client } = api();
    const data: File[] = [];
    let [after, hasMore]: [string | null, boolean] = [values.after ?? null, true];
    while (hasMore && data.length < limit) {
      const { purpose } = values;
      const page = await client.listFiles({
        limit: Math.min(1000, limit - data.length),
        after,
        ...(purpose === undefined ? {} : { purpose }),
      });
      const last = page.data.at(-1)?.id ?? null;
      data.push(...page.data);
      // An API that ignores `after` would answer the same page again and again.
      [after, hasMore] = [last, page.hasMore && last !== null && last !== after];
    }
    const [first, last] = [data[0]?.id ?? null, data.at(-1)?.id ?? null];
    if (values.json) {
      output.printJson({ object: 'list', data, first_id: first, last_id: last, has_more: hasMore });
      return EXIT.ok;
    }
    const rows = data.map((file) => [
      file.id,
      file.purpose,
      bytes(file.bytes),
      utc(file.created_at),
      file.expires_at === null ? 'never' : utc(file.expires_at),
      file.filename,
    ]);
    if (rows.length > 0) output.print(table(['ID', 'PURPOSE', 'SIZE', 'CREATED (UTC)', 'EXPIRES (UTC)', 'NAME'], rows));
    const sum = bytes(data.reduce((total, file) => total + file.bytes, 0));
    output.note(`${data.length} files, ${sum}${hasMore && last !== null ? `; more: nightshift files list --after ${last}` : ''}`);
    return EXIT.ok;
  },
});

/** `nightshift files get`. */
export const filesGet = defineCommand({
  usage: 'files get ID [options]',
  about: `
Downloads the content of a file under the name that it has, and prints the path. A download that breaks off is continued, also by
a later call.`,
  options: {
    output: { type: 'string', short: 'o', value: 'PATH', help: 'a file or folder to put it, or - to print it' },
    force: { type: 'boolean', help: 'replace a file that is there already' },
    json: { type: 'boolean', help: 'print the file object as JSON, with the path' },
  },
  words: [1, 1],
  async run(values, [id = ''], { api, output }) {
    const { client } = api();
    if (values.output === '-') {
      await printContent(client, id, output);
      return EXIT.ok;
    }
    const file = await client.getFile(id);
    const name = fileNameOf(file.filename === '' ? file.id : file.filename);
    const path = values.output === undefined ? name : (await isFolder(values.output)) ? join(values.output, name) : values.output;
    const transfers = createTransfers(output);
    const progress = transfers.begin(`downloading ${path}`);
    try {
      // The id in its name keeps parts of different files apart.
      const part = `${path}.${fileNameOf(file.id)}.part`;
      const done = await saveFile(client, { id: file.id, path, part, force: values.force, onBytes: progress.onBytes });
      if (done === 'was there') transfers.note(`${path} is there already, complete.`);
    } finally {
      progress.end();
    }
    if (values.json) output.printJson({ ...file, path });
    else output.print(`${path}\n`);
    return EXIT.ok;
  },
});

/** `nightshift files rm`. */
export const filesRm = defineCommand({
  usage: 'files rm ID… [options]',
  about: 'Deletes files. A batch that has ended keeps its results unless you delete its output and error file.',
  options: {},
  words: [1, Infinity],
  async run(_values, ids, { api, output }) {
    const { client } = api();
    const faults: string[] = [];
    for (const id of ids) {
      try {
        await client.deleteFile(id);
        output.print(`${id} is deleted\n`);
      } catch (error) {
        if (!(error instanceof CommandError)) throw error;
        if (ids.length === 1 || error.exitCode === EXIT.unreachable) throw error;
        faults.push(`${id}: ${error.message}`);
      }
    }
    if (faults.length > 0) throw new CommandError(faults.join('\n'));
    return EXIT.ok;
  },
});

/** `nightshift files upload`. */
export const filesUpload = defineCommand({
  usage: 'files upload FILE [options]',
  about: 'Uploads a file (- for standard input; gzip is unpacked) and prints its id.',
  options: {
    purpose: { type: 'string', value: 'PURPOSE', default: 'batch', help: 'batch or user_data; batch by default' },
    json: { type: 'boolean', help: 'print the file object as JSON' },
  },
  words: [1, 1],
  async run(values, [path = ''], { api, output, signal, stdin }) {
    const purpose = UPLOAD_PURPOSES.find((each) => each === values.purpose);
    if (purpose === undefined)
      throw new WrongCall(`--purpose is ${JSON.stringify(values.purpose)}, but it takes ${UPLOAD_PURPOSES.join(' or ')}.`);
    const { client } = api();
    await using input = await openInput(path, { stdin, signal });
    if (purpose === 'batch') await firstUrl(input);
    const file = await uploadShown(client, input, { output, purpose });
    if (values.json) output.printJson(file);
    else output.print(`${file.id}\n`);
    return EXIT.ok;
  },
});
