import { fileURLToPath } from 'node:url';
import { checkedCommits, faultOf } from './subjects.ts';

const commits = await checkedCommits(fileURLToPath(new URL('../..', import.meta.url)));
const faults = (commits ?? []).flatMap(({ hash, subject }) => {
  const fault = faultOf(subject);
  return fault === null ? [] : [`${hash} "${subject}"\n  ${fault}`];
});
if (commits === null) process.stdout.write('This folder is no git repository: there are no commits to check.\n');
else if (faults.length === 0) process.stdout.write(`The subjects of ${commits.length} commits are good.\n`);
else {
  process.stderr.write(`${faults.join('\n')}\n\nA subject is "area: imperative", without a full stop. See "Commits" in CONTRIBUTING.md.\n`);
  process.exitCode = 1;
}
