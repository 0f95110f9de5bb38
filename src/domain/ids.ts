const CLOCK_MAX = 2 ** 48 - 1;

/** Id of a batch: `batch_`, an inverted clock of 12 hex digits, 20 random ones, so that keys list newest first. */
export function newBatchId(nowMs: number, randomHex: string): string {
  return `batch_${invertedClock(nowMs)}${firstHex(randomHex, 20)}`;
}

/** Id of a file: `file-`, an inverted clock of 12 hex digits, 12 random ones, so that keys list newest first. */
export function newFileId(nowMs: number, randomHex: string): string {
  return `file-${invertedClock(nowMs)}${firstHex(randomHex, 12)}`;
}

/** Id of an upload: `upload_`, an inverted clock of 12 hex digits, 20 random ones. */
export function newUploadId(nowMs: number, randomHex: string): string {
  return `upload_${invertedClock(nowMs)}${firstHex(randomHex, 20)}`;
}

/** Id of a part of an upload: `part_`, an inverted clock of 12 hex digits, 20 random ones. */
export function newUploadPartId(nowMs: number, randomHex: string): string {
  return `part_${invertedClock(nowMs)}${firstHex(randomHex, 20)}`;
}

/** Id of a webhook endpoint: `whe_`, an inverted clock of 12 hex digits, 20 random ones. */
export function newWebhookEndpointId(nowMs: number, randomHex: string): string {
  return `whe_${invertedClock(nowMs)}${firstHex(randomHex, 20)}`;
}

/** Id of a result line: `batch_req_` and 32 random hex digits. */
export function newResultLineId(randomHex: string): string {
  return `batch_req_${firstHex(randomHex, 32)}`;
}

/** Whether a text has exactly the shape of a batch id; nothing else may come near a key of the bucket. */
export function isBatchId(text: string): boolean {
  return /^batch_[0-9a-f]{32}$/.test(text);
}

/** Whether a text has exactly the shape of a file id; nothing else may come near a key of the bucket. */
export function isFileId(text: string): boolean {
  return /^file-[0-9a-f]{24}$/.test(text);
}

/** Whether a text has exactly the shape of an upload's id; nothing else may come near a key of the bucket. */
export function isUploadId(text: string): boolean {
  return /^upload_[0-9a-f]{32}$/.test(text);
}

/** Whether a text has exactly the shape of a webhook endpoint's id; nothing else may come near a key of the bucket. */
export function isWebhookEndpointId(text: string): boolean {
  return /^whe_[0-9a-f]{32}$/.test(text);
}

/** When the id of a batch, file or upload was made, in Unix milliseconds. The id must have passed `isBatchId`, `isFileId` or `isUploadId`. */
export function idTimeMs(id: string): number {
  const start = id.search(/[_-]/) + 1;
  return CLOCK_MAX - Number.parseInt(id.slice(start, start + 12), 16);
}

function invertedClock(nowMs: number): string {
  return (CLOCK_MAX - Math.floor(nowMs)).toString(16).padStart(12, '0');
}

function firstHex(randomHex: string, digits: number): string {
  const hex = randomHex.slice(0, digits);
  if (hex.length < digits || !/^[0-9a-f]+$/.test(hex)) throw new RangeError(`an id needs ${digits} random hex digits`);
  return hex;
}
