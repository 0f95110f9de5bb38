import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** PEM texts, and the files that hold them. */
export interface Pair {
  certificate: string;
  key: string;
  certificateFile: string;
  keyFile: string;
}

/** Makes certificates in a folder of its own. */
export interface Authority extends Disposable {
  readonly folder: string;
  /** The certificate of the authority. */
  readonly ca: Pair;
  /** Signed by the authority, for `name`, or for 127.0.0.1 and localhost; expired where `days` is negative. */
  issue(options?: { name?: string; days?: number }): Pair;
  /** Signed by itself, for 127.0.0.1. */
  selfSigned(): Pair;
}

export function createAuthority(): Authority {
  const folder = mkdtempSync(join(tmpdir(), 'nightshift-certificates-'));
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
  const newKey = (name: string) => ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', `${name}.key`];
  const read = (name: string): Pair => {
    const [certificateFile, keyFile] = [join(folder, `${name}.pem`), join(folder, `${name}.key`)];
    return { certificateFile, keyFile, certificate: readFileSync(certificateFile, 'utf8'), key: readFileSync(keyFile, 'utf8') };
  };
  const makeSelfSigned = (name: string, ...rest: string[]) => {
    openssl('req', '-x509', ...newKey(name), '-out', `${name}.pem`, '-subj', `/CN=${name}`, '-days', '2', ...rest);
    return read(name);
  };
  const ca = makeSelfSigned('authority');
  let count = 0;
  return {
    folder,
    ca,
    issue({ name: host, days = 1 } = {}) {
      count += 1;
      const name = `issued-${count}`;
      writeFileSync(join(folder, `${name}.ext`), `subjectAltName=${host === undefined ? 'IP:127.0.0.1,DNS:localhost' : `DNS:${host}`}\n`);
      openssl('req', ...newKey(name), '-out', `${name}.csr`, '-subj', `/CN=${host ?? name}`);
      const signing = ['-CA', 'authority.pem', '-CAkey', 'authority.key', '-CAcreateserial', '-days', String(days)];
      openssl('x509', '-req', '-in', `${name}.csr`, '-out', `${name}.pem`, ...signing, '-extfile', `${name}.ext`);
      return read(name);
    },
    selfSigned: () => makeSelfSigned('alone', '-addext', 'subjectAltName=IP:127.0.0.1'),
    [Symbol.dispose]: () => rmSync(folder, { recursive: true }),
  };
}
