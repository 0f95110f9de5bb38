import { REDUCED } from './reduced.ts';

/** One numbered case of the wire contract. */
export interface Case {
  number: number;
  text: string;
  /** Why there is no test; absent where there is one. */
  out?: string;
  /** What the test leaves out of the case, or does in a smaller form. */
  reduced?: string;
}

/** Cases of one subject, as the contract groups them. */
export interface Group {
  title: string;
  cases: readonly Case[];
}

const { download } = REDUCED;

/** All cases, in order. A case is covered by exactly one `it('case <number>: …')` in this folder, or it is out. */
export const GROUPS: readonly Group[] = [
  {
    title: 'A. Transport and envelope',
    cases: [
      { number: 1, text: 'No `Authorization`, or a wrong key: 401 envelope' },
      { number: 2, text: '`GET /v1/nope`: 404 envelope' },
      { number: 3, text: '`GET /v1/batches/` and `/v1/files/`: 404, never a list' },
      { number: 4, text: '`GET /v1/files//content`: 404 envelope' },
      { number: 5, text: '`POST /v1/batches` with body `{`: 400 envelope' },
      { number: 6, text: '`POST /v1/batches` with `[]`, `"x"`, `null`: 400 envelope' },
      { number: 7, text: 'A unique `x-request-id` on every reply, which Python and Node show' },
      { number: 8, text: '`openai-organization`, `openai-project`, `x-stainless-*`: no effect' },
      {
        number: 9,
        text: 'A fault in a handler: 500 envelope without a stack trace; the SDK retries twice with counts 1 and 2',
        reduced: 'the fault is a damaged record in the bucket',
      },
      {
        number: 10,
        text: 'A rate-limited reply: 429 envelope with `retry-after` of at most 60',
        reduced: `by an API process of its own with a limit of ${REDUCED.requestsPerMinute} requests a minute`,
      },
    ],
  },
  {
    title: 'B. Files',
    cases: [
      { number: 11, text: 'Python upload from a path: `processed`, exact bytes and name, expires after 30 days' },
      {
        number: 12,
        text: 'Node 7 stream (chunked, `file` before `purpose`): the same file',
        reduced: 'the SDK sends it; nothing looks at how it frames the body',
      },
      {
        number: 13,
        text: 'Node 4, 5 and 6 uploads: the same file',
        reduced: 'the SDKs send them; nothing looks at how they frame the body',
      },
      { number: 14, text: 'Python `file=b"…"` (filename `upload`): 200' },
      { number: 15, text: 'Filename `näme "q".jsonl` from Python and Node round-trips' },
      { number: 16, text: 'A path as filename: last part only; object keys unaffected' },
      { number: 17, text: '`expires_after` of 3600 s: `expires_at == created_at + 3600`' },
      { number: 18, text: '`expires_after` out of bounds, no number, other anchor, only half: 400 naming it' },
      { number: 19, text: 'Missing `purpose` or `file`, purposes `banana` and `batch_output`: 400' },
      { number: 20, text: 'Empty file or only blank lines: 400 "Invalid file format … jsonl"' },
      { number: 21, text: 'First line no JSON: 400; good first line, bad second: 200' },
      {
        number: 22,
        text: 'Exactly the size cap: 200; one byte more: 400 `file_too_large`, staged bytes removed; both SDKs surface the status',
        reduced: `caps of ${REDUCED.uploadCaps.map((bytes) => `${bytes / 1_000_000} MB`).join(' and ')} instead of 200 MiB and 512 MiB`,
      },
      { number: 23, text: 'Client aborts mid-upload: no file in the list, parts removed' },
      {
        number: 24,
        text: 'An upload that stalls: closed within the idle timeout, nobody held up',
        reduced: `idle timeout of ${REDUCED.uploadIdleSeconds} s; the stall is made with sockets, where Node SDK 4 would stall after a 429`,
      },
      { number: 25, text: 'retrieve, `list(purpose)`, `wait_for_processing` return at once' },
      { number: 26, text: '`list(order="asc", limit=2)` over 5 files: 5 distinct, in creation order' },
      { number: 27, text: 'delete; then retrieve, content, delete: 404 `No such File object: <id>`' },
      { number: 28, text: 'content of an uploaded file: byte-identical' },
      { number: 29, text: 'content of a `user_data` file: 400' },
      { number: 30, text: "Another tenant's file: 404 everywhere, in no list" },
      {
        number: 31,
        text: 'File past `expires_at`: 404, bytes removed in the end',
        reduced: 'the record in the bucket is dated back, because an hour is the shortest life',
      },
    ],
  },
  {
    title: 'C. Create',
    cases: [
      {
        number: 32,
        text: 'Minimal create: 200 within 1 s, every key present',
        reduced: `the median of ${REDUCED.creates} creates is judged, because the machine of a test may pause`,
      },
      { number: 33, text: '`metadata` echoed by create, retrieve, list; `null` accepted' },
      { number: 34, text: '`metadata` over its bounds or of other types: 400 with code and param; the bounds themselves accepted' },
      { number: 35, text: 'Bad `endpoint`: 400 `invalid_value`, `Invalid value: … Supported values are: …`' },
      { number: 36, text: 'Bad `completion_window`: 400 naming it' },
      { number: 37, text: 'Each required field missing: 400 `missing_required_parameter`' },
      { number: 38, text: '`output_expires_after`: bounds; result files expire from their own `created_at`' },
      {
        number: 39,
        text: "Unknown, deleted, expired or another tenant's input file: 200, then `failed` with one error",
        reduced: 'the expired one is dated back in the bucket',
      },
      { number: 40, text: 'Input file of purpose `user_data`: 400, param `input_file_id`' },
      { number: 41, text: 'One file, two batches: both complete' },
      { number: 42, text: '100 times upload and create in parallel: every file is found' },
      { number: 43, text: '`Idempotency-Key`: same body same batch, other body 409 with `x-should-retry: false`' },
      { number: 44, text: 'Answer of create lost, SDK re-sends: one batch; without the header or for another tenant: a second' },
    ],
  },
  {
    title: 'D. Validation',
    cases: [
      { number: 45, text: 'Line 2 no JSON: `invalid_json_line`, line 2' },
      { number: 46, text: 'Four lines each lacking one field: four errors' },
      { number: 47, text: 'Equal `custom_id` on lines 3 and 7: `duplicate_custom_id`, line 7; in two batches: fine' },
      { number: 48, text: '`custom_id` of wrong type or blank, `body` a string: `invalid_type`, `invalid_request`' },
      { number: 49, text: 'Lines `[1,2]`, `"x"`, `null`, `7`: `invalid_request` each' },
      { number: 50, text: 'Another `url` than the endpoint: `invalid_url`' },
      { number: 51, text: 'Methods `GET` and `post`: `invalid_method`' },
      { number: 52, text: 'No `body.model`, no `messages`: `invalid_request`; alternatives such as `messages` for embeddings accepted' },
      {
        number: 53,
        text: '`stream: true`, `"true"` or 1, `background: true`: `streaming_unsupported`, nothing executed; false and null accepted',
      },
      { number: 54, text: '50,000 lines accepted; 50,001: `too_many_tasks`; 50,000 bad lines: few errors' },
      { number: 55, text: '50,000 embedding inputs accepted; one more: `too_many_embedding_inputs`' },
      { number: 56, text: 'Models of several upstreams run; one that no upstream has: `model_not_found`' },
      { number: 57, text: 'File with BOM: same as without' },
      { number: 58, text: 'CRLF file: same as LF' },
      { number: 59, text: 'Blank lines: not counted in `total`, counted in line numbers' },
      { number: 60, text: 'No final newline: last line processed' },
      {
        number: 61,
        text: 'Only blank lines: refused at upload; where it reaches validation: `empty_file`',
        reduced: 'the content is exchanged in the bucket for the second half',
      },
      { number: 62, text: 'U+2028, U+0085 and escaped newline in a string: one line, body unchanged' },
      { number: 63, text: 'Emoji across every 64 KiB boundary: forwarded intact' },
      { number: 64, text: 'Invalid UTF-8 on line 5: `invalid_json_line`, line 5' },
      { number: 65, text: 'Big integer, `1.0`, `__proto__` in the body: exact bytes upstream' },
      {
        number: 66,
        text: 'A 50 MB line among small ones: processed, memory bounded',
        reduced: 'bounded means seven times the line in the worker, twice in the API',
      },
      { number: 67, text: 'Input file deleted right after create: never stuck; after `in_progress`: completes' },
    ],
  },
  {
    title: 'E. Execution and results',
    cases: [
      { number: 68, text: 'F(2) all 200: statuses in order, timestamps ascending, counts 2/2/0, one file' },
      { number: 69, text: 'One 200, one 400: `completed`, 2/1/1, error line with response' },
      { number: 70, text: 'All 400: `completed`, `output_file_id` null' },
      {
        number: 71,
        text: '429 or 5xx, then 200: succeeds, counted once; exhausted: last status and body',
        reduced: `${REDUCED.maxFaults} tries instead of five`,
      },
      {
        number: 72,
        text: 'Timeout: `request_timeout`; refused connections wait, or `connection_error`; never status 0',
        reduced: `${REDUCED.maxFaults} tries instead of five`,
      },
      { number: 73, text: 'Empty or non-JSON 200, HTML 502: error line, file still parses' },
      { number: 74, text: 'Output `body` is the upstream body byte for byte; `request_id` set' },
      { number: 75, text: 'Every result line parses alone, has its four keys and a unique id; lines agree with Python' },
      { number: 76, text: 'Every `custom_id` once in output or error; files agree with counts' },
      { number: 77, text: 'Completion out of order: both files keep the input order' },
      { number: 78, text: '`usage` sums successful lines; zeros when the upstream sends none' },
      { number: 79, text: 'Polled counts never decrease nor exceed `total`, which never changes' },
      { number: 80, text: 'The first poll that shows `completed` finds the full file' },
      { number: 81, text: 'Output file object: purpose, status, exact bytes' },
      { number: 82, text: 'Configured upstream key is sent, the client never; it is in no result line' },
      { number: 83, text: 'Nothing added to the upstream body; url is upstream base + endpoint' },
      {
        number: 84,
        text: 'A saturated model holds up no other; one line behind 50,000 finishes',
        reduced: `one line behind ${REDUCED.linesAhead.toLocaleString('en')} finishes here, and behind 50,000 in case 115`,
      },
    ],
  },
  {
    title: 'F. Cancel',
    cases: [
      { number: 85, text: 'In `validating`: ends `cancelled`, file ids null' },
      { number: 86, text: 'At 4 of 8 done: 4 output lines, 4 `batch_cancelled`, no `finalizing`' },
      { number: 87, text: 'In-flight lines finish or are cancelled, never both' },
      { number: 88, text: 'Cancel again: 200, timestamps unchanged' },
      { number: 89, text: 'Cancel when ended: 409 with `x-should-retry: false`; Python calls once' },
      { number: 90, text: 'Unknown id: 404 "No batch found"' },
      {
        number: 91,
        text: 'Upstream hangs: `cancelled` within 10 min',
        reduced: `the grace is ${REDUCED.cancel.graceSeconds} s, and ${REDUCED.cancel.maxSeconds} s have to be enough`,
      },
      { number: 92, text: 'Python, Node and AI SDK bodies of cancel: 200' },
    ],
  },
  {
    title: 'G. Expiry',
    cases: [
      { number: 93, text: '1 of 10 done at the end of the window: `expired`, 10/1/0, 9 `batch_expired`' },
      { number: 94, text: '0 done: `expired`, `output_file_id` null' },
      {
        number: 95,
        text: 'Service down across `expires_at`: expires on restart',
        reduced: 'API and worker are down, Temporal and the bucket are not',
      },
      { number: 96, text: 'An expired batch frees its quota; its file can be used again' },
    ],
  },
  {
    title: 'H. Lists',
    cases: [
      { number: 97, text: '45 batches: pages of 20, newest first; Node and Python iterate over 45' },
      { number: 98, text: '20 batches, limit 20: `has_more` false' },
      { number: 99, text: 'Empty tenant: empty envelope' },
      { number: 100, text: '`limit` 0, 101, abc: 400; 100 ok' },
      {
        number: 101,
        text: '30 batches within one second: no duplicates, no gaps',
        reduced: `they are created at once, which may take ${REDUCED.createdWithinSeconds} s`,
      },
      { number: 102, text: '`after` a deleted file: goes on; unknown `after`: 400' },
    ],
  },
  {
    title: 'I. Download',
    cases: [
      { number: 103, text: '`Accept: application/binary`: 200' },
      { number: 104, text: '`Range`: 206; ranges together are the whole file' },
      {
        number: 105,
        text: '1 GiB output: streamed with bounded memory, exact length, survives a client that stalls 60 s',
        reduced: `an output of ${download.largeAnswers} MiB, and a stall of ${download.stallSeconds} s; \`npm run test:slow\` does it with ${download.slow.largeAnswers} MiB and ${download.slow.stallSeconds} s`,
      },
      {
        number: 106,
        text: 'Output file deleted or expired: batch keeps the id, content 404',
        reduced: 'the expired one is dated back in the bucket',
      },
    ],
  },
  {
    title: 'J. Webhooks',
    cases: [
      { number: 107, text: 'One signed event per terminal transition' },
      { number: 108, text: 'Retries with the same id and a new signature' },
      { number: 109, text: 'Rotation with keep-old: both secrets verify' },
      { number: 110, text: 'Private targets refused' },
    ],
  },
  {
    title: 'K. Durability',
    cases: [
      { number: 111, text: 'Worker killed mid-batch: completes, answered lines are not sent again' },
      { number: 112, text: 'Killed while `finalizing`: one output file, no half file, no orphan' },
      {
        number: 113,
        text: 'API killed between record and workflow: started later, never stuck',
        reduced: 'the killed API could not reach Temporal, so that it surely did not start the workflow',
      },
      {
        number: 114,
        text: 'MinIO away for 2 min: retried, no loss',
        reduced: `MinIO is killed and away for ${REDUCED.bucketAwaySeconds} s`,
      },
      {
        number: 115,
        text: '50,000 lines: within the engine’s limits, status reads under 200 ms',
        reduced: 'the median read is judged, because the machine of a test is busy with the batch itself',
      },
    ],
  },
  {
    title: 'L. Official SDKs',
    cases: [
      { number: 116, text: 'A typical script, unmodified, with Python 3 and 2, Node 7, 6, 5 and 4' },
      { number: 117, text: 'AI SDK against `/v1/responses` parses every line' },
    ],
  },
];
