import type { IForbiddenRuleType } from 'dependency-cruiser';

/**
 * The rooms of the house and who may know whom: the one source of what dependency-cruiser checks, of the drawing in
 * ARCHITECTURE.md and of `test/rooms.test.ts`.
 */
export interface Room {
  /** Which files are in it, as a regular expression over paths from the root. */
  path: string;
  /** Rooms it may import. */
  knows: readonly string[];
  /** Rooms it may only `import type` from, because it gets the instances handed in. */
  types: readonly string[];
  /** Packages it may import; nothing else of npm and no `node:` module. Absent: any. */
  packages?: readonly string[];
}

const ADAPTERS = ['storage', 'upstream', 'temporal', 'webhooks'] as const;

export const ROOMS: Readonly<Record<string, Room>> = {
  async: { path: '^src/async/', knows: [], types: [], packages: [] },
  domain: { path: '^src/domain/', knows: [], types: [], packages: [] },
  storage: { path: '^src/storage/', knows: ['async', 'domain'], types: [] },
  upstream: { path: '^src/upstream/', knows: ['async', 'domain'], types: [] },
  temporal: { path: '^src/temporal/', knows: ['domain', 'contract'], types: [] },
  webhooks: { path: '^src/webhooks/', knows: ['domain'], types: [] },
  telemetry: { path: '^src/telemetry/', knows: ['domain', 'contract'], types: [...ADAPTERS, 'activities', 'config'] },
  api: { path: '^src/api/', knows: ['async', 'domain'], types: [...ADAPTERS, 'config'] },
  activities: { path: '^activities/', knows: ['async', 'domain', 'contract'], types: [...ADAPTERS, 'config'] },
  contract: { path: '^workflows/contract[a-z-]*\\.ts$', knows: ['domain'], types: [], packages: [] },
  workflows: {
    path: '^workflows/(?!contract[a-z-]*\\.ts$)',
    knows: ['domain', 'contract'],
    types: ['activities'],
    packages: ['@temporalio/workflow'],
  },
  cli: { path: '^src/cli/', knows: ['domain'], types: [] },
  config: { path: '^src/config/', knows: ['domain'], types: [...ADAPTERS] },
  processes: {
    path: '^src/processes/',
    knows: [...ADAPTERS, 'async', 'domain', 'telemetry', 'api', 'activities', 'contract', 'workflows', 'cli', 'config'],
    types: [],
  },
  main: { path: '^src/main\\.ts$', knows: ['processes', 'cli', 'config'], types: [] },
};

const HOUSE = '^(src|workflows|activities|test|bench|examples)/';

/** What dependency-cruiser forbids. Tests are free, but for the acceptance tests, which are black box. */
export const ROOM_RULES: IForbiddenRuleType[] = [
  ...Object.entries(ROOMS).flatMap(([name, room]) => rulesOf(name, room)),
  {
    name: 'acceptance-tests-are-black-box',
    severity: 'error',
    comment: 'test/e2e and test/conformance talk HTTP and run the command, as a client and an operator do',
    from: { path: '^test/(e2e|conformance)/' },
    to: { path: '^(src|workflows|activities)/' },
  },
  {
    name: 'what-ships-knows-no-tests',
    severity: 'error',
    comment: 'tests, bench and examples look at the house, never the other way round',
    from: { path: '^(src|workflows|activities)/' },
    to: { path: '^(test|bench|examples)/' },
  },
  {
    name: 'no-cycles',
    severity: 'error',
    comment: 'two files that need each other at run time are one file, or have a third one to share',
    from: {},
    to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
  },
  { name: 'every-import-resolves', severity: 'error', from: {}, to: { couldNotResolve: true } },
];

function rulesOf(name: string, { path, knows, types, packages }: Room): IForbiddenRuleType[] {
  const seen = types.map(pathOf);
  const rules: IForbiddenRuleType[] = [
    {
      name: `${name}-knows-only-its-rooms`,
      severity: 'error',
      comment: `${name} may import ${knows.join(', ') || 'no other room'}${types.length > 0 ? `; types only from ${types.join(', ')}` : ''}`,
      from: { path },
      to: { path: HOUSE, pathNot: [path, ...knows.map(pathOf), ...seen] },
    },
  ];
  if (seen.length > 0) {
    rules.push({
      name: `${name}-sees-types-only`,
      severity: 'error',
      comment: `${name} gets instances of ${types.join(', ')} handed in; it may only \`import type\` from them`,
      from: { path },
      to: { path: seen, dependencyTypesNot: ['type-only'] },
    });
  }
  if (packages !== undefined) {
    rules.push({
      name: `${name}-imports-no-other-package`,
      severity: 'error',
      comment: `${name} may import ${packages.join(', ') || 'no package'} and no node: module`,
      from: { path },
      to: { pathNot: [HOUSE, ...packages.map((allowed) => `(^|/)node_modules/${allowed}/`)] },
    });
  }
  return rules;
}

function pathOf(name: string): string {
  const room = ROOMS[name];
  if (room === undefined) throw new Error(`no room is called ${name}`);
  return room.path;
}
