/** Why no connection was made. `dns`, `refused`, `timeout` and `other` concern the network; `tls` and `proxy` are mostly mistakes in settings. */
export type ConnectClass = 'dns' | 'refused' | 'timeout' | 'tls' | 'proxy' | 'other';

/** `code` is the code of the error, such as ECONNREFUSED or CERT_HAS_EXPIRED, or `HTTP_407` for the answer of a proxy. */
export interface ConnectCause {
  class: ConnectClass;
  code: string;
}

/** `message` is a sentence without the address, because clients of a batch may read it. It names the code. */
export interface ConnectFault {
  cause: ConnectCause;
  message: string;
}

/** A proxy did not open a tunnel: it answered with this status, or `error` is why nothing came of it. */
export class ProxyError extends Error {
  readonly status: number | null;

  constructor(status: number | null, cause?: unknown) {
    super('the proxy opened no tunnel', { cause });
    this.status = status;
  }
}

/** How long a connection may take to be made was over. */
export class ConnectTimeout extends Error {
  readonly code = 'CONNECT_TIMEOUT';
}

/** Puts the error of a failed connection into words. */
export function connectFault(error: unknown): ConnectFault {
  if (error instanceof ProxyError) return proxyFault(error);
  const code = codeOf(error);
  const fault = (of: ConnectClass, sentence: string): ConnectFault => ({ cause: { class: of, code }, message: sentence });
  if (DNS.test(code)) return fault('dns', `the name of the upstream is not found (${code})`);
  if (code === 'ECONNREFUSED') return fault('refused', `the upstream refuses connections (${code})`);
  if (TIMEOUTS.has(code)) return fault('timeout', `connecting to the upstream timed out (${code})`);
  const tls = tlsSentence(code, error);
  if (tls !== null) return fault('tls', `${tls[0]} (${code})${tls[1] === '' ? '' : `: ${tls[1]}`}`);
  return fault('other', `the upstream cannot be connected to (${code})`);
}

/** The `code` of an error; `unknown cause` for what has none. */
export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'unknown cause';
}

/** Whether an error comes from TLS, also on a connection that was already made: a server may refuse our certificate late. */
export function isTlsCode(code: string): boolean {
  return code === 'EPROTO' || /^(?:ERR_SSL_|ERR_TLS_|ERR_OSSL_)/.test(code) || CERTIFICATE.test(code);
}

const DNS = /^(?:ENOTFOUND|EAI_[A-Z]+|ENODATA|ESERVFAIL|EREFUSED)$/;
const TIMEOUTS: ReadonlySet<string> = new Set(['CONNECT_TIMEOUT', 'UND_ERR_CONNECT_TIMEOUT', 'ETIMEDOUT']);
/** What Node calls the faults that OpenSSL finds in a certificate. */
const CERTIFICATE =
  /^(?:CERT_|CRL_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|ERROR_IN_CERT_|INVALID_(?:CA|PURPOSE)|PATH_LENGTH_|HOSTNAME_MISMATCH)/;
const UNKNOWN_CA = /^(?:UNABLE_TO_|SELF_SIGNED_CERT_IN_CHAIN|CERT_UNTRUSTED|INVALID_CA)/;
/** What arrives where TLS is expected, if the port speaks plain HTTP. */
const NO_TLS = /WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|HTTP_REQUEST|UNKNOWN_PROTOCOL|RECORD_LAYER_FAILURE|NO_TLS/;
const CLIENT_CERTIFICATE = /CERTIFICATE_REQUIRED|BAD_CERTIFICATE|UNKNOWN_CA|CERTIFICATE_UNKNOWN|CERTIFICATE_EXPIRED|ACCESS_DENIED/;

/** What is wrong, and what to do about it; null for what is no fault of TLS. */
function tlsSentence(code: string, error: unknown): [found: string, advice: string] | null {
  if (code === 'DEPTH_ZERO_SELF_SIGNED_CERT')
    return ['the certificate of the upstream is self-signed', 'give that certificate as ca_file, or in NODE_EXTRA_CA_CERTS'];
  if (code === 'UNABLE_TO_VERIFY_LEAF_SIGNATURE') {
    const advice = 'give its CA as ca_file or in NODE_EXTRA_CA_CERTS, or have the server send its intermediate certificates';
    return ['the certificate of the upstream is signed by a CA that this machine does not know', advice];
  }
  if (UNKNOWN_CA.test(code)) {
    const advice = 'give the CA as ca_file, or in NODE_EXTRA_CA_CERTS';
    return ['the certificate of the upstream is signed by a CA that this machine does not know', advice];
  }
  if (code === 'CERT_HAS_EXPIRED') return ['the certificate of the upstream has expired', 'renew it'];
  if (code === 'CERT_NOT_YET_VALID') return ['the certificate of the upstream is not valid yet', 'check the clock of this machine'];
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID' || code === 'HOSTNAME_MISMATCH')
    return ['the certificate of the upstream is for another host name', 'use a base URL with a name that the certificate has'];
  // Other protocols than HTTP answer a handshake in ways that only the text of the error tells.
  const text = `${code} ${error instanceof Error ? error.message.toUpperCase().replaceAll(' ', '_') : ''}`;
  if (isTlsCode(code) && NO_TLS.test(text))
    return ['the upstream does not speak TLS on this port', 'use http:// in its base URL, or the port of TLS'];
  if (isTlsCode(code) && CLIENT_CERTIFICATE.test(text))
    return ['the upstream does not accept our client certificate, or misses one', 'check cert_file and key_file'];
  if (isTlsCode(code)) return ['the TLS handshake with the upstream failed', 'check that both sides share a version and a cipher'];
  if (text.includes('BEFORE_SECURE_TLS_CONNECTION'))
    return ['the upstream closed the connection during the TLS handshake', 'check that the port speaks TLS'];
  return null;
}

function proxyFault({ status, cause: error }: ProxyError): ConnectFault {
  if (status !== null) {
    const code = `HTTP_${status}`;
    return { cause: { class: 'proxy', code }, message: `${proxySentence(status)} (HTTP ${status})${proxyAdvice(status)}` };
  }
  const code = codeOf(error);
  const found =
    code === 'ECONNREFUSED'
      ? 'the proxy refuses connections'
      : DNS.test(code)
        ? 'the name of the proxy is not found'
        : TIMEOUTS.has(code)
          ? 'connecting through the proxy timed out'
          : code.startsWith('HPE_')
            ? 'what answers at the address of the proxy is no HTTP proxy'
            : 'the proxy cannot be connected to';
  return { cause: { class: 'proxy', code }, message: `${found} (${code})` };
}

function proxySentence(status: number): string {
  if (status === 407) return 'the proxy does not accept our user and password, or misses them';
  if (status === 502 || status === 503 || status === 504) return 'the proxy does not reach the upstream';
  return 'the proxy opens no tunnel to the upstream';
}

function proxyAdvice(status: number): string {
  if (status === 407) return ': put them into its URL, as http://user:password@host:port';
  return status >= 500 && status !== 501 ? '' : ': allow CONNECT to the port of the upstream there';
}
