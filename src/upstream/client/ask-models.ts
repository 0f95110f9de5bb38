import { type AskSecrets, askServer, type ServerAnswer } from './ask-server.ts';
import { parseBaseUrl } from './base-url.ts';

/** What a server answered when it was asked for its models, or why it did not, in a sentence with a code. */
export type ModelsAnswer = ServerAnswer;

/** Asks a server for its models; see `askServer`. */
export async function askModels(baseUrl: string, secrets: AskSecrets | undefined, patienceMs: number): Promise<ModelsAnswer> {
  return await askServer(baseUrl, parseBaseUrl(baseUrl).path('/v1/models'), secrets, patienceMs);
}
