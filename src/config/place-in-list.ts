/** `team-a: keys.0.sha256`: where in a list of named entries something is, so that an operator finds the place. */
export function placeInList(content: unknown, path: readonly PropertyKey[], kind: string): string {
  const [index, ...rest] = path;
  if (index === undefined) return 'the file';
  const entry: unknown = Array.isArray(content) ? content[Number(index)] : undefined;
  const name =
    typeof entry === 'object' && entry !== null && 'name' in entry && typeof entry.name === 'string'
      ? entry.name.slice(0, 80)
      : `${kind} ${Number(index) + 1}`;
  return rest.length === 0 ? name : `${name}: ${rest.join('.')}`;
}
