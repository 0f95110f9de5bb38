import type { ApiClient } from './api-client.ts';
import type { OpenInput } from './open-input.ts';
import type { Output } from './output.ts';
import { createTransfers } from './transfer-line.ts';
import type { File, UploadPurpose } from '../domain/file.ts';

/** Uploads an input, and shows how far it is. */
export async function uploadShown(
  client: Pick<ApiClient, 'uploadFile'>,
  input: OpenInput,
  { output, purpose = 'batch' }: { output: Pick<Output, 'screen' | 'note'>; purpose?: UploadPurpose },
): Promise<File> {
  const progress = createTransfers(output).begin(`uploading ${input.name}`);
  return await client.uploadFile(input, { purpose, onBytes: progress.onBytes }).finally(progress.end);
}
