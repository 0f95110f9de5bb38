import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as batches from '../../src/api/errors/batch-errors.ts';
import * as api from '../../src/api/errors/api-error.ts';
import * as files from '../../src/api/errors/file-errors.ts';
import * as limits from '../../src/api/errors/limit-errors.ts';
import * as parameters from '../../src/api/errors/parameter-errors.ts';
import * as requests from '../../src/api/errors/request-errors.ts';

const errors = { ...api, ...files, ...limits, ...parameters, ...requests };

/** Status and envelope of an error, as the wire shows them. */
function wire(error: api.ApiError): [status: number, type: string, param: string | null, code: string | null, message: string] {
  const { error: body } = errors.envelope(error);
  assert.deepEqual(Object.keys(body), ['message', 'type', 'param', 'code']);
  return [error.status, body.type, body.param, body.code, body.message];
}
const INVALID = 'invalid_request_error';

describe('envelope(error)', () => {
  it('has the exact texts clients match on', () => {
    assert.deepEqual(wire(errors.fileNotFound('file-1')), [404, INVALID, 'id', null, 'No such File object: file-1']);
    assert.deepEqual(wire(batches.batchNotFound('batch_1')), [404, INVALID, null, null, "No batch found with id 'batch_1'."]);
    assert.deepEqual(wire(errors.notDownloadable('user_data')), [
      400,
      INVALID,
      null,
      null,
      'Not allowed to download files of purpose: user_data',
    ]);
    assert.deepEqual(wire(errors.fileTooLarge()), [400, INVALID, null, 'file_too_large', 'File is too large.']);
    assert.deepEqual(wire(errors.invalidValue('endpoint', '/v1/foo', ['/v1/a', '/v1/b', '/v1/c'])), [
      400,
      INVALID,
      'endpoint',
      'invalid_value',
      "Invalid value: '/v1/foo'. Supported values are: '/v1/a', '/v1/b' and '/v1/c'.",
    ]);
    assert.deepEqual(wire(errors.invalidType('metadata.tags', 'a string', 'an array')), [
      400,
      INVALID,
      'metadata.tags',
      'invalid_type',
      "Invalid type for 'metadata.tags': expected a string, but got an array instead.",
    ]);
    assert.deepEqual(wire(errors.metadataTooManyProperties(17)), [
      400,
      INVALID,
      'metadata',
      'object_above_max_properties',
      "Invalid 'metadata': too many properties. Expected an object with at most 16 properties, but got an object with 17 properties instead.",
    ]);
    assert.deepEqual(wire(errors.missingParameter('endpoint')), [
      400,
      INVALID,
      'endpoint',
      'missing_required_parameter',
      "Missing required parameter: 'endpoint'.",
    ]);
    assert.deepEqual(wire(errors.integerAboveMax('limit', 100, 101)), [
      400,
      INVALID,
      'limit',
      'integer_above_max_value',
      "Invalid 'limit': integer above maximum value. Expected a value <= 100, but got 101 instead.",
    ]);
    assert.deepEqual(wire(errors.integerBelowMin('limit', 1, 0)), [
      400,
      INVALID,
      'limit',
      'integer_below_min_value',
      "Invalid 'limit': integer below minimum value. Expected a value >= 1, but got 0 instead.",
    ]);
    assert.deepEqual(wire(batches.cannotCancel('completed')), [409, INVALID, null, null, "Cannot cancel a batch with status 'completed'."]);
  });

  it('has status, param and code of the contract', () => {
    const short = (error: api.ApiError) => wire(error).slice(0, 4);
    assert.deepEqual(short(errors.invalidApiKey()), [401, INVALID, null, 'invalid_api_key']);
    assert.deepEqual(short(errors.unknownRoute('GET', '/v1/nope')), [404, INVALID, null, null]);
    for (const param of ['file', null] as const) {
      assert.deepEqual(short(errors.bodyTooLarge(1, param)), [413, INVALID, param, 'file_too_large']);
    }
    assert.deepEqual(short(errors.stringAboveMaxLength('metadata.k', 512, 513)), [400, INVALID, 'metadata.k', 'string_above_max_length']);
    assert.deepEqual(short(errors.propertyNameAboveMaxLength('metadata', 64, 65)), [
      400,
      INVALID,
      'metadata',
      'property_name_above_max_length',
    ]);
    assert.deepEqual(short(errors.wrongPurpose('file-1', 'user_data')), [400, INVALID, 'input_file_id', null]);
    assert.deepEqual(short(errors.unknownCursor('file-1')), [400, INVALID, 'after', null]);
    assert.deepEqual(short(errors.malformedJson()), [400, INVALID, null, null]);
    assert.deepEqual(short(errors.bodyNotObject()), [400, INVALID, null, null]);
    assert.deepEqual(short(errors.internal()), [500, 'server_error', null, null]);
    assert.equal(errors.requestTimeout().status, 408);
  });

  it('names the parameter in the message, because some clients show nothing else', () => {
    assert.match(
      errors.invalidValue('completion_window', '1h', ['24h']).message,
      /'completion_window': '1h'\. Supported values are: '24h'\.$/,
    );
    assert.match(errors.notJsonl('Why.').message, /^Invalid file format for Batch API\. Must be \.jsonl.* Why\.$/);
    assert.match(errors.wrongPurpose('file-1', 'user_data').message, /input_file_id.*file-1.*user_data/);
  });

  it('echoes only the beginning of what a client sent', () => {
    assert.ok(errors.invalidValue('purpose', 'x'.repeat(1e6), ['batch']).message.length < 400);
    assert.ok(batches.batchNotFound('x'.repeat(1e6)).message.length < 400);
  });
});

describe('ApiError.headers', () => {
  it('tell the SDKs not to repeat what no repeat can cure', () => {
    assert.equal(batches.cannotCancel('failed').headers['x-should-retry'], 'false');
    assert.equal(errors.idempotencyConflict().headers['x-should-retry'], 'false');
    assert.equal(errors.idempotencyConflict().status, 409);
  });

  it('never ask for a wait over a minute, under a second or of a fraction', () => {
    const wait = (seconds: number) => errors.rateLimited('60 requests per minute', seconds).headers['retry-after'];
    assert.deepEqual([wait(0), wait(1.2), wait(3600)], ['1', '2', '60']);
    assert.equal(errors.unavailable('object store', 5).headers['retry-after'], '5');
    assert.deepEqual([errors.rateLimited('1 request', 1).status, errors.unavailable('object store', 1).status], [429, 503]);
  });
});
