import { environment, loadConfig } from '../config.ts';

export async function serveApi(): Promise<number> {
  loadConfig(environment(), 'api');
  return 0;
}
