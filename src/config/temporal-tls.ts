import { readTlsFiles } from './pem-files.ts';
import { PREFIX, type Settings } from './settings.ts';
import type { TlsFiles } from '../upstream/client/open-connection.ts';

/** Reads the files for the connection to Temporal. Adds a fault for each that does not do. */
export function readTemporalTls(settings: Settings, faults: string[]): TlsFiles {
  const paths = {
    ca: settings.TEMPORAL_TLS_CA_FILE,
    certificate: settings.TEMPORAL_TLS_CERT_FILE,
    key: settings.TEMPORAL_TLS_KEY_FILE,
  };
  const names = {
    ca: `${PREFIX}TEMPORAL_TLS_CA_FILE`,
    certificate: `${PREFIX}TEMPORAL_TLS_CERT_FILE`,
    key: `${PREFIX}TEMPORAL_TLS_KEY_FILE`,
  };
  return readTlsFiles(paths, names, faults) ?? { ca: null, client: null };
}
