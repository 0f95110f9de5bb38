import { ROOM_RULES } from './rooms.ts';

export default {
  forbidden: ROOM_RULES,
  options: {
    doNotFollow: { path: 'node_modules' },
    // Sees `import type` too, and tells it from the rest.
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'require', 'node', 'default', 'types'] },
  },
};
