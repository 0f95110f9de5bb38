import { readFile } from 'node:fs/promises';
import { parse } from 'yaml';

/** What the tests read of a service in docker-compose.yml, after YAML has merged its anchors. */
export interface Service {
  image?: string;
  entrypoint?: string[];
  command?: string[];
  environment?: Record<string, string | number | null>;
  env_file?: unknown;
  ports?: string[];
  user?: string;
  read_only?: boolean;
  tmpfs?: string[];
  cap_drop?: string[];
  cap_add?: string[];
  security_opt?: string[];
  restart?: string;
  stop_grace_period?: string;
  logging?: { driver?: string; options?: Record<string, string> };
  mem_limit?: string;
  cpus?: string | number;
  pids_limit?: number;
  healthcheck?: { test: string[] };
  depends_on?: Record<string, { condition: string }>;
  volumes?: unknown[];
}

/** The services of docker-compose.yml by name. */
export async function composeServices(): Promise<Record<string, Service>> {
  const file: { services: Record<string, Service> } = parse(await readFile('docker-compose.yml', 'utf8'), { merge: true });
  return file.services;
}
