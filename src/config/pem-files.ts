import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { cannotRead } from './secret-files.ts';
import type { TlsFiles } from '../upstream/client/open-connection.ts';

/** Paths of PEM files; undefined for what is not set. */
interface PemPaths {
  ca: string | undefined;
  certificate: string | undefined;
  key: string | undefined;
}

/**
 * Reads the files and checks that they fit together. Adds a fault for each that does not, which calls the settings by `names`. Null
 * when none is set.
 */
export function readTlsFiles(paths: PemPaths, names: Readonly<Record<keyof PemPaths, string>>, faults: string[]): TlsFiles | null {
  const read = <T extends X509Certificate | KeyObject>(which: keyof PemPaths, what: string, parse: (pem: string) => T) =>
    readPem(paths[which], names[which], { what, parse }, faults);
  const ca = read('ca', 'a certificate', (pem) => new X509Certificate(pem));
  const certificate = read('certificate', 'a certificate', (pem) => new X509Certificate(pem));
  const key = read('key', 'a private key without a password', (pem) => createPrivateKey(pem));
  for (const [one, other] of [
    ['certificate', 'key'],
    ['key', 'certificate'],
  ] as const) {
    if (paths[one] !== undefined && paths[other] === undefined)
      faults.push(`${names[one]} is set, but ${names[other]} is missing: the two go together`);
  }
  if (certificate !== null && key !== null && !certificate.parsed.checkPrivateKey(key.parsed))
    faults.push(`${names.key} is not the key of the certificate in ${names.certificate}: use a pair`);
  if (paths.ca === undefined && paths.certificate === undefined && paths.key === undefined) return null;
  return {
    ca: ca?.pem ?? null,
    client: certificate === null || key === null ? null : { certificate: certificate.pem, key: key.pem },
  };
}

function readPem<T>(
  path: string | undefined,
  name: string,
  { what, parse }: { what: string; parse: (pem: string) => T },
  faults: string[],
): { pem: string; parsed: T } | null {
  if (path === undefined) return null;
  let pem: string;
  try {
    pem = readFileSync(path, 'utf8');
  } catch (error) {
    faults.push(`${name}: ${cannotRead(path, error)}`);
    return null;
  }
  try {
    return { pem, parsed: parse(pem) };
  } catch {
    faults.push(`${name}: the file ${JSON.stringify(path)} must hold ${what} in PEM format`);
    return null;
  }
}
