import { environment, loadConfig } from '../config.ts';

export async function run(): Promise<number> {
  loadConfig(environment(), 'api');
  return 0;
}
