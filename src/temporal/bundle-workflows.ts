/** `node bundle-workflows.ts FILE` writes the code that runs in Temporal's sandbox to a file; `workflowBundle` calls it. */
import { writeFile } from 'node:fs/promises';
import { argv } from 'node:process';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode, type Logger } from '@temporalio/worker';
import { SOURCE_EXTENSION } from '../domain/source-extension.ts';

const WORKFLOWS = fileURLToPath(new URL('../../workflows/', import.meta.url));

const complaints: string[] = [];
const ignore = (): void => undefined;
const complain = (message: string): void => void complaints.push(message);
const logger: Logger = { log: ignore, trace: ignore, debug: ignore, info: ignore, warn: complain, error: complain };
const [, , path] = argv;
if (path === undefined) throw new Error('name the file to be written');
// What is thrown here ends the process and stands in its stderr, which the caller shows.
const { code } = await bundleWorkflowCode({
  workflowsPath: `${WORKFLOWS}index${SOURCE_EXTENSION}`,
  workflowInterceptorModules: [`${WORKFLOWS}trace${SOURCE_EXTENSION}`],
  logger,
}).catch((cause: unknown) => {
  throw new Error(complaints.join('\n'), { cause });
});
await writeFile(path, code);
