import { lookup as resolveName } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';

/** Addresses that are not of the public internet (IANA's registries of special-purpose addresses). */
const PRIVATE = new BlockList();
for (const [network, bits] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3],
] as const)
  PRIVATE.addSubnet(network, bits, 'ipv4');
/** Of IPv6 only global unicast is public, without what embeds an IPv4 address or is set apart. */
const PUBLIC_V6 = new BlockList();
PUBLIC_V6.addSubnet('2000::', 3, 'ipv6');
for (const [network, bits] of [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
] as const)
  PRIVATE.addSubnet(network, bits, 'ipv6');

/** Whether an IP address is one that a webhook may not be sent to: loopback, private, link-local, metadata, multicast and the like. */
export function isPrivateAddress(address: string): boolean {
  const family = isIP(address);
  if (family === 4) return PRIVATE.check(address, 'ipv4');
  return family !== 6 || !PUBLIC_V6.check(address, 'ipv6') || PRIVATE.check(address, 'ipv6');
}

/** Why a URL cannot be that of a webhook; null when it can. What its name resolves to is looked at when it is called. */
export function targetFault(text: string, { allowPrivate }: { allowPrivate: boolean }): string | null {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol)) return 'expected a URL like https://example.com/hooks';
  if (url.username !== '' || url.password !== '') return 'expected a URL without user and password';
  if (allowPrivate) return null;
  if (url.protocol !== 'https:') return 'expected a URL that begins with https://';
  const host = url.hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '');
  const isLocalName = /(^|\.)(localhost|local|internal|home\.arpa)$/i.test(host) || !/[.:]/.test(host);
  if (isLocalName || (isIP(host) !== 0 && isPrivateAddress(host))) {
    return `expected a public host, but '${host}' is an address of this machine or of a private network`;
  }
  return null;
}

/** The host resolves to an address that a webhook may not be sent to. */
export class PrivateTarget extends Error {
  override readonly name = 'PrivateTarget';
}

/** Resolves names like `dns.lookup`, and fails for a name with any private address: the connection goes to what was checked. */
export const publicLookup: LookupFunction = (hostname, options, callback) => {
  resolveName(hostname, { ...options, all: true }, (error, addresses) => {
    if (error !== null) return callback(error, '', 0);
    const found = addresses.find(({ address }) => isPrivateAddress(address));
    const [first] = addresses;
    if (found !== undefined) return callback(new PrivateTarget(`${hostname} is ${found.address}, an address of a private network`), '', 0);
    if (first === undefined) return callback(new Error(`${hostname} has no address`), '', 0);
    if (options.all === true) return callback(null, addresses);
    return callback(null, first.address, first.family);
  });
};
