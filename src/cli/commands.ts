import type { CommandEntry } from './command.ts';

/** Every command of the client. Each is loaded when it is called. */
export const CLIENT_COMMANDS: Readonly<Record<string, CommandEntry>> = {
  submit: { summary: 'upload a file and make a batch of it', load: async () => (await import('./submit.ts')).submit },
  status: { summary: 'show a batch', load: async () => (await import('./status.ts')).status },
  errors: { summary: 'show why lines of a batch failed', load: async () => (await import('./errors.ts')).errors },
  wait: { summary: 'wait until batches have ended', load: async () => (await import('./wait.ts')).wait },
  list: { summary: 'list batches, newest first', load: async () => (await import('./list.ts')).list },
  cancel: { summary: 'cancel batches', load: async () => (await import('./cancel.ts')).cancel },
  pause: { summary: 'pause batches', load: async () => (await import('./pause.ts')).pause },
  resume: { summary: 'let paused batches go on', load: async () => (await import('./pause.ts')).resume },
  upstreams: { summary: 'show upstreams, for operators', load: async () => (await import('./upstreams.ts')).upstreams },
  retry: { summary: 'run the failed lines of a batch again', load: async () => (await import('./retry.ts')).retry },
  results: { summary: 'list the results of a batch, also while it runs', load: async () => (await import('./results.ts')).results },
  download: { summary: 'download the results of a batch', load: async () => (await import('./download.ts')).download },
  usage: { summary: 'show requests and tokens by day and model', load: async () => (await import('./usage.ts')).usage },
  check: { summary: 'check a file of requests on this machine', load: async () => (await import('./check.ts')).check },
  estimate: { summary: 'ask what a batch would amount to', load: async () => (await import('./estimate.ts')).estimate },
  'files list': { summary: 'list files, newest first', load: async () => (await import('./files.ts')).filesList },
  'files get': { summary: 'download a file', load: async () => (await import('./files.ts')).filesGet },
  'files rm': { summary: 'delete files', load: async () => (await import('./files.ts')).filesRm },
  'files upload': { summary: 'upload a file', load: async () => (await import('./files.ts')).filesUpload },
  'tenants hash': { summary: 'hash a key for a tenants file', load: async () => (await import('./tenants.ts')).tenantsHash },
  'tenants new-key': { summary: 'make a key and its hash', load: async () => (await import('./tenants.ts')).tenantsNewKey },
  doctor: { summary: 'find out why something does not work', load: async () => (await import('./doctor.ts')).doctor },
  completion: { summary: 'print the completion script of a shell', load: async () => (await import('./completion.ts')).completion },
};
