import { BlockList, isIP } from 'node:net';
import { isLoopback } from './wire-values.ts';

type Variables = Readonly<Record<string, string | undefined>>;

/**
 * The proxy that the environment names for a URL, as other programs read it: HTTPS_PROXY or HTTP_PROXY by the scheme of the URL, but
 * for what NO_PROXY lists. Servers of this machine need no proxy. Null connects directly; adds a fault for a proxy that is none.
 */
export function proxyOfEnvironment(target: string, env: Variables, faults: string[]): string | null {
  const url = URL.parse(target);
  if (url === null) return null;
  const name = url.protocol === 'https:' ? 'HTTPS_PROXY' : 'HTTP_PROXY';
  const given = valueOf(env, name);
  if (given === '' || isLoopback(url.hostname) || isListed(url, valueOf(env, 'NO_PROXY'))) return null;
  const proxy = readProxy(given);
  if (proxy === null) {
    const fault = `${name} ${PROXY_SHAPE}; NO_PROXY lists hosts that need none`;
    if (!faults.includes(fault)) faults.push(fault);
  }
  return proxy;
}

/** What `readProxy` accepts, for an operator. */
export const PROXY_SHAPE = 'must be the http(s) URL of a proxy, like http://proxy.example:3128';

/** The URL of a proxy, which may lack `http://`; null for what is none. */
export function readProxy(text: string): string | null {
  const url = URL.parse(text.includes('://') ? text : `http://${text}`);
  if (url === null || !/^https?:$/.test(url.protocol) || url.hostname === '' || !/^\/?$/.test(url.pathname)) return null;
  try {
    decodeURIComponent(url.username + url.password);
    return url.href;
  } catch {
    return null;
  }
}

function valueOf(env: Variables, name: string): string {
  return (env[name.toLowerCase()] || env[name] || '').trim();
}

/** Whether NO_PROXY lists a host: `*`, names with all names below them, addresses, networks, each possibly with a port. */
function isListed({ hostname, port, protocol }: URL, list: string): boolean {
  const host = hostname.replace(/^\[|\]$/g, '').toLowerCase();
  const itsPort = port || (protocol === 'https:' ? '443' : '80');
  return list
    .toLowerCase()
    .split(/[\s,]+/)
    .filter((item) => item !== '')
    .some((item) => {
      if (item === '*' || item === host) return true;
      if (item.includes('/')) return isInNetwork(host, item);
      const [, name = item, only = itsPort] = /^(.+?):(\d+)$/.exec(isIP(item) === 6 ? '' : item) ?? [];
      const bare = name.replace(/^\*?\./, '').replace(/^\[|\]$/g, '');
      return only === itsPort && (host === bare || (isIP(host) === 0 && host.endsWith(`.${bare}`)));
    });
}

function isInNetwork(host: string, network: string): boolean {
  const [address = '', prefix = ''] = network.split('/');
  const family = isIP(address);
  if (family === 0 || isIP(host) !== family || !/^\d{1,3}$/.test(prefix) || Number(prefix) > (family === 4 ? 32 : 128)) return false;
  const name = family === 4 ? 'ipv4' : 'ipv6';
  const networks = new BlockList();
  networks.addSubnet(address, Number(prefix), name);
  return networks.check(host, name);
}
