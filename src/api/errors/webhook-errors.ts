import { ApiError, truncate } from './api-error.ts';

/** 400: a URL that a webhook may not be sent to. */
export function invalidWebhookUrl(url: string, fault: string): ApiError {
  return new ApiError({ status: 400, param: 'url', code: 'invalid_url', message: `Invalid 'url': '${truncate(url)}': ${fault}.` });
}

/** 404: no such webhook endpoint of this tenant. */
export function webhookNotFound(id: string): ApiError {
  return new ApiError({ status: 404, param: 'id', message: `No webhook endpoint found with id '${truncate(id)}'.` });
}

/** 400: more webhook endpoints than a tenant may have. */
export function tooManyWebhooks(most: number): ApiError {
  return new ApiError({
    status: 400,
    code: 'too_many_webhook_endpoints',
    message: `There are ${most} webhook endpoints, and there may be no more. Delete one first.`,
  });
}

/** 400: nothing to encrypt signing secrets with. */
export function webhooksAreOff(): ApiError {
  return new ApiError({
    status: 400,
    code: 'webhooks_not_configured',
    message: 'This server has no key to encrypt signing secrets with. Ask its operator to set NIGHTSHIFT_WEBHOOK_KEY.',
  });
}

/** 400: the receiver of a test event did not take it. */
export function webhookTestFailed(reason: string): ApiError {
  return new ApiError({ status: 400, code: 'webhook_test_failed', message: `The test event could not be delivered: ${truncate(reason)}.` });
}
