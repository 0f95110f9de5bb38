import { closestName } from '../domain/closest-name.ts';
import { PREFIX, SECRET_FILES, settingsSchema } from './settings.ts';

/** Variables that only docker-compose.yml reads. They may stand in the `.env` file that the containers get as well. */
const COMPOSE_ONLY = ['TEMPORAL_PORT', 'MINIO_PORT', 'MINIO_CONSOLE_PORT', 'MINIO_IMAGE', 'PROMETHEUS_PORT', 'GRAFANA_PORT'];

const SETTINGS = [...Object.keys(settingsSchema.shape), ...SECRET_FILES];
const KNOWN: ReadonlySet<string> = new Set([...SETTINGS, ...COMPOSE_ONLY].map((name) => PREFIX + name));

type Environment = Readonly<Record<string, string | undefined>>;

/** One sentence for each variable that has our prefix and a value, but is no setting. */
export function unknownSettings(env: Environment): string[] {
  return Object.entries(env)
    .filter(([name, value]) => name.startsWith(PREFIX) && (value ?? '') !== '' && !KNOWN.has(name) && !isServiceLink(name, value))
    .map(([name]) => {
      const meant = closestName(name.slice(PREFIX.length), SETTINGS);
      const advice = meant === null ? 'See docs/configuration.md for all settings.' : `Did you mean ${PREFIX}${meant}?`;
      return `Unknown setting ${name}. ${advice}`;
    });
}

/** The environment without the variables that Kubernetes adds to containers for Services whose names begin with `nightshift`. */
export function withoutServiceLinks(env: Environment): NodeJS.Dict<string> {
  return Object.fromEntries(Object.entries(env).filter(([name, value]) => !(name.startsWith(PREFIX) && isServiceLink(name, value))));
}

/** A Service `nightshift-api` sets `NIGHTSHIFT_API_PORT=tcp://10.0.0.7:7800`, which is our name but not our value. */
function isServiceLink(name: string, value = ''): boolean {
  return (
    /(^|_)SERVICE_(HOST|PORT(_\w+)?)$|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$/.test(name) ||
    (name.endsWith('_PORT') && /^(tcp|udp|sctp):\/\//.test(value))
  );
}
