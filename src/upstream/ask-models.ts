import { parseBaseUrl } from './base-url.ts';

/** What a server answered when it was asked for its models, or why it did not. */
export type ModelsAnswer = { status: number; text: string } | { error: unknown };

/** Asks a server for its models, with the credentials that its requests have. Never throws, and waits no longer than `patienceMs`. */
export async function askModels(
  baseUrl: string,
  secrets: { apiKey: string | null; headers: Readonly<Record<string, string>> } | undefined,
  patienceMs: number,
): Promise<ModelsAnswer> {
  const { origin, path, userinfo } = parseBaseUrl(baseUrl);
  const headers = new Headers({ accept: 'application/json', 'user-agent': 'nightshift' });
  if (userinfo !== null) headers.set('authorization', `Basic ${Buffer.from(userinfo).toString('base64')}`);
  if (secrets?.apiKey != null) headers.set('authorization', `Bearer ${secrets.apiKey}`);
  for (const [name, value] of Object.entries(secrets?.headers ?? {})) headers.set(name, value);
  try {
    const answer = await fetch(origin + path('/v1/models'), { headers, signal: AbortSignal.timeout(patienceMs), redirect: 'manual' });
    return { status: answer.status, text: await answer.text() };
  } catch (error) {
    return { error };
  }
}
