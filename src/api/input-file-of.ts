import { wrongPurpose } from './errors/file-errors.ts';
import type { File } from '../domain/file.ts';
import { isFileId } from '../domain/ids.ts';
import type { FileStore } from '../storage/file-store.ts';

/** The input file that a body names; null when it is not found, which is a fault of the batch and not of the call. Throws the 400 for one of another purpose. */
export async function inputFileOf(files: Pick<FileStore, 'get'>, tenant: string, inputFileId: string): Promise<File | null> {
  const file = isFileId(inputFileId) ? await files.get(tenant, inputFileId) : null;
  if (file !== null && file.purpose !== 'batch') throw wrongPurpose(file.id, file.purpose);
  return file;
}
