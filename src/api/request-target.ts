/** Path and query of printable ASCII without a fragment: the only targets that Koa and the router read without throwing. */
const ORIGIN_FORM = /^\/[\x21\x22\x24-\x7e]*$/;
const ABSOLUTE_FORM = /^https?:\/\/[^/?#]*/i;

/**
 * The path and query that a request line asks for (RFC 9112, section 3.2): a target in origin form as it is, one in absolute
 * form without its authority. Null where the target is neither, or names a user or an impossible host.
 */
export function originForm(target: string): string | null {
  const prefix = ABSOLUTE_FORM.exec(target)?.[0];
  if (prefix === undefined) return ORIGIN_FORM.test(target) ? target : null;
  if (prefix.includes('@') || !URL.canParse(prefix)) return null;
  const rest = target.slice(prefix.length);
  const path = rest.startsWith('/') ? rest : `/${rest}`;
  return ORIGIN_FORM.test(path) ? path : null;
}
