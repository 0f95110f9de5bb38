import { readFileSync } from 'node:fs';
import type { Cost } from './schedule.ts';

/** Most of what such a file costs is the start of a process. */
const LIGHT: Cost = { seconds: 3, cpuSeconds: 0.5 };
const FILES_PER_PROCESS = 20;

/** What reaches the tests of other files in the same process: hooks outside of a suite, and changes of the process or of what is global. */
const REACHES_OTHERS = /^(before|after)(Each)?\(|\bmock\b|\bglobalThis\b|process\.(chdir|env|exit|on|once)\b/m;

/** Puts files together that may run in one process, because they are light and keep to themselves. Each other file is alone. */
export function groupLightFiles(files: readonly string[], costs: Readonly<Record<string, Cost>>): string[][] {
  const isLight = (file: string) => {
    const { seconds, cpuSeconds } = costs[file] ?? { seconds: Infinity, cpuSeconds: Infinity };
    return seconds <= LIGHT.seconds && cpuSeconds <= LIGHT.cpuSeconds && !REACHES_OTHERS.test(readFileSync(file, 'utf8'));
  };
  const { light = [], heavy = [] } = Object.groupBy(files, (file) => (isLight(file) ? 'light' : 'heavy'));
  const groups = heavy.map((file) => [file]);
  for (let from = 0; from < light.length; from += FILES_PER_PROCESS) groups.push(light.slice(from, from + FILES_PER_PROCESS));
  return groups;
}
