import { createHash, randomBytes } from 'node:crypto';
import { text } from 'node:stream/consumers';
import { WrongCall } from './command-error.ts';
import { defineCommand } from './command.ts';
import { EXIT } from './exit-codes.ts';

/** `nightshift tenants hash`. */
export const tenantsHash = defineCommand({
  usage: 'tenants hash [KEY]',
  about: `
Prints the SHA-256 of a key, which a tenants file (NIGHTSHIFT_TENANTS_FILE) or NIGHTSHIFT_API_KEYS holds in its place. Without KEY
the key is read from stdin, so that it is not in the history of your shell.`,
  options: {},
  words: [0, 1],
  async run(_values, [key], { output, stdin }) {
    output.print(`${hashOf(key ?? (await text(stdin)).trim())}\n`);
    return EXIT.ok;
  },
});

/** `nightshift tenants new-key`. */
export const tenantsNewKey = defineCommand({
  usage: 'tenants new-key',
  about: 'Makes a random key and prints it with its hash. Give the key to the tenant, and store the hash only.',
  options: {},
  words: [0, 0],
  async run(_values, _words, { output }) {
    const key = `ns-${randomBytes(24).toString('base64url')}`;
    output.print(`key     ${key}\nsha256  ${hashOf(key)}\n`);
    return await Promise.resolve(EXIT.ok);
  },
});

function hashOf(key: string): string {
  if (!/^[\x21-\x7e]+$/.test(key)) {
    throw new WrongCall('The key must be printable ASCII characters without spaces, because clients send it in a header.');
  }
  return createHash('sha256').update(key).digest('hex');
}
