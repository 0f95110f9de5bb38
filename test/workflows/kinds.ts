import { CANCEL_SIGNAL } from '../../workflows/contract.ts';
import type { Engine } from './engine.ts';
import { createModel, type Fate, gate, type Model, type ModelOptions, until } from './model.ts';

/** One kind of batch, as it is played for its histories. */
export interface Kind {
  /** How many workflow runs it leaves behind. */
  runs: number;
  /** Which shards are kept; all by default. */
  keeps?: (shard: number) => boolean;
  play(engine: Engine): Promise<Model>;
}

const never = new Promise<Fate>(() => undefined);
const onlyThree = async (line: number): Promise<Fate> => (line <= 3 ? 'completed' : await never);

/** A batch that nobody disturbs. */
function undisturbed(options: ModelOptions, runs: number, keeps: Kind['keeps'] = () => true): Kind {
  return {
    runs,
    keeps,
    async play(engine) {
      const model = createModel(options);
      await (await engine.start(model)).result();
      return model;
    },
  };
}

/** Every kind of batch, by name. */
export const KINDS: Record<string, Kind> = {
  completed: undisturbed({ shards: [4, 4, 4, 4, 4], policy: { linesPerActivity: 2 } }, 6),
  // The last run has the last twenty shards; one in forty tells enough of the others.
  large: undisturbed({ shards: Array.from({ length: 520 }, () => 6), windowMs: 600_000 }, 522, (shard) => shard % 40 === 0),
  // Slices grow with the answers, and otherwise by another rule.
  'sized-by-pace': undisturbed({ shards: [200, 200], policy: { maxInFlight: 64 }, meanUpstreamMs: 5, places: 4, workers: 9 }, 3),
  // None of its lines has a piece, so they go out once more, each alone, which is more than the history of one run may hold.
  'long-history': undisturbed(
    {
      shards: [200],
      policy: { linesPerActivity: 100, longHistoryEvents: 60 },
      fate: (_line, attempt) => (attempt === 1 ? 'lost' : 'completed'),
    },
    3,
  ),
  // Two shards for both upstreams, one for the second alone.
  'several-upstreams': undisturbed(
    {
      shards: [8, 8, 4],
      upstreamOf: (line) => (line % 2 === 0 || line > 16 ? 1 : 0),
      policy: { linesPerActivity: 3 },
      fate: (line, attempt) =>
        attempt === 1 && (line === 3 || line === 6) ? 'fault' : attempt === 1 && line === 5 ? 'untouched' : 'completed',
    },
    4,
  ),
  refused: undisturbed({ shards: [1], refused: true }, 1),
  expired: undisturbed({ shards: [5, 5], fate: onlyThree, windowMs: 2_000 }, 3),
  'continued-as-new': undisturbed({ shards: [2, 2, 2, 2, 2], policy: { shardsPerRun: 2 } }, 8),
  'faults-and-losses': undisturbed(
    {
      shards: [8],
      policy: { linesPerActivity: 4 },
      fate: (line, attempt) => {
        if (attempt > 2) return 'completed';
        if (line === 2) return 'fault';
        if (attempt === 1 && line === 5) return 'lost';
        if (attempt === 1 && line === 7) return 'untouched';
        return line === 8 ? 'failed' : 'completed';
      },
    },
    2,
  ),

  'expired-while-validating': {
    runs: 1,
    async play(engine) {
      const held = gate();
      const model = createModel({ shards: [2], windowMs: 1_000, before: { validateInput: held.wait } });
      await (await engine.start(model)).result();
      held.open();
      return model;
    },
  },

  'expired-then-cancelled': {
    runs: 3,
    async play(engine) {
      const held = gate();
      const model = createModel({ shards: [5, 5], fate: onlyThree, windowMs: 2_000, before: { publishResults: held.wait } });
      const handle = await engine.start(model);
      await until('results are being published', () => model.published.length === 1);
      model.requestCancel();
      await handle.signal(CANCEL_SIGNAL);
      held.open();
      await handle.result();
      return model;
    },
  },

  'cancelled-while-validating': {
    runs: 1,
    async play(engine) {
      const held = gate();
      const model = createModel({ shards: [2], before: { validateInput: held.wait } });
      const handle = await engine.start(model);
      await until('validation runs', () => model.validations.count === 1);
      model.requestCancel();
      await handle.signal(CANCEL_SIGNAL);
      await handle.result();
      held.open();
      return model;
    },
  },

  'cancelled-in-progress': {
    runs: 3,
    async play(engine) {
      const model = createModel({ shards: [5, 5, 5, 5], fate: onlyThree, policy: { linesPerActivity: 5 } });
      const handle = await engine.start(model);
      await until('line 4 is on the wire, and the second shard has begun', () => model.inFlight.has(4) && model.inFlight.has(6));
      model.requestCancel();
      await handle.signal(CANCEL_SIGNAL);
      await handle.result();
      return model;
    },
  },

  'shard-given-up': {
    runs: 3,
    async play(engine) {
      const held = gate();
      let closings = 0;
      const model = createModel({
        shards: [2, 2],
        windowMs: 2_000,
        fate: () => never,
        policy: { shardStopTimeoutMs: 1_000 },
        before: {
          async closeShard() {
            closings += 1;
            if (closings === 1) await held.wait();
          },
        },
      });
      await (await engine.start(model)).result();
      held.open();
      return model;
    },
  },

  'cancelled-while-finalizing': {
    runs: 2,
    async play(engine) {
      const held = gate();
      const model = createModel({ shards: [2], before: { publishResults: held.wait } });
      const handle = await engine.start(model);
      await until('results are being published', () => model.published.length === 1);
      model.requestCancel();
      await handle.signal(CANCEL_SIGNAL);
      held.open();
      await handle.result();
      return model;
    },
  },

  'cancelled-in-temporal': {
    runs: 3,
    async play(engine) {
      const model = createModel({ shards: [5, 5], fate: onlyThree });
      const handle = await engine.start(model);
      await until('three lines are answered', () => model.outcomes.size === 3);
      await handle.cancel();
      await handle.result().catch(() => undefined);
      return model;
    },
  },

  'terminated-and-resumed': {
    runs: 5,
    async play(engine) {
      const held = gate();
      const fate = async (line: number): Promise<Fate> => {
        if (line >= 6) await held.wait();
        return 'completed';
      };
      const model = createModel({ shards: [4, 4], fate });
      const first = await engine.start(model);
      await until('the first shard is closed', () => model.closedShards.size === 1 && model.outcomes.size === 5);
      await first.terminate('test');
      const second = await engine.start(model);
      await until('the second run sends', () => model.slices.some(({ contested }) => contested));
      held.open();
      await second.result();
      return model;
    },
  },

  'shard-terminated': {
    runs: 3,
    async play(engine) {
      const held = gate();
      const fate = async (line: number): Promise<Fate> => {
        if (line >= 3) await held.wait();
        return 'completed';
      };
      const model = createModel({ shards: [4], fate });
      const handle = await engine.start(model);
      await until('half of it is done', () => model.outcomes.size === 2);
      await engine.client.workflow.getHandle(`${model.id}/shard-0000`).terminate('test');
      held.open();
      await handle.result();
      return model;
    },
  },
};
