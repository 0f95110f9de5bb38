import { invalidType, invalidValue, missingParameter } from './errors/parameter-errors.ts';
import { UPLOAD_PURPOSES, type UploadPurpose } from '../domain/file.ts';
import { describeJsonType } from '../domain/json-type.ts';

/** The purpose of a file, out of a form or a JSON body. Throws the 400 when it is missing or none that can be uploaded. */
export function readPurpose(given: unknown): UploadPurpose {
  if (given === undefined || given === null) throw missingParameter('purpose');
  if (typeof given !== 'string') throw invalidType('purpose', 'a string', describeJsonType(given));
  const purpose = UPLOAD_PURPOSES.find((each) => each === given);
  if (purpose === undefined) throw invalidValue('purpose', given, UPLOAD_PURPOSES);
  return purpose;
}
