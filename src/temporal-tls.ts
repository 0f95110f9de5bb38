import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { cannotRead } from './secret-files.ts';
import { PREFIX, type Settings } from './settings.ts';

/** Files in PEM format for the connection to Temporal; null for what is not set. */
export interface TemporalTls {
  /** Certificates that the server's certificate must be signed by. */
  ca: string | null;
  /** What the client shows of itself. */
  client: { certificate: string; key: string } | null;
}

type FileSetting = 'TEMPORAL_TLS_CA_FILE' | 'TEMPORAL_TLS_CERT_FILE' | 'TEMPORAL_TLS_KEY_FILE';

/** Reads the files and checks that they fit together. Adds a fault for each that does not. */
export function readTemporalTls(settings: Settings, faults: string[]): TemporalTls {
  const ca = readPem(settings, 'TEMPORAL_TLS_CA_FILE', 'a certificate', (pem) => new X509Certificate(pem), faults);
  const certificate = readPem(settings, 'TEMPORAL_TLS_CERT_FILE', 'a certificate', (pem) => new X509Certificate(pem), faults);
  const key = readPem(settings, 'TEMPORAL_TLS_KEY_FILE', 'a private key without a password', (pem) => createPrivateKey(pem), faults);
  for (const [name, other] of [
    ['TEMPORAL_TLS_CERT_FILE', 'TEMPORAL_TLS_KEY_FILE'],
    ['TEMPORAL_TLS_KEY_FILE', 'TEMPORAL_TLS_CERT_FILE'],
  ] as const) {
    if (settings[name] !== undefined && settings[other] === undefined) {
      faults.push(`${PREFIX}${name} is set, but ${PREFIX}${other} is missing: the two go together`);
    }
  }
  if (certificate !== null && key !== null && !certificate.parsed.checkPrivateKey(key.parsed)) {
    faults.push('NIGHTSHIFT_TEMPORAL_TLS_KEY_FILE is not the key of the certificate in NIGHTSHIFT_TEMPORAL_TLS_CERT_FILE: use a pair');
  }
  return {
    ca: ca?.pem ?? null,
    client: certificate === null || key === null ? null : { certificate: certificate.pem, key: key.pem },
  };
}

function readPem<T extends X509Certificate | KeyObject>(
  settings: Settings,
  name: FileSetting,
  what: string,
  parse: (pem: string) => T,
  faults: string[],
): { pem: string; parsed: T } | null {
  const path = settings[name];
  if (path === undefined) return null;
  let pem: string;
  try {
    pem = readFileSync(path, 'utf8');
  } catch (error) {
    faults.push(`${PREFIX}${name}: ${cannotRead(path, error)}`);
    return null;
  }
  try {
    return { pem, parsed: parse(pem) };
  } catch {
    faults.push(`${PREFIX}${name}: the file ${JSON.stringify(path)} must hold ${what} in PEM format`);
    return null;
  }
}
