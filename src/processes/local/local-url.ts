/** The address at which this machine reaches a server that listens at `host`: a server on all addresses is reached at the loopback one. */
export function reachedHost(host: string): string {
  const address = host.replace(/^\[|\]$/g, '');
  if (address === '0.0.0.0') return '127.0.0.1';
  return address === '::' ? '::1' : address;
}

/** The URL at which this machine reaches a server that listens there, without a slash at its end. */
export function localUrl({ host, port }: { host: string; port: number }): string {
  const reached = reachedHost(host);
  return `http://${reached.includes(':') ? `[${reached}]` : reached}:${port}`;
}
