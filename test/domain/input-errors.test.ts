import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as errors from '../../src/domain/input-errors.ts';

describe('faults of the input file as a whole', () => {
  it('have the codes and texts of the contract', () => {
    const whole = { param: null, line: null };
    assert.deepEqual(errors.inputFileNotFound('file-1'), {
      code: 'invalid_request',
      message: 'Cannot find file file-1, or organization does not have access to it.',
      param: 'file_id',
      line: null,
    });
    assert.deepEqual(errors.emptyFile(), {
      ...whole,
      code: 'empty_file',
      message: 'The input file is empty. Please ensure that the batch contains at least one request.',
    });
    const start = "The provided model 'm' is not supported by the Batch API.";
    assert.deepEqual(errors.modelNotFound('m', 4, { upstream: null, known: [] }), {
      code: 'model_not_found',
      message: start,
      param: 'body.model',
      line: 4,
    });
    const known = ['aaaaaa', 'bbbbbb', 'c'.repeat(200), 'dddddd', 'eeeeee', 'ffffff', 'gggggg'];
    assert.equal(
      errors.modelNotFound('m', 4, { upstream: 'gpu', known }).message,
      `${start} Upstream "gpu" has "aaaaaa", "bbbbbb", "${'c'.repeat(80)}", "dddddd", "eeeeee" and 2 more.`,
    );
    assert.equal(
      errors.modelNotFound('gpt-4o-mni', 4, { upstream: null, known: ['gpt-4o', 'gpt-4o-mini'] }).message,
      `The provided model 'gpt-4o-mni' is not supported by the Batch API. The upstreams have "gpt-4o", "gpt-4o-mini". Did you mean "gpt-4o-mini"?`,
    );
    assert.deepEqual(errors.inputFileTooLarge(209_715_200, 'm'), {
      ...whole,
      code: 'file_too_large',
      message: 'The batch input file is larger than the 209715200 maximum for the m model',
    });
    assert.equal(errors.inputFileTooLarge(5, null).message, 'The batch input file is larger than the 5 maximum');
    assert.deepEqual(errors.tooManyErrors(), { ...whole, code: 'too_many_errors', message: 'Validation stopped after 100 errors.' });
    assert.deepEqual([errors.tooManyTasks(5).code, errors.tooManyEmbeddingInputs(5).code], ['too_many_tasks', 'too_many_embedding_inputs']);
  });
});
