import { ApiError, listed, truncate } from './api-error.ts';
import { cutText } from '../../domain/shown-text.ts';

/** 400: a value outside a closed set. */
export function invalidValue(param: string, value: string, supported: readonly string[]): ApiError {
  // Clients match on OpenAI's text for `endpoint`, which does not name the parameter; everywhere else it is named.
  const subject = param === 'endpoint' ? 'Invalid value' : `Invalid value for '${param}'`;
  const message = `${subject}: '${truncate(value)}'. Supported values are: ${listed(supported)}.`;
  return new ApiError({ status: 400, param, code: 'invalid_value', message });
}

/** 400: a priority that the operator does not allow this tenant. */
export function priorityNotAllowed(param: string, value: string, allowed: readonly string[]): ApiError {
  const advice = `Ask for one of them, or ask the operator for a better one (NIGHTSHIFT_TENANT_PRIORITIES, or best_priority in NIGHTSHIFT_TENANTS_FILE).`;
  const message = `Invalid value for '${param}': '${value}'. The priorities that you may ask for are: ${listed(allowed)}. ${advice}`;
  return new ApiError({ status: 400, param, code: 'invalid_value', message });
}

/** 400: a value of the wrong type. `expected` and `got` have their article: `a string`, `an array` (see `describeJsonType`). */
export function invalidType(param: string, expected: string, got: string): ApiError {
  const message = `Invalid type for '${param}': expected ${expected}, but got ${got} instead.`;
  return new ApiError({ status: 400, param, code: 'invalid_type', message });
}

/** 400: a day that does not exist, or a span of days that cannot be asked for. */
export function invalidSpan(param: string, why: string): ApiError {
  return new ApiError({ status: 400, param, code: 'invalid_value', message: `Invalid '${param}': ${why}` });
}

/** 400: an integer that is too small; as text where a number would not show its digits. */
export function integerBelowMin(param: string, min: number, got: number | string): ApiError {
  const message = `Invalid '${param}': integer below minimum value. Expected a value >= ${min}, but got ${got} instead.`;
  return new ApiError({ status: 400, param, code: 'integer_below_min_value', message });
}

/** 400: an integer that is too large; as text where a number would not show its digits. */
export function integerAboveMax(param: string, max: number, got: number | string): ApiError {
  const message = `Invalid '${param}': integer above maximum value. Expected a value <= ${max}, but got ${got} instead.`;
  return new ApiError({ status: 400, param, code: 'integer_above_max_value', message });
}

/** 400: a required parameter is absent. */
export function missingParameter(name: string): ApiError {
  const message = `Missing required parameter: '${name}'.`;
  return new ApiError({ status: 400, param: name, code: 'missing_required_parameter', message });
}

/** 400: a parameter that does not exist, which is most often one misspelt. */
export function unknownParameter(name: string): ApiError {
  const shownName = cutText(name, 80);
  return new ApiError({ status: 400, param: shownName, code: 'unknown_parameter', message: `Unknown parameter: '${shownName}'.` });
}

/** 400: metadata with more than 16 keys. */
export function metadataTooManyProperties(got: number): ApiError {
  return new ApiError({
    status: 400,
    param: 'metadata',
    code: 'object_above_max_properties',
    message: `Invalid 'metadata': too many properties. Expected an object with at most 16 properties, but got an object with ${got} properties instead.`,
  });
}

/** 400: an empty string where an empty one can mean nothing. */
export function emptyString(param: string): ApiError {
  const message = `Invalid '${param}': empty string. Expected a string with minimum length 1, but got an empty string instead.`;
  return new ApiError({ status: 400, param, code: 'empty_string', message });
}

/** 400: a string of too many code points. */
export function stringAboveMaxLength(param: string, max: number, got: number): ApiError {
  const message = `Invalid '${truncate(param)}': string too long. Expected a string with maximum length ${max}, but got a string with length ${got} instead.`;
  return new ApiError({ status: 400, param, code: 'string_above_max_length', message });
}

/** 400: a key of an object with too many code points; `param` is the object. */
export function propertyNameAboveMaxLength(param: string, max: number, got: number): ApiError {
  const message = `Invalid '${param}': property name too long. Expected property names with maximum length ${max}, but got one with length ${got} instead.`;
  return new ApiError({ status: 400, param, code: 'property_name_above_max_length', message });
}

/** 404: a model that no upstream is known to serve. */
export function modelNotFound(model: string): ApiError {
  return new ApiError({
    status: 404,
    param: 'model',
    code: 'model_not_found',
    message: `The model '${truncate(model)}' does not exist or you do not have access to it. GET /v1/models lists those that do.`,
  });
}

/** 400: an array that must hold something. */
export function emptyArray(param: string): ApiError {
  const message = `Invalid '${param}': empty array. Expected an array with minimum length 1, but got an empty array instead.`;
  return new ApiError({ status: 400, param, code: 'empty_array', message });
}

/** 400: an array of too many items. */
export function arrayAboveMaxLength(param: string, max: number, got: number): ApiError {
  const message = `Invalid '${param}': array too long. Expected an array with maximum length ${max}, but got an array with length ${got} instead.`;
  return new ApiError({ status: 400, param, code: 'array_above_max_length', message });
}

/** 400: `after` names nothing that this tenant ever had. */
export function unknownCursor(id: string): ApiError {
  return new ApiError({ status: 400, param: 'after', message: `Invalid 'after': no object found with id '${truncate(id)}'.` });
}
