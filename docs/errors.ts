import { readFile, readdir, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { crashedLineResult } from '../activities/run-requests/line-results.ts';
import type { Outcome } from '../src/domain/attempt.ts';
import { notRunLine, type NotRunReason } from '../src/domain/result-line.ts';
import {
  BATCH_ERRORS,
  FORM_ERRORS,
  HTTP_ERRORS,
  INPUT_ERRORS,
  OPERATOR_ERRORS,
  type Explained,
  SOURCE_ERRORS,
  UPLOAD_ERRORS,
  WEBHOOK_ERRORS,
} from './error-samples.ts';

const PAGE = new URL('errors.md', import.meta.url);
const API = new URL('../src/api/', import.meta.url);
const BLOCK = /(?<=<!-- (\w+): npm run errors -->\n)[\s\S]*?(?=<!-- \/\1 -->)/g;

/** docs/errors.md as it stands, and as it would stand with the errors of today. */
export async function errorsPage(): Promise<{ found: string; current: string }> {
  const found = await readFile(PAGE, 'utf8');
  const tables: Record<string, string> = { api: await apiTable(), input: inputTable(), results: resultsTable() };
  return { found, current: found.replace(BLOCK, (_block, name: string) => tables[name] ?? '') };
}

interface ApiRow {
  status: number;
  code: string | null;
  param: string | null;
  message: string;
  advice: string;
}

async function apiTable(): Promise<string> {
  const made = [HTTP_ERRORS, BATCH_ERRORS, UPLOAD_ERRORS, WEBHOOK_ERRORS, OPERATOR_ERRORS]
    .flatMap((each) => Object.values(each))
    .map(([{ status, code, param, message }, advice]): ApiRow => ({ status, code, param, message, advice }));
  const rows = [...made, ...(await errorsInSources())];
  rows.sort((a, b) => a.status - b.status || (a.code ?? '').localeCompare(b.code ?? ''));
  return table(
    ['status', '`code`', '`param`', 'message', 'what to do'],
    rows.map(({ status, code, param, message, advice }) => [String(status), name(code), name(param), text(message), advice]),
  );
}

/** The errors that files of the API make in place: each literal with a status and a message, and the faults of forms. */
async function errorsInSources(): Promise<ApiRow[]> {
  const names = (await readdir(API, { recursive: true })).filter((each) => each.endsWith('.ts') && !each.startsWith('errors/')).toSorted();
  const sources = (await Promise.all(names.map(async (each) => await readFile(new URL(each, API), 'utf8')))).join('\n');
  const inPlace = [...sources.matchAll(/status: (\d{3}),\s*message: (['"`])(.*?)\2/gs)];
  const ofForms = [...sources.matchAll(/new MalformedForm\((['"`])(.*?)\1/gs)];
  return [
    ...explained(SOURCE_ERRORS, new Map(inPlace.map(([, status, , message]) => [constant(message), Number(status)]))),
    ...explained(FORM_ERRORS, new Map(ofForms.map(([, , message]) => [constant(message), 400]))),
  ];
}

function explained(advice: Readonly<Record<string, string>>, found: ReadonlyMap<string, number>): ApiRow[] {
  const gone = Object.keys(advice).filter((message) => !found.has(message));
  if (gone.length > 0) throw new Error(`docs/error-samples.ts explains messages that src/api does not have: ${gone.join(' | ')}`);
  return [...found].map(([message, status]) => {
    const todo = advice[message];
    if (todo === undefined) throw new Error(`docs/error-samples.ts has no advice for "${message}" of src/api: add it`);
    return { status, code: null, param: null, message, advice: todo };
  });
}

/** The text of a template with `…` for what is filled in. */
function constant(template = ''): string {
  return template.replaceAll(/\$\{[^}]*\}/g, '…');
}

function inputTable(): string {
  const rows = Object.values(INPUT_ERRORS).map(([{ code, param, line, message }, advice]) => [
    name(code),
    name(param),
    line === null ? 'no' : 'yes',
    text(message),
    advice,
  ]);
  const sorted = rows.toSorted(([a = ''], [b = '']) => a.localeCompare(b));
  return table(['`code`', '`param`', 'has a line', 'message', 'what to do'], sorted);
}

const FAILURES: Readonly<Record<Extract<Outcome, { kind: 'errored' }>['code'], Explained<string>>> = {
  connection_error: [
    'says what happened to the connection',
    'The server closed or reset the connection. Look at its log for crashes, then send the line again.',
  ],
  invalid_response: [
    'says what is wrong with the answer',
    'The server answered 2xx with something that is no result: no JSON, an empty body, a stream. Check the base URL and the server.',
  ],
  request_timeout: [
    'says how long the worker waited',
    'The server took too long. Ask for fewer tokens, or ask the operator to raise `NIGHTSHIFT_UPSTREAM_REQUEST_TIMEOUT_SECONDS`.',
  ],
  input_file_gone: [
    'says that the bytes are gone',
    'The bytes of the input file were removed from the bucket. Upload the file again. Operators: remove lifecycle rules.',
  ],
  server_error: ["has the server's status and words", "The server failed on this request every time. Look at the server's log."],
};

function resultsTable(): string {
  const notRun = (reason: NotRunReason): string => messageOf(notRunLine({ id: '', customId: '', reason }));
  const crashed = crashedLineResult({ line: 1, customId: '', randomHex: (digits) => '0'.repeat(digits), attempts: 5, milliseconds: null });
  const rows: [code: string, message: string, advice: string][] = [
    ...Object.entries(FAILURES).map(([code, [message, advice]]): [string, string, string] => [code, message, advice]),
    [
      'request_crashed_worker',
      text(messageOf(crashed.resultLine)),
      'Make the request smaller. Operators: give workers more memory, and look at the log of the worker that died.',
    ],
    ['batch_cancelled', text(notRun('batch_cancelled')), '`nightshift retry ID` sends the line again, if you still need it.'],
    [
      'batch_expired',
      text(notRun('batch_expired')),
      '`nightshift retry ID` sends the line again. If this happens often, ask the operator for longer windows or more servers.',
    ],
  ];
  return table(
    ['`error.code`', 'message', 'what to do'],
    rows.map(([code, message, advice]) => [name(code), message, advice]),
  );
}

function messageOf(line: Uint8Array): string {
  const { error }: { error: { message: string } } = JSON.parse(Buffer.from(line).toString());
  return error.message;
}

function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [headings, headings.map(() => '---'), ...rows];
  return lines.map((cells) => `| ${cells.join(' | ')} |\n`).join('');
}

function name(value: string | null): string {
  return value === null ? '' : `\`${value}\``;
}

function text(message: string): string {
  return message.replaceAll('|', '\\|').replaceAll('<', '&lt;').replaceAll('_', '\\_');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await writeFile(PAGE, (await errorsPage()).current);
}
