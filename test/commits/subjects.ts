import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/** The rules of CONTRIBUTING.md hold for the commits after this one. */
export const FIRST_CHECKED = '40049de1c31b0300234812c8581a7a7deb79ca3e';

const MAX_CHARACTERS = 72;
const AREA = /^[a-z][a-z0-9./-]*(?:, ?[a-z][a-z0-9./-]*)*: /;
/** Words that begin a description, or a report of what was done, where the subject should say what the commit does. */
const NOT_IMPERATIVE = /^(?:the|an?|it|this|no|all|[a-z]+(?:ed|ing)) /i;
/** Imperatives that end like a participle. */
const IMPERATIVE = /^(?:need|feed|seed|embed|speed|exceed|proceed|succeed|bring|ring|string|spring) /;

/** What is wrong with the subject of a commit; null for a good one. */
export function faultOf(subject: string): string | null {
  const area = AREA.exec(subject)?.[0];
  if (area === undefined) return 'begin with the area, in lower case: "api: …", "docs: …"';
  const rest = subject.slice(area.length);
  if (subject.length > MAX_CHARACTERS)
    return `${subject.length} characters, but ${MAX_CHARACTERS} are allowed: put the reason into the body`;
  if (subject.endsWith('.')) return 'remove the full stop';
  if (NOT_IMPERATIVE.test(rest) && !IMPERATIVE.test(rest)) return 'begin with an imperative after the area: "api: add …"';
  return null;
}

/** A commit of the history that is checked. */
export interface Commit {
  hash: string;
  subject: string;
}

/**
 * The commits of a repository whose subjects count: those after the last tag, or after `first` if there is no tag. In a shallow clone that
 * has neither these are all commits there are. Merges do not count, because GitHub writes their subjects. Null outside of a repository.
 */
export async function checkedCommits(root: string, first = FIRST_CHECKED): Promise<Commit[] | null> {
  const git = async (...args: string[]) =>
    await promisify(execFile)('git', ['-C', root, ...args], { maxBuffer: 64 * 1024 * 1024 }).then(
      ({ stdout }) => stdout.trim(),
      () => null,
    );
  if ((await git('rev-parse', 'HEAD')) === null) return null;
  const isThere = await git('merge-base', '--is-ancestor', first, 'HEAD');
  const base = (await git('describe', '--tags', '--abbrev=0')) ?? (isThere === null ? null : first);
  const log = await git('log', '--no-merges', '--format=%h %s', ...(base === null ? ['HEAD'] : [`${base}..HEAD`]));
  if (log === null) throw new Error(`git cannot list the commits of ${root}`);
  return log.split('\n').flatMap((line) => {
    const [hash = ''] = line.split(' ', 1);
    return hash === '' ? [] : [{ hash, subject: line.slice(hash.length + 1) }];
  });
}
