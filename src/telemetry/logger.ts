import { type Logger, pino } from 'pino';

export type { Logger } from 'pino';

/** The log of a process, one line per event on stderr: JSON, or with `pretty` a compact line for people. */
export function createLogger({ level, format }: { level: string; format: 'json' | 'pretty' }, name: string): Logger {
  const options = {
    level,
    base: { process: name },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  const stderr = pino.destination({ dest: 2, sync: true });
  return pino(options, format === 'json' ? stderr : { write: (line: string) => void stderr.write(`${prettyLine(line)}\n`) });
}

/** `12:00:01 warn api  message  key=value`, made from a line of JSON. */
export function prettyLine(json: string): string {
  const { level, time, process: name, msg, err, ...rest }: Record<string, unknown> = JSON.parse(json);
  const pairs = Object.entries(rest).map(([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`);
  const stack = typeof err === 'object' && err !== null && 'stack' in err ? [`\n${String(err.stack)}`] : [];
  return [String(time).slice(11, 19), String(level).padEnd(5), String(name).padEnd(6), String(msg ?? ''), ...pairs, ...stack].join(' ');
}
