import { ApiError, truncate } from './api-error.ts';

/** 403: a call for operators with the key of another tenant. */
export function operatorsOnly(tenant: string): ApiError {
  return new ApiError({
    status: 403,
    code: 'operator_required',
    message: `The key belongs to tenant '${truncate(tenant)}', which is not an operator. Use the key of an operator.`,
  });
}

/** 404: no worker has told of this upstream. */
export function upstreamNotFound(name: string, known: readonly string[]): ApiError {
  const list = known.length === 0 ? 'No worker has told of an upstream yet' : `Known are: ${known.slice(0, 20).join(', ')}`;
  return new ApiError({ status: 404, code: 'upstream_not_found', message: `No upstream found with name '${truncate(name)}'. ${list}.` });
}
